"""Labelled recordings into a clip set: a second of sound for every inhalation and exhalation."""

import csv
import io
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from engines.contract import RATE_HZ, WINDOW_SAMPLES
from engines.errors import LabelsError
from offline.cut.labels_beside import check_end
from offline.cut.recordings import Recording
from offline.output import filled_at_once
from offline.sound import pieces_as_heard
from realtime.clock import seconds_from_samples
from realtime.events import Phase
from realtime.labels import PhaseInterval

SHORTEST_SAMPLES = RATE_HZ // 10

# The table comes last: a folder without it is no clip set.
_SOUNDS, _DURATIONS, _TABLE = "audio", "true_durations.csv", "train.csv"
_BLOCK_SAMPLES = 65_536
_FULL_SCALE = 32_768


@dataclass(frozen=True)
class CutClips:
    """What was cut.

    Attributes:
        n_by_day: clips of each phase by day, sorted by day.
        n_short: phases left out because less than 0.1 s of them is there.
        notices: what the sounds had to say, such as that one is cut off.
    """

    n_by_day: Mapping[str, Counter[Phase]]
    n_short: int
    notices: tuple[str, ...]


def cut(
    recordings: Sequence[Recording],
    out: Path,
    progress: Callable[[int, int], None] = lambda _n_done, _n_all: None,
) -> CutClips:
    """Write a clip set that `ClipSet.read` reads: audio/*.wav, true_durations.csv and train.csv.

    A clip is the first second of its phase: 16 kHz, mean of the channels, 16 bits. A shorter phase is
    repeated until the second is full, as in the clips of HF_Lung_V1, and true_durations.csv has its length.
    The name ends with where the phase begins in the recording, in milliseconds.

    Everything is written into a hidden folder in `out` and moved to its place in the end, the table last:
    whatever stops it, `out` is no clip set unless it is a whole one.

    Args:
        recordings: of `find_recordings`.
        out: folder of the set; made if it is not there, else empty.
        progress: called with phases done and phases in all.

    Raises:
        OutputError: `out` holds something, or cannot be written.
        AudioError: a recording cannot be read, or has a rate that cannot be used.
        LabelsError: labels go on where the sound has ended, or no phase is long enough.
    """
    notices: list[str] = []
    rows: list[tuple[str, str, str]] = []
    durations: list[tuple[str, str]] = []
    n_by_day: dict[str, Counter[Phase]] = {}
    n_done, n_all = 0, sum(len(recording.labels.phases) for recording in recordings)
    with filled_at_once(out, last=_TABLE) as folder:
        (folder / _SOUNDS).mkdir()
        for recording in recordings:
            for interval, sound in _sounds_of_phases(recording, notices):
                if len(sound) >= SHORTEST_SAMPLES:
                    name = f"{recording.name}_{interval.start_sample * 1000 // RATE_HZ:08d}.wav"
                    (folder / _SOUNDS / name).write_bytes(_wav_of_a_second(sound))
                    rows.append((name, interval.phase.value, recording.day))
                    durations.append((name, str(seconds_from_samples(len(sound)))))
                    n_by_day.setdefault(recording.day, Counter())[interval.phase] += 1
                n_done += 1
                progress(n_done, n_all)
        if not rows:
            raise LabelsError(f"none of {n_all} labelled phases is 0.1 s long; there is nothing to cut")
        _write_table(folder / _DURATIONS, ("file_name", "duration_s"), durations)
        _write_table(folder / _TABLE, ("file_name", "label", "day"), rows)
    return CutClips(dict(sorted(n_by_day.items())), n_all - len(rows), tuple(notices))


def _sounds_of_phases(
    recording: Recording, notices: list[str]
) -> Iterator[tuple[PhaseInterval, NDArray[np.float32]]]:
    """Every phase with its first second, or with what there is of it: (n,) float32 at 16 kHz."""
    waiting = deque(recording.labels.phases)
    held, held_from = np.zeros(0, np.float32), 0
    for piece in pieces_as_heard(recording.sound, _BLOCK_SAMPLES, notices):
        held = np.concatenate([held, piece])
        while waiting and _kept_end(waiting[0]) <= held_from + len(held):
            interval = waiting.popleft()
            yield interval, held[interval.start_sample - held_from : _kept_end(interval) - held_from]
        n_past = len(held)
        if waiting:
            n_past = min(n_past, max(0, waiting[0].start_sample - held_from))
        held, held_from = held[n_past:], held_from + n_past
    check_end(recording.labels, recording.sound, held_from + len(held))
    for interval in waiting:
        yield interval, held[max(0, interval.start_sample - held_from) :]


def _kept_end(interval: PhaseInterval) -> int:
    return min(interval.end_sample, interval.start_sample + WINDOW_SAMPLES)


def _wav_of_a_second(sound: NDArray[np.float32]) -> bytes:
    # Whole numbers, because a conversion by the writer would scale once more.
    steps = np.clip(np.rint(sound * np.float32(_FULL_SCALE)), -_FULL_SCALE, _FULL_SCALE - 1)
    file = io.BytesIO()
    soundfile.write(
        file, np.resize(steps.astype(np.int16), WINDOW_SAMPLES), RATE_HZ, subtype="PCM_16", format="WAV"
    )
    return file.getvalue()


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as text:
        csv.writer(text, lineterminator="\n").writerows([columns, *rows])
