"""What a measurement ran on, and what else went on there meanwhile."""

import os
import platform
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engines.errors import EngineError
from engines.gpu import usable_gpu
from engines.threads import n_cores

_PROC = Path("/proc")
# Order of the numbers behind `cpu` in /proc/stat; what guests used is in `user` already.
_IDLE, _IOWAIT, _STEAL, _N_COUNTERS = 3, 4, 7, 8


@dataclass(frozen=True)
class Machine:
    """The machine, as far as it matters for speed.

    Attributes:
        cpu: model name.
        cores: of the machine.
        usable_cores: that this process may use.
        memory_mb: MiB; None where it is not known.
        os: name, version, processor architecture.
        gpu: name and generation; None: no usable one.
    """

    cpu: str
    cores: int
    usable_cores: int
    memory_mb: int | None
    os: str
    gpu: str | None


def this_machine() -> Machine:
    """The machine that runs this."""
    try:
        gpu = usable_gpu().label
    except EngineError:
        gpu = None
    found = re.search(r"^model name\s*:\s*(.+)$", _text("cpuinfo"), re.MULTILINE)
    return Machine(
        cpu=found[1].strip() if found else platform.processor() or platform.machine(),
        cores=os.cpu_count() or 1,
        usable_cores=n_cores(),
        memory_mb=_memory_mb(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        gpu=gpu,
    )


@dataclass(frozen=True)
class Reading:
    """What the system says at one moment; None where it does not say.

    Attributes:
        wall_s: seconds on a clock that never goes back.
        own_cpu_s: CPU seconds this process has used.
        busy_cpu_s: CPU seconds that all programs have used, this one among them.
        stolen_cpu_s: CPU seconds that the host gave to other virtual machines.
        load: programs that wanted to run, on average over the last minute.
        clocks_mhz: of each core.
    """

    wall_s: float
    own_cpu_s: float
    busy_cpu_s: float | None
    stolen_cpu_s: float | None
    load: float | None
    clocks_mhz: tuple[float, ...]


def read_system() -> Reading:
    """A reading, now."""
    busy_cpu_s = stolen_cpu_s = None
    counters = [int(word) for word in _text("stat").partition("\n")[0].split()[1:]][:_N_COUNTERS]
    if len(counters) == _N_COUNTERS:
        ticks_per_s = os.sysconf("SC_CLK_TCK")
        stolen_cpu_s = counters[_STEAL] / ticks_per_s
        waiting = counters[_IDLE] + counters[_IOWAIT] + counters[_STEAL]
        busy_cpu_s = (sum(counters) - waiting) / ticks_per_s
    return Reading(
        wall_s=time.perf_counter(),
        own_cpu_s=time.process_time(),
        busy_cpu_s=busy_cpu_s,
        stolen_cpu_s=stolen_cpu_s,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        clocks_mhz=tuple(map(float, re.findall(r"^cpu MHz\s*:\s*([\d.]+)", _text("cpuinfo"), re.MULTILINE))),
    )


@dataclass(frozen=True)
class Conditions:
    """What went on during a measurement; None where the system does not say.

    Attributes:
        load_before: programs that wanted to run, on average over the minute before.
        other_cores: cores that other programs kept busy, on average.
        stolen_cores: cores that the host gave to other virtual machines, on average.
        slowest_mhz: lowest clock of the fastest core of a reading; `fastest_mhz` the highest.
    """

    load_before: float | None
    other_cores: float | None
    stolen_cores: float | None
    slowest_mhz: float | None
    fastest_mhz: float | None

    def to_json(self) -> dict[str, Any]:
        """The same by name."""
        return asdict(self)


def conditions_from_readings(readings: Sequence[Reading]) -> Conditions:
    """What went on from the first to the last of the readings, at least one."""
    first, last = readings[0], readings[-1]
    wall_s = last.wall_s - first.wall_s
    other = stolen = None
    if wall_s > 0:
        if first.busy_cpu_s is not None and last.busy_cpu_s is not None:
            own_s = last.own_cpu_s - first.own_cpu_s
            other = max(0.0, last.busy_cpu_s - first.busy_cpu_s - own_s) / wall_s
        if first.stolen_cpu_s is not None and last.stolen_cpu_s is not None:
            stolen = (last.stolen_cpu_s - first.stolen_cpu_s) / wall_s
    clocks_mhz = [max(reading.clocks_mhz) for reading in readings if reading.clocks_mhz]
    return Conditions(
        load_before=first.load,
        other_cores=other,
        stolen_cores=stolen,
        slowest_mhz=min(clocks_mhz, default=None),
        fastest_mhz=max(clocks_mhz, default=None),
    )


def resident_mb() -> float | None:
    """Resident memory of this process, MiB; None where the system does not say."""
    pages = _text("self/statm").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20 if len(pages) > 1 else None


def _memory_mb() -> int | None:
    found = re.search(r"^MemTotal:\s*(\d+) kB", _text("meminfo"), re.MULTILINE)
    return int(found[1]) // 1024 if found else None


def _text(name: str) -> str:
    """A file below /proc; empty where there is none."""
    try:
        return (_PROC / name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
