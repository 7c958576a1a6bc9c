"""The sounds that streams are spliced from: the natural part of every clip, in memory, by day and phase."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from engines.contract import LABEL_EXHALE
from engines.errors import LabelsError
from offline.clips import Clip, ClipSet, read_clip
from offline.compose.levels import amplitude_from_db, band_power, db_from_power
from realtime.events import Phase

MIN_CLIPS = 6
FLOOR_FFT = 512

_SHORTEST_SAMPLES = 1600
# Power of one bin of noise is exponentially distributed: its 10th percentile is this part of its mean.
_QUIET_SHARE = 0.1
_QUIET_TO_MEAN = -np.log(1 - _QUIET_SHARE)


@dataclass(frozen=True, eq=False)
class Take:
    """The natural part of one clip.

    Attributes:
        name: path of its file within the clip set.
        phase: inhale or exhale.
        samples: (n,) float32 at 16 kHz, level as recorded, mean removed; starts where the phase starts.
        level_db: power within the breath band, dB re full scale.
    """

    name: str
    phase: Phase
    samples: NDArray[np.float32] = field(repr=False)
    level_db: float


@dataclass(frozen=True, eq=False)
class DayMaterial:
    """What one day has.

    Attributes:
        day: its name.
        takes: of each phase.
        median_level_db: of each phase's takes, dB re full scale.
        floor_density: (257,) float32, amplitude at each bin of a 512-point FFT of the noise below the breath.
        floor_power: mean square of that noise.
    """

    day: str
    takes: Mapping[Phase, tuple[Take, ...]]
    median_level_db: Mapping[Phase, float]
    floor_density: NDArray[np.float32] = field(repr=False)
    floor_power: float


@dataclass(frozen=True)
class Material:
    """Takes of several days; share one among many composers, nothing in it changes.

    Attributes:
        days: what each day has, sorted by day.
        left_out: days with too little, and why.
    """

    days: Mapping[str, DayMaterial]
    left_out: Mapping[str, str]

    @classmethod
    def from_takes(cls, takes: Iterable[tuple[str, Take]], min_clips: int = MIN_CLIPS) -> "Material":
        """Group (day, take) pairs; a day with fewer than `min_clips` takes of a phase is left out.

        Raises:
            LabelsError: no day has enough.
        """
        by_day: defaultdict[str, list[Take]] = defaultdict(list)
        for day, take in takes:
            by_day[day].append(take)
        days: dict[str, DayMaterial] = {}
        left_out: dict[str, str] = {}
        for day, all_takes in sorted(by_day.items()):
            by_phase = {
                phase: tuple(take for take in all_takes if take.phase is phase)
                for phase in (Phase.INHALE, Phase.EXHALE)
            }
            counts = {phase: len(found) for phase, found in by_phase.items()}
            if min(counts.values()) < min_clips:
                left_out[day] = f"{counts[Phase.INHALE]} inhalations, {counts[Phase.EXHALE]} exhalations"
            else:
                days[day] = _day_from_takes(day, by_phase)
        if not days:
            raise LabelsError(
                f"none of {len(by_day)} days has {min_clips} clips of each phase, of known natural length; "
                "a stream is spliced from one day: add clips, or true_durations.csv (file_name,duration_s)"
            )
        return cls(days, left_out)

    @classmethod
    def read(
        cls,
        clips: ClipSet,
        min_clips: int = MIN_CLIPS,
        progress: Callable[[int, int], None] = lambda _n_done, _n_all: None,
    ) -> "Material":
        """Load clips; those shorter than 0.1 s, or of unknown natural length, are not used.

        Raises:
            LabelsError: no day has enough.
            AudioFileError: a file cannot be read.
        """
        known = [clip for clip in clips if _is_long_enough(clip)]
        takes: list[tuple[str, Take]] = []
        for n_done, clip in enumerate(known, start=1):
            takes.append((clip.day, _take_from_clip(clips.name_of(clip), clip)))
            progress(n_done, len(known))
        return cls.from_takes(takes, min_clips)


def take_from_samples(name: str, phase: Phase, samples: NDArray[np.float32]) -> Take:
    """A take of these samples, its mean removed."""
    centred = (samples - samples.mean()).astype(np.float32)
    centred.flags.writeable = False
    return Take(name, phase, centred, db_from_power(band_power(centred)))


def days_with_enough(clips: Iterable[Clip], min_clips: int = MIN_CLIPS) -> set[str]:
    """The days that `Material` could use, told without reading a sound."""
    counts = Counter((clip.day, clip.label) for clip in clips if _is_long_enough(clip))
    days = {day for day, _ in counts}
    return {day for day in days if min(counts[day, label] for label in (0, 1)) >= min_clips}


def _is_long_enough(clip: Clip) -> bool:
    return (clip.natural_samples or 0) >= _SHORTEST_SAMPLES


def _take_from_clip(name: str, clip: Clip) -> Take:
    phase = Phase.EXHALE if clip.label == LABEL_EXHALE else Phase.INHALE
    return take_from_samples(name, phase, read_clip(clip.path)[: clip.natural_samples])


def _day_from_takes(day: str, takes: Mapping[Phase, tuple[Take, ...]]) -> DayMaterial:
    medians = {phase: float(np.median([take.level_db for take in found])) for phase, found in takes.items()}
    # At the level that a typical clip has: the quietest clip of a day is no measure for the loud ones.
    levelled = [
        take.samples * amplitude_from_db(medians[phase] - take.level_db)
        for phase, found in takes.items()
        for take in found
    ]
    density, power = _floor_from_sounds(levelled)
    return DayMaterial(day, takes, medians, density, power)


def _floor_from_sounds(sounds: Iterable[NDArray[np.float32]]) -> tuple[NDArray[np.float32], float]:
    """Amplitude at each bin and power of the noise that is left when, bin by bin, the breath is quietest."""
    window = np.hanning(FLOOR_FFT).astype(np.float32)
    frames = np.concatenate(
        [np.lib.stride_tricks.sliding_window_view(sound, FLOOR_FFT)[:: FLOOR_FFT // 2] for sound in sounds]
    )
    powers = np.abs(fft.rfft(frames * window, axis=1)) ** 2
    quiet = np.quantile(powers, _QUIET_SHARE, axis=0) / _QUIET_TO_MEAN
    power = 2 * float(quiet.sum()) / (FLOOR_FFT * float((window**2).sum()))
    return np.sqrt(quiet).astype(np.float32), power
