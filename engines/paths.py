"""Paths as people write them: on a command line, in a variable, in a configuration file."""

from os import PathLike
from pathlib import Path

from engines.errors import ConfigError


def path_from_text(text: str | PathLike[str]) -> Path:
    """The path that `text` means, `~` being the user's folder and `~name` that of another one.

    Raises:
        ConfigError: nobody has that name, the user's own folder is not known, or the text holds a NUL
            (which a configuration file may write as an escape), as no path can.
    """
    path = Path(text)
    if "\0" in str(path):
        raise ConfigError(f"{str(path)!r} holds a NUL, as no path can; write another name")
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"{path} begins with the folder of a user who is not known here; write the whole path, "
            "or ./ before a name that begins with ~"
        ) from error
