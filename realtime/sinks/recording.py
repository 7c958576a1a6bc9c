"""The recording of a session: the sound as it was heard, and beside it the labels of what was shown."""

import datetime
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from engines.errors import ConfigError
from engines.paths import is_there, path_from_text
from realtime.events import SPLITTING_GAP_SAMPLES, Gap, Report
from realtime.intake import Heard
from realtime.labels import PhaseInterval, audacity_from_labels, csv_from_labels
from realtime.pipeline import Step
from realtime.sinks.base import Sink, Status
from realtime.sinks.output import LineOutput
from realtime.sinks.phase_intervals import IntervalState, finish, interrupted, phase_began
from realtime.sinks.sound_files import SUFFIXES, SoundWriter, open_sound_writer

_LABEL_SUFFIXES = (".txt", ".csv")


def recording_path(target: str, at: datetime.datetime) -> Path:
    """The file for the sound: `target` itself, or, if that is a folder, one in it that is named by the time.

    Raises:
        ConfigError: the name ends neither in .wav nor in .flac, or can be no path.
    """
    path = path_from_text(target)
    if is_there(path) and path.is_dir():
        return path / f"breath-{at:%Y-%m-%d-%H%M%S}.wav"
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"record: {target} must end in {' or '.join(SUFFIXES)}, or be a folder that exists")
    return path


def files_of_recording(path: Path) -> tuple[Path, Path, Path]:
    """The sound, the labels for Audacity, and the labels as CSV; `path` has a name."""
    audacity, table = (path.with_suffix(suffix) for suffix in _LABEL_SUFFIXES)
    return path, audacity, table


class RecordingSink(Sink):
    """Writes what the pipeline hears, as it hears it, and a label for every phase once it is complete.

    Sample k of the file is sample k of the stream: where sound is missing there is silence, so all times of
    all other outlets are times in this file. The labels say what was shown, and can be corrected.
    `NAME.txt` is for Audacity, `NAME.csv` for tables; `breath-offline evaluate --streams` takes either.

    Args:
        path: see `recording_path`.

    Raises:
        ConfigError: one of the three files is there and holds something. No two sessions sound the same,
            so none is ever overwritten.
        OutputError: a file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._files = files_of_recording(path)
        for file in self._files:
            if is_there(file) and (not file.is_file() or file.stat().st_size > 0):
                raise ConfigError(
                    f"record: {file} is there already, and recordings are not overwritten; "
                    "give another name, a folder, or move it away"
                )
        self._sound: SoundWriter = open_sound_writer(path)
        self._labels: list[LineOutput] = []
        self._intervals = IntervalState.initial()
        self._is_closed = False
        try:
            for file in self._files[1:]:
                self._labels.append(LineOutput(str(file)))
            self._labels[1].write_line(csv_from_labels([]).rstrip("\n"))
        except BaseException:
            self.close()
            raise

    def hear(self, heard: Heard) -> None:
        """See `Sink`."""
        if len(heard.samples) == 0:
            return
        n_missing = heard.start_sample - self._sound.n_samples
        if n_missing > 0:
            self._sound.write_silence(n_missing)
        self._sound.write(heard.samples)

    def show(self, step: Step, status: Status) -> None:
        """See `Sink`."""
        if step.event is not None:
            self._intervals, complete = phase_began(
                self._intervals, step.event.phase, step.event.onset_sample
            )
            self._write_labels(complete)

    def report(self, event: Report) -> None:
        """See `Sink`."""
        if isinstance(event, Gap) and event.to_sample - event.from_sample >= SPLITTING_GAP_SAMPLES:
            self._intervals, complete = interrupted(self._intervals, event.from_sample, event.to_sample)
            self._write_labels(complete)

    def close(self) -> None:
        """See `Sink`. The phase that is shown last ends with the sound; nothing heard leaves no files."""
        if self._is_closed:
            return
        self._is_closed = True
        # Whatever fails, everything else is closed all the same.
        with ExitStack() as stack:
            stack.callback(self._remove_if_empty)
            for output in self._labels:
                stack.callback(output.close)
            self._sound.close()
            self._write_labels(finish(self._intervals, self._sound.n_samples))

    def _remove_if_empty(self) -> None:
        if self._sound.n_samples == 0:
            for file in self._files:
                file.unlink(missing_ok=True)

    def _write_labels(self, intervals: Sequence[PhaseInterval]) -> None:
        for interval in intervals:
            audacity, table = self._labels
            audacity.write_line(audacity_from_labels([interval]).rstrip("\n"))
            table.write_line(csv_from_labels([interval]).splitlines()[1])
