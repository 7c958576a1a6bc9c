"""The files for programs: frames, events and breaths."""

import itertools
from contextlib import ExitStack
from pathlib import Path

from engines.errors import ConfigError
from engines.paths import is_there, path_from_text
from realtime.config import LiveConfig
from realtime.sinks import csv_breaths, csv_frames, jsonl
from realtime.sinks.base import Sink
from realtime.sinks.beginning import Beginning
from realtime.sinks.csv_rows import csv_line, write_header
from realtime.sinks.output import STANDARD_OUTPUT, LineOutput, check_target
from realtime.sound.sources import AudioSource

_LONGEST_HEADER = 4096
_BEGINNINGS = {
    "frames": f"{csv_frames.COLUMNS[0]},",
    "events": '{"event":',
    "breaths": f"{csv_breaths.COLUMNS[0]},",
}
_START = '{"event":"start"'


class Writers:
    """Opened, and emptied, when created.

    Args:
        config: which files are wanted.
        stack: closes them.
        has_file: whether every row names its recording.
        has_session: whether every row has the number of its session.
        is_patient: see `LineOutput`.

    Raises:
        OutputError: a file cannot be opened.
    """

    def __init__(
        self, config: LiveConfig, stack: ExitStack, *, has_file: bool, has_session: bool, is_patient: bool
    ) -> None:
        self._has_file = has_file
        self._is_patient = is_patient
        self._frames = self._opened(config.frames, stack)
        self._events = self._opened(config.events, stack)
        self._breaths = self._opened(config.breaths, stack)
        self.has_standard_output = STANDARD_OUTPUT in (config.frames, config.events, config.breaths)
        for output, columns in ((self._frames, csv_frames.COLUMNS), (self._breaths, csv_breaths.COLUMNS)):
            if output:
                write_header(output, columns, has_file=has_file, has_session=has_session)

    def sinks(self, source: AudioSource, session: int | None, beginning: Beginning | None) -> list[Sink]:
        """Sinks for one session, which is numbered where several have no name of a file."""
        file = source.name if self._has_file else None
        sinks: list[Sink] = []
        if self._frames:
            sinks.append(csv_frames.CsvSink(self._frames, file, session))
        if self._events:
            sinks.append(jsonl.JsonlSink(self._events, file, session, beginning))
        if self._breaths:
            sinks.append(csv_breaths.BreathCsvSink(self._breaths, file, session))
        return sinks

    def _opened(self, target: str | None, stack: ExitStack) -> LineOutput | None:
        if not target:
            return None
        output = LineOutput(target, is_patient=self._is_patient)
        stack.callback(output.close)
        return output


def check_targets(config: LiveConfig, *, is_heard_once: bool) -> None:
    """See that what is to be written can be, before anything is slow or lost.

    Args:
        config: says what.
        is_heard_once: no session of this kind can be made again, so it takes the place of none. Events of one
            are never overwritten.

    Raises:
        ConfigError: two go to one place, or what was heard live would be overwritten.
        OutputError: one cannot be written.
    """
    targets = {"frames": config.frames, "events": config.events, "breaths": config.breaths}
    named = [(name, target) for name, target in targets.items() if target]
    for (one, target), (other, other_target) in itertools.combinations(named, 2):
        if is_same_file(target, other_target):
            where = "standard output" if target == STANDARD_OUTPUT else target
            raise ConfigError(
                f"{one} and {other} cannot both go to {where}; name another file for one of them"
            )
    for name, target in named:
        path = path_from_text(target)
        if target != STANDARD_OUTPUT and is_there(path):
            # Of rows nobody can tell whether a microphone or a recording brought them; of events one can.
            is_kept = _holds_rows if is_heard_once else _begins_with_a_start
            if is_kept(path):
                raise ConfigError(
                    f"{name}: {target} is there already, and what was heard live cannot be heard again; "
                    "give another name, or move it away"
                )
            if not _is_ours(path, _BEGINNINGS[name]):
                raise ConfigError(
                    f"{name}: {target} is there already and holds something else, which would be lost; give "
                    "another name, or move it away"
                )
        check_target(target)


def is_same_file(target: str, other: str) -> bool:
    """Whether two names, as people write them, are those of one file."""
    if STANDARD_OUTPUT in (target, other):
        return target == other
    one, two = path_from_text(target), path_from_text(other)
    if is_there(one) and is_there(two):
        # Two names may be those of one file.
        return one.samefile(two)
    return one.resolve() == two.resolve()


def _holds_rows(path: Path) -> bool:
    """Whether a file holds more than the names of the columns, which are there before anything is heard."""
    lines = _beginning_of(path).split("\n")
    headers = (csv_line(csv_frames.COLUMNS), csv_line(csv_breaths.COLUMNS))
    is_header = lines[0].startswith(headers) and lines[1:] == [""]
    return not is_header and lines != [""]


def _is_ours(path: Path, beginning: str) -> bool:
    """Whether a file is empty, or begins as those do that are written here."""
    found = _beginning_of(path)
    return not found or found.startswith(beginning)


def _begins_with_a_start(path: Path) -> bool:
    """Whether a file holds the events of a microphone."""
    return _beginning_of(path).startswith(_START)


def _beginning_of(path: Path) -> str:
    """Text; of what is no file none, for nobody can look into a pipe without taking from it."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(_LONGEST_HEADER).decode("utf-8", "replace")
