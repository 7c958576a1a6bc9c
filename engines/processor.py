"""What the processor has that decides which engine is the fastest on it."""

from pathlib import Path

_FLAG = "amx_int8"


def runs_in_tiles(graph_precision: str) -> bool:
    """Whether graphs of this precision, such as `int8`, are multiplied in tiles here."""
    return graph_precision == "int8" and has_int8_tiles()


def has_int8_tiles(cpu_info: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor multiplies INT8 matrices in tiles (Intel AMX), as far as the system tells.

    Args:
        cpu_info: where Linux lists the flags of its processors. Where there is no such file: False.
    """
    try:
        lines = cpu_info.read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(_FLAG in line.split() for line in lines if line.startswith("flags"))
