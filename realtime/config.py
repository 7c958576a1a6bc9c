"""What a user can set, and where each value comes from: flag > environment > file > default."""

import dataclasses
import difflib
import os
import tomllib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import platformdirs

from engines.errors import ConfigError
from realtime.pipeline import PipelineSettings
from realtime.presence import PresenceSettings
from realtime.smoothing import SmoothingSettings

FILE_NAME = "breath.toml"
ENVIRONMENT_PREFIX = "BREATH_"
FILE_VARIABLE = "BREATH_CONFIG"
DEFAULT_ORIGIN = "default"


@dataclass(frozen=True)
class LiveConfig:
    """Everything that `breath-live` can be told.

    Attributes:
        device: number of a microphone or part of its name; None: the system's default.
        channel: counted from 0; None: the mean of all.
        reconnect_s: wait so long for a microphone that is lost, seconds; 0: not at all; None: for ever.
        hop_s: distance of two answers, seconds.
        engine: the back end.
        pack: folder of a model pack, or `default`.
        n_threads: threads of one inference; None: the back end's own choice.
        seconds: end after so much sound, seconds; None: when the sound ends.
        pace: stream seconds per second, 0 is as fast as possible; None: 1 for the demo, 0 for a replay.
        block_samples: length of the blocks a recording is read in; None: 20 ms.
        seed: of the demo breather.
        frames: CSV file with a row per answer, `-` is standard output; None: none.
        events: JSONL file with an object per change of phase, `-` is standard output; None: none.
        display: whether to draw on a terminal; otherwise one line per change of phase.
        presence: when sound counts as breath.
        smoothing: how steady the shown phase is.
    """

    device: int | str | None = None
    channel: int | None = None
    reconnect_s: float | None = None
    hop_s: float = 0.1
    engine: Literal["auto", "onnxruntime", "torch", "tensorrt", "tensorrt-rtx"] = "auto"
    pack: str = "default"
    n_threads: int | None = None
    seconds: float | None = None
    pace: float | None = None
    block_samples: int | None = None
    seed: int = 0
    frames: str | None = None
    events: str | None = None
    display: bool = True
    presence: PresenceSettings = field(default_factory=PresenceSettings)
    smoothing: SmoothingSettings = field(default_factory=SmoothingSettings)

    @property
    def pipeline(self) -> PipelineSettings:
        """The part that the pipeline is made from."""
        return PipelineSettings(self.hop_s, self.channel, self.presence, self.smoothing)


@dataclass(frozen=True)
class Given:
    """A value as somebody wrote it, and where: a flag, a variable, a file. Text is read as any type."""

    value: object
    origin: str
    is_text: bool = False


@dataclass(frozen=True)
class Resolved:
    """The configuration, and the origin of every value by its dotted key (`smoothing.min_phase_s`)."""

    config: LiveConfig
    origins: Mapping[str, str]


# Lowest and highest value, and the unit that follows them in messages.
_RANGES: dict[str, tuple[float, float, str]] = {
    "channel": (0, 1023, ""),
    "reconnect_s": (0, 1e7, " s"),
    "hop_s": (0.01, 1.0, " s"),
    "n_threads": (1, 256, ""),
    "seconds": (0.001, 1e7, " s"),
    "pace": (0, 1000, " (1 is real time, 0 as fast as possible)"),
    "block_samples": (1, 10_000_000, " samples"),
    "seed": (0, 2**63 - 1, ""),
    "presence.gate_dbfs": (-120, 0, " dB"),
    "presence.below_peak_db": (0, 120, " dB"),
    "presence.peak_decay_db_per_s": (0, 100, " dB/s"),
    "presence.hysteresis_db": (0, 40, " dB"),
    "smoothing.time_constant_s": (0, 10, " s"),
    "smoothing.hysteresis": (0, 0.49, ""),
    "smoothing.min_phase_s": (0, 10, " s"),
}

_TYPE_WORDS = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}


def default_file() -> Path:
    """Where the configuration file is looked for when none is named."""
    return platformdirs.user_config_path("breath", appauthor=False) / FILE_NAME


def resolve(
    flags: Mapping[str, Given], file: str | Path | None = None, environment: Mapping[str, str] = os.environ
) -> Resolved:
    """Put the configuration together.

    Args:
        flags: by dotted key, what was said on the command line.
        file: the configuration file; None: `BREATH_CONFIG`, or `default_file()` if it exists.
        environment: variables; `BREATH_HOP_S` is `hop_s`, `BREATH_SMOOTHING_MIN_PHASE_S` is
            `smoothing.min_phase_s`.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of its range, or a file that is
            missing or no TOML. The message names the key and where it was found.
    """
    path = Path(file or environment.get(FILE_VARIABLE) or default_file()).expanduser()
    is_asked_for = bool(file or environment.get(FILE_VARIABLE))
    given: dict[str, Given] = {}
    if is_asked_for or path.exists():
        given.update(_flattened(_read(path), str(path)))
    given.update(_from_environment(environment))
    given.update(flags)
    types = {key: kind for key, kind, _ in settings()}
    values: dict[str, Any] = {}
    for key, found in given.items():
        if key not in types:
            raise ConfigError(f"{found.origin}: there is no setting {key!r}{_did_you_mean(key, types)}")
        values[key] = _checked(key, types[key], found)
    origins = {key: given[key].origin if key in given else DEFAULT_ORIGIN for key in types}
    return Resolved(_built(LiveConfig, values), origins)


