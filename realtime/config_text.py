"""The configuration as a TOML file, with the origin of every value: what `--print-config` prints."""

import msgspec

from realtime.config import DEFAULT_ORIGIN, Resolved, settings


def text_from_resolved(resolved: Resolved) -> str:
    """The configuration as TOML, with the origin of each value beside it.

    It can be kept as a configuration file: what has its default is a comment there, so that it does not stand
    in the way of a profile, or of a better default.
    """
    lines: list[tuple[str, str]] = []
    section = ""
    for key, _, _ in settings():
        table, _, name = key.rpartition(".")
        if table != section:
            section = table
            lines += [("", ""), (f"[{table}]", "")]
        value, origin = resolved.value(key), resolved.origins[key]
        text = f"# {name} is not set" if value is None else f"{name} = {_toml_from_value(value)}"
        lines.append((f"# {text}" if value is not None and origin == DEFAULT_ORIGIN else text, origin))
    width = max(len(text) for text, _ in lines)
    return "\n".join(f"{text:{width}}  # {origin}" if origin else text for text, origin in lines)


def _toml_from_value(value: object) -> str:
    if isinstance(value, str):
        # A string of JSON is one of TOML, but for DEL. A name that is no text has no place in either.
        value = value.encode("utf-8", "replace").decode()
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
