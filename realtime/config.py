"""What a user can set, and where each value comes from: flag > environment > file > profile > default."""

import codecs
import dataclasses
import difflib
import functools
import os
import tomllib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from engines.errors import ConfigError
from engines.paths import is_there, path_from_text, user_folder
from realtime.breaths import BreathSettings
from realtime.decision import DecisionSettings
from realtime.pipeline import PipelineSettings
from realtime.presence import PresenceSettings
from realtime.setting_ranges import RANGES

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
        lookahead_s: decide this much later, with more heard, seconds.
        engine: the back end.
        pack: folder of a model pack, or one that is shipped: `default`, for live sound, or `clips`.
        n_threads: threads of one inference; None: the back end's own choice.
        seconds: end after so much sound, seconds; None: when the sound ends.
        pace: stream seconds per second, 0 is as fast as possible; None: 1 for the demo, 0 for a replay.
        block_samples: length of the blocks a recording is read in; None: 20 ms.
        seed: of the demo breather.
        frames: CSV file with a row per answer, `-` is standard output; None: none.
        events: JSONL file with an object per change of phase, `-` is standard output; None: none.
        breaths: CSV file with a row per complete breath, `-` is standard output; None: none.
        record: WAV or FLAC file, or a folder for one, for the sound that is heard; None: none.
        osc: where OSC messages go, HOST:PORT or a port of this machine; None: nowhere.
        osc_prefix: start of their addresses.
        lsl: name of a stream of the Lab Streaming Layer; None: none.
        profile: whether what `breath-live calibrate` measured at the microphone is used.
        display: whether to draw on a terminal; otherwise one line per change of phase.
        presence: when sound counts as breath.
        decision: how evidence becomes a steady phase.
        breathing: what is a pause that is too long, and what the variability is taken from.
    """

    device: int | str | None = None
    channel: int | None = None
    reconnect_s: float | None = None
    hop_s: float = 0.1
    lookahead_s: float = 0.0
    engine: Literal["auto", "onnxruntime", "openvino", "torch", "tensorrt", "tensorrt-rtx"] = "auto"
    pack: str = "default"
    n_threads: int | None = None
    seconds: float | None = None
    pace: float | None = None
    block_samples: int | None = None
    seed: int = 0
    frames: str | None = None
    events: str | None = None
    record: str | None = None
    osc: int | str | None = None
    osc_prefix: str = "/breath"
    lsl: str | None = None
    profile: bool = True
    breaths: str | None = None
    display: bool = True
    presence: PresenceSettings = field(default_factory=PresenceSettings)
    decision: DecisionSettings = field(default_factory=DecisionSettings)
    breathing: BreathSettings = field(default_factory=BreathSettings)

    @property
    def pipeline(self) -> PipelineSettings:
        """The part that the pipeline is made from."""
        return PipelineSettings(
            self.hop_s, self.lookahead_s, self.channel, self.presence, self.decision, self.breathing
        )


@dataclass(frozen=True)
class Given:
    """A value as somebody wrote it, and where: a flag, a variable, a file. Text is read as any type."""

    value: object
    origin: str
    is_text: bool = False


@dataclass(frozen=True)
class Resolved:
    """The configuration, and the origin of every value by its dotted key (`decision.margin`)."""

    config: LiveConfig
    origins: Mapping[str, str]

    def value(self, key: str) -> Any:
        """The value of a setting by its dotted key."""
        return functools.reduce(getattr, key.split("."), self.config)


_NAMES = ("pack", "frames", "events", "breaths", "record", "lsl")
_MEASURED_TOGETHER = ("presence.gate_dbfs", "presence.noise_dbfs")
_TYPE_WORDS = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}


def default_file() -> Path:
    """Where the configuration file is looked for when none is named."""
    return user_folder("config") / FILE_NAME


def resolve(
    flags: Mapping[str, Given], file: str | Path | None = None, environment: Mapping[str, str] = os.environ
) -> Resolved:
    """Put the configuration together.

    Args:
        flags: by dotted key, what was said on the command line.
        file: the configuration file; None: `BREATH_CONFIG`, or `default_file()` if it exists.
        environment: variables; `BREATH_HOP_S` is `hop_s`, `BREATH_DECISION_MARGIN` is
            `decision.margin`.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of its range, or a file that is
            missing or no TOML. The message names the key and where it was found.
    """
    path = path_from_text(file or environment.get(FILE_VARIABLE) or default_file())
    is_asked_for = bool(file or environment.get(FILE_VARIABLE))
    given: dict[str, Given] = {}
    if is_asked_for or is_there(path):
        given.update(_flattened(_read(path), str(path)))
    given.update(_from_environment(environment))
    given.update(flags)
    origins = {key: given[key].origin if key in given else DEFAULT_ORIGIN for key, _, _ in settings()}
    return Resolved(_built(LiveConfig, _checked_values(given)), origins)


def completed(resolved: Resolved, given: Mapping[str, Given]) -> Resolved:
    """The configuration with `given` (a profile) for those settings that have their default values.

    The gate and the noise that it was measured with are taken both or neither.

    Raises:
        ConfigError: as `resolve`.
    """
    checked = _checked_values(given)
    wanted = {key: value for key, value in checked.items() if resolved.origins[key] == DEFAULT_ORIGIN}
    if any(resolved.origins[key] != DEFAULT_ORIGIN for key in _MEASURED_TOGETHER):
        wanted = {key: value for key, value in wanted.items() if key not in _MEASURED_TOGETHER}
    values = {key: resolved.value(key) for key in resolved.origins}
    origins = dict(resolved.origins) | {key: given[key].origin for key in wanted}
    return Resolved(_built(LiveConfig, values | wanted), origins)


def settings(kind: type = LiveConfig, prefix: str = "") -> Iterator[tuple[str, Any, object]]:
    """Every setting: its dotted key, type and default."""
    types = typing.get_type_hints(kind)
    for entry in dataclasses.fields(kind):
        if dataclasses.is_dataclass(types[entry.name]):
            yield from settings(types[entry.name], f"{prefix}{entry.name}.")
        else:
            yield prefix + entry.name, types[entry.name], entry.default


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
        # What PowerShell writes for `>`.
        is_utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return tomllib.loads(raw.decode("utf-16" if is_utf16 else "utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            f"the configuration file {path} cannot be read ({error.strerror}); check its name, "
            "or make one: breath-live --print-config > breath.toml"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        mend = "mend that line, or move the file away"
        raise ConfigError(f"{path} is not valid TOML: {error}; {mend}") from error


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


def _checked_values(given: Mapping[str, Given]) -> dict[str, Any]:
    types = {key: kind for key, kind, _ in settings()}
    for key, found in given.items():
        if key not in types:
            raise ConfigError(f"{found.origin}: there is no setting {key!r}{_did_you_mean(key, types)}")
    return {key: _checked(key, types[key], found) for key, found in given.items()}


def _checked(key: str, kind: Any, found: Given) -> Any:
    try:
        value = msgspec.convert(found.value, kind, strict=not found.is_text)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{found.origin}: {key} must be {_wanted(key, kind)}, not {found.value!r}"
        ) from error
    if key in _NAMES and value == "":
        raise ConfigError(f"{found.origin}: {key} is empty; give a name, or leave it out")
    if key in RANGES and value is not None:
        lowest, highest, _ = RANGES[key]
        if not lowest <= value <= highest:
            raise ConfigError(f"{found.origin}: {key} must be {_wanted(key, kind)}, not {value}")
    return value


def _wanted(key: str, kind: Any) -> str:
    parts = [part for part in typing.get_args(kind) if part is not type(None)] or [kind]
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(parts)
    words = " or ".join(_TYPE_WORDS[part] for part in parts)
    if key not in RANGES:
        return words
    lowest, highest, unit = RANGES[key]
    return f"{words} from {lowest:g} to {highest:g}{unit}"


def _did_you_mean(key: str, known: Mapping[str, Any]) -> str:
    leaf = key.rpartition(".")[2]
    moved = [other for other in known if other.rpartition(".")[2] == leaf]
    close = moved or difflib.get_close_matches(key, known, n=1, cutoff=0.6)
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
