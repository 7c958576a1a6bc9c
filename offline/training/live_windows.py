"""Windows as the live path cuts them: anywhere in spliced streams, labelled by what goes on at their end."""

from dataclasses import dataclass, replace
from typing import cast, get_args

import numpy as np
import soxr
from numpy.typing import NDArray

from engines.contract import LABEL_EXHALE, RATE_HZ, WINDOW_SAMPLES
from offline.clips import Clip, ClipSet, read_clip
from offline.compose.channel import octave_uniform, through_channel
from offline.compose.composer import Composer, Stream
from offline.compose.levels import band_power
from offline.compose.material import Material
from offline.compose.negatives import Negatives
from offline.compose.noise import surrounding_noise
from offline.compose.settings import ComposeSettings, Kind
from offline.training.live_settings import BATCH_WINDOWS, KINDS, LiveSettings, WindowKind
from offline.training.opinions import Opinions
from realtime.clock import samples_from_seconds
from realtime.events import Phase
from realtime.labels import PhaseInterval

NO_BREATH, BREATH, UNKNOWN = 0, 1, -1
"""What `Windows.presence` says."""

_STREAMS_PER_BATCH = 2


@dataclass(frozen=True)
class Windows:
    """A batch of windows with what goes on at the end of each.

    Attributes:
        samples: (B, 16000) float32.
        prob_exhale: (B,) float32, 1 = exhale, 0 = inhale, between them where opinions say so; of no meaning
            where there is no breath.
        presence: (B,) int8, `BREATH`, `NO_BREATH` or `UNKNOWN`. A clip says nothing of it: most are loops.
    """

    samples: NDArray[np.float32]
    prob_exhale: NDArray[np.float32]
    presence: NDArray[np.int8]

    @property
    def targets(self) -> NDArray[np.float32]:
        """(B, 2) float32 in 0-1: 1 = exhale, 1 = breath."""
        return np.stack([self.prob_exhale, self.presence == BREATH], axis=1).astype(np.float32)

    @property
    def weights(self) -> NDArray[np.float32]:
        """(B, 2) float32: whether phase and presence are known."""
        return np.stack([self.presence != NO_BREATH, self.presence != UNKNOWN], axis=1).astype(np.float32)


