"""How people install what is missing: one place, so that every message says the same."""


def install_extra(extra: str) -> str:
    """The command that installs one of the extras of pyproject.toml.

    From the source, and not by name: on PyPI, `breath` is somebody else's program. In double quotes, which
    every shell knows.
    """
    return f'pip install ".[{extra}]" (in the folder of Breath\'s source)'


REINSTALL = "pip install --force-reinstall . (in the folder of Breath's source)"
