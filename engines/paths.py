"""Paths as people write them: on a command line, in a variable, in a configuration file."""

import os
from os import PathLike
from pathlib import Path
from typing import Literal

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


def is_there(path: Path) -> bool:
    """Whether something has that name. False as well where nobody may look: who opens it is told why."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def user_folder(kind: Literal["cache", "config"]) -> Path:
    """The user's own folder for what Breath can make again, or for its settings.

    Where nobody knows the user, as in a container without HOME, it is one in which nothing can be made.
    """
    import platformdirs

    find = platformdirs.user_cache_path if kind == "cache" else platformdirs.user_config_path
    try:
        return find("breath", appauthor=False)
    except RuntimeError:
        return Path(os.devnull) / "breath"