class WindowSource:
    """Draws batches of windows from the clips of some days; the same seeds, the same batch.

    Args:
        clips: the labelled clips of these days.
        negatives: sounds that are not breathing, of the same part of the split.
        settings: what to draw.
        opinions: of the clips, for softer targets; None: the labels.

    Raises:
        LabelsError: no day has enough clips of known length to splice a stream from.
    """

    def __init__(
        self,
        clips: ClipSet,
        negatives: Negatives,
        settings: LiveSettings,
        opinions: Opinions | None = None,
    ) -> None:
        self._set = clips
        self._clips = clips.clips
        self._settings = settings
        self._negatives = negatives
        self._opinions = opinions or Opinions(0.0, {})
        self._recipe = ComposeSettings(seconds=settings.stream_s, snr_db=settings.snr_db)
        self._material = Material.read(clips)

    def batch(self, seeds: tuple[int, ...]) -> Windows:
        """`BATCH_WINDOWS` windows of one kind."""
        rng = np.random.default_rng(np.random.SeedSequence(seeds))
        shares = np.array(self._settings.shares)
        kind = KINDS[int(rng.choice(len(KINDS), p=shares / shares.sum()))]
        if kind == "clip":
            chosen = rng.choice(len(self._clips), BATCH_WINDOWS, replace=len(self._clips) < BATCH_WINDOWS)
            return self._of_clips([self._clips[int(index)] for index in chosen], rng)
        parts = [self._of_stream(kind, rng) for _ in range(_STREAMS_PER_BATCH)]
        return Windows(
            np.concatenate([part.samples for part in parts]),
            np.concatenate([part.prob_exhale for part in parts]),
            np.concatenate([part.presence for part in parts]),
        )

    def _of_stream(self, kind: WindowKind, rng: np.random.Generator) -> Windows:
        recipe = self._recipe
        if rng.random() < self._settings.bare_share:
            floor_db = recipe.floor_db if rng.random() < 0.5 else None
            changes = recipe.without_surroundings | {"gain_db": recipe.gain_db, "floor_db": floor_db}
            recipe = replace(recipe, **changes)  # type: ignore[arg-type]
        if kind in get_args(Kind):
            recipe = replace(recipe, kind=cast(Kind, kind))
        composer = Composer(self._material, recipe, self._negatives)
        seed = int(rng.integers(2**62))
        stream = composer.negative_stream(seed) if kind == "negative" else composer.stream(seed)
        sound, phases = at_tempo(stream, octave_uniform(self._settings.tempo, rng))
        ends = rng.integers(WINDOW_SAMPLES, len(sound) + 1, BATCH_WINDOWS // _STREAMS_PER_BATCH)
        at = phases_at(phases, ends - 1 - samples_from_seconds(self._settings.label_lag_s))
        targets = np.array([*self._targets(stream), 0.0], np.float32)
        samples = np.stack([sound[end - WINDOW_SAMPLES : end] for end in ends])
        samples *= np.float32(rng.choice((-1.0, 1.0)))
        return Windows(
            samples,
            # Where there is no phase, that is the last one, and means nothing.
            targets[at],
            np.where(at < 0, NO_BREATH, BREATH).astype(np.int8),
        )

    def _targets(self, stream: Stream) -> list[float]:
        """Of each phase of a stream; one without breath has none."""
        clips = stream.parameters.get("clips", [])
        return [
            self._opinions.target(clip["file"], float(phase.phase is Phase.EXHALE))
            for phase, clip in zip(stream.phases, clips, strict=True)
        ]

    def _of_clips(self, clips: list[Clip], rng: np.random.Generator) -> Windows:
        samples = np.stack([self._heard(read_clip(clip.path), clip, rng) for clip in clips])
        targets = [
            self._opinions.target(self._set.name_of(clip), float(clip.label == LABEL_EXHALE))
            for clip in clips
        ]
        return Windows(samples, np.array(targets, np.float32), np.full(len(clips), UNKNOWN, np.int8))

    def _heard(self, sound: NDArray[np.float32], clip: Clip, rng: np.random.Generator) -> NDArray[np.float32]:
        """A clip as it is, or by another microphone in a noisier place."""
        if rng.random() < self._settings.bare_share:
            return sound
        phase = Phase.EXHALE if clip.label == LABEL_EXHALE else Phase.INHALE
        tempo = octave_uniform(self._settings.tempo, rng)
        stretched = _resampled(sound, tempo)
        # The end of a faster clip is filled with its own beginning, as in most clips.
        stretched = np.resize(stretched, WINDOW_SAMPLES)
        power = band_power(stretched)
        if rng.random() >= self._recipe.clean_share and self._recipe.snr_db is not None and power > 0:
            noise, _ = surrounding_noise(WINDOW_SAMPLES, self._recipe, rng)
            wanted = power / 10 ** (rng.uniform(*self._recipe.snr_db) / 10)
            stretched = stretched + noise * np.float32(np.sqrt(wanted / band_power(noise)))
        whole = (PhaseInterval(0, WINDOW_SAMPLES, phase),)
        heard, _ = through_channel(stretched * np.float32(rng.choice((-1.0, 1.0))), whole, self._recipe, rng)
        return heard


def phases_at(phases: tuple[PhaseInterval, ...], samples: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which phase goes on at some samples, by its place among them; -1 where there is none; (n,) int64."""
    if not phases:
        return np.full(len(samples), -1)
    starts = np.array([phase.start_sample for phase in phases])
    ends = np.array([phase.end_sample for phase in phases])
    at = np.searchsorted(starts, samples, side="right") - 1
    return np.where((at >= 0) & (samples < ends[at]), at, -1)


def at_tempo(stream: Stream, tempo: float) -> tuple[NDArray[np.float32], tuple[PhaseInterval, ...]]:
    """A stream played faster (`tempo` > 1) or slower, and its phases then."""
    phases = tuple(
        PhaseInterval(round(phase.start_sample / tempo), round(phase.end_sample / tempo), phase.phase)
        for phase in stream.phases
    )
    return _resampled(stream.samples, tempo), phases


def _resampled(sound: NDArray[np.float32], tempo: float) -> NDArray[np.float32]:
    resampled: NDArray[np.float32] = soxr.resample(sound, RATE_HZ * tempo, RATE_HZ, quality="MQ")
    return resampled