def settings(kind: type = LiveConfig, prefix: str = "") -> Iterator[tuple[str, Any, object]]:
    """Every setting: its dotted key, type and default."""
    types = typing.get_type_hints(kind)
    for entry in dataclasses.fields(kind):
        if dataclasses.is_dataclass(types[entry.name]):
            yield from settings(types[entry.name], f"{prefix}{entry.name}.")
        else:
            yield prefix + entry.name, types[entry.name], entry.default


def text_from_resolved(resolved: Resolved) -> str:
    """The configuration as TOML that can be read back, with the origin of each value beside it."""
    lines: list[tuple[str, str]] = []
    section = ""
    for key, _, _ in settings():
        table, _, name = key.rpartition(".")
        if table != section:
            section = table
            lines += [("", ""), (f"[{table}]", "")]
        value: Any = resolved.config
        for part in key.split("."):
            value = getattr(value, part)
        text = f"# {name} is not set" if value is None else f"{name} = {msgspec.json.encode(value).decode()}"
        lines.append((text, resolved.origins[key]))
    width = max(len(text) for text, _ in lines)
    return "\n".join(f"{text:{width}}  # {origin}" if origin else text for text, origin in lines)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"the configuration file {path} cannot be read ({error.strerror}); check its name, "
            "or make one: breath-live --print-config > breath.toml"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}; see breath-live --print-config") from error


def _flattened(table: Mapping[str, Any], origin: str, prefix: str = "") -> Iterator[tuple[str, Given]]:
    tables = {key.rpartition(".")[0] for key, _, _ in settings() if "." in key}
    for name, value in table.items():
        key = prefix + name
        if key in tables and not isinstance(value, dict):
            raise ConfigError(f"{origin}: {key} is a table; write its settings below a line [{key}]")
        if key in tables:
            yield from _flattened(value, origin, f"{key}.")
        else:
            yield key, Given(value, origin)


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, Given]]:
    key_by_variable = {_variable(key): key for key, _, _ in settings()}
    for variable, text in environment.items():
        if variable in key_by_variable:
            yield key_by_variable[variable], Given(text, variable, is_text=True)
        elif variable.startswith(ENVIRONMENT_PREFIX) and variable != FILE_VARIABLE:
            # Other programs may use the prefix too: only what looks like a slip of ours is refused.
            close = difflib.get_close_matches(variable, key_by_variable, n=1, cutoff=0.85)
            if close:
                raise ConfigError(
                    f"the environment sets {variable}, which is no setting; did you mean {close[0]}?"
                )


def _variable(key: str) -> str:
    return ENVIRONMENT_PREFIX + key.upper().replace(".", "_")


def _checked(key: str, kind: Any, found: Given) -> Any:
    try:
        value = msgspec.convert(found.value, kind, strict=not found.is_text)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{found.origin}: {key} must be {_wanted(key, kind)}, not {found.value!r}"
        ) from error
    if key in _RANGES and value is not None:
        lowest, highest, _ = _RANGES[key]
        if not lowest <= value <= highest:
            raise ConfigError(f"{found.origin}: {key} must be {_wanted(key, kind)}, not {value:g}")
    return value


def _wanted(key: str, kind: Any) -> str:
    parts = [part for part in typing.get_args(kind) if part is not type(None)] or [kind]
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(parts)
    words = " or ".join(_TYPE_WORDS[part] for part in parts)
    if key not in _RANGES:
        return words
    lowest, highest, unit = _RANGES[key]
    return f"{words} from {lowest:g} to {highest:g}{unit}"


def _did_you_mean(key: str, known: Mapping[str, Any]) -> str:
    leaf = key.rpartition(".")[2]
    moved = [other for other in known if other.rpartition(".")[2] == leaf]
    close = moved or difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if not close:
        by_leaf = {other.rpartition(".")[2]: other for other in known}
        close = [by_leaf[name] for name in difflib.get_close_matches(leaf, by_leaf, n=1, cutoff=0.6)]
    return f"; did you mean {close[0]!r}?" if close else "; breath-live --print-config lists all"


def _built(kind: type, values: Mapping[str, Any]) -> Any:
    types = typing.get_type_hints(kind)
    arguments: dict[str, Any] = {}
    for entry in dataclasses.fields(kind):
        if dataclasses.is_dataclass(types[entry.name]):
            start = f"{entry.name}."
            below = {key.removeprefix(start): value for key, value in values.items() if key.startswith(start)}
            arguments[entry.name] = _built(types[entry.name], below)
        elif entry.name in values:
            arguments[entry.name] = values[entry.name]
    return kind(**arguments)
