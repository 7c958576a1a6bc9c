"""A synthetic breather: sound to try everything with where there is no microphone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.contract import RATE_HZ
from engines.errors import ConfigError
from realtime.clock import samples_from_seconds
from realtime.events import Phase
from realtime.sound.pacing import REAL_CLOCK, WallClock
from realtime.sound.sources import PacedSource


@dataclass(frozen=True)
class DemoPhase:
    """What the breather really did.

    Attributes:
        phase: inhale, exhale, or none for a pause.
        start_sample: index at 16 kHz of its first sample.
        end_sample: index just after its last sample, the start of the next phase.
    """

    phase: Phase
    start_sample: int
    end_sample: int


@dataclass(frozen=True)
class BreathSound:
    """How one kind of breath sound is.

    Attributes:
        duration_s: mean length, seconds.
        level_dbfs: RMS over its length, dB re full scale.
        spectrum: (frequency in Hz, power density in dB re the strongest) pairs, straight lines between.
        rise: part of the length at which the envelope peaks, 0-1.
        end_level: envelope just before the final fade, relative to its peak, 0-1.
    """

    duration_s: float
    level_dbfs: float
    spectrum: tuple[tuple[float, float], ...]
    rise: float
    end_level: float


# Both spectra follow the medians over the labelled HF_Lung_V1 clips (Hsu et al., 2021), with the difference
# between the two made half as large again: an inhalation is louder and brighter from 150 to 1000 Hz.
INHALE = BreathSound(
    duration_s=1.5,
    level_dbfs=-28.0,
    spectrum=(
        (0.0, -30.0), (40.0, -6.0), (80.0, -1.0), (120.0, 0.0), (200.0, 0.0), (300.0, -3.5), (400.0, -6.5),
        (500.0, -9.5), (700.0, -14.0), (1000.0, -21.0), (1500.0, -28.0), (1800.0, -38.0), (1950.0, -65.0),
        (2000.0, -120.0),
    ),
    rise=0.45,
    end_level=0.45,
)  # fmt: skip
EXHALE = BreathSound(
    duration_s=1.9,
    level_dbfs=-32.0,
    spectrum=(
        (0.0, -30.0), (40.0, -3.5), (80.0, 0.0), (120.0, -1.5), (200.0, -8.0), (300.0, -12.5), (400.0, -15.0),
        (500.0, -16.5), (700.0, -20.5), (1000.0, -25.5), (1500.0, -31.0), (1800.0, -41.0), (1950.0, -65.0),
        (2000.0, -120.0),
    ),
    rise=0.15,
    end_level=0.1,
)  # fmt: skip

_PAUSE_AFTER_INHALE_S = 0.12
_PAUSE_AFTER_EXHALE_S = 0.6
_NOISE_FLOOR_DBFS = -72.0
_FADE_S = 0.05
_VARIABILITY = 0.1


class DemoSource(PacedSource):
    """An endless breather, 16 kHz mono; the same samples for the same seed, however they are taken.

    Band-limited noise (nothing above 2 kHz but the faint floor) shaped into inhalation, short pause,
    exhalation, pause; lengths and levels vary by about a tenth from breath to breath.

    Args:
        seconds: how long it goes on; None is for ever.
        seed: of everything that is drawn.
        block_samples: see `PacedSource`.
        pace: 1.0 is real time; paced it is live: a consumer that is late gets all that is due at once.
        clock: see `PacedSource`.

    Raises:
        ConfigError: `seconds` is not positive, or `block_samples` or `pace` cannot be used.
    """

    def __init__(
        self,
        seconds: float | None = None,
        *,
        seed: int = 0,
        block_samples: int | None = None,
        pace: float | None = 1.0,
        clock: WallClock = REAL_CLOCK,
    ) -> None:
        super().__init__(
            "demo", RATE_HZ, 1, block_samples=block_samples, pace=pace, is_live=True, clock=clock
        )
        self._n_total = None if seconds is None else samples_from_seconds(seconds)
        if self._n_total is not None and self._n_total < 1:
            raise ConfigError(f"a demo of {seconds} s is impossible; give a positive number of seconds")
        self._seed = seed
        self._phases: list[DemoPhase] = []

    @property
    def phases(self) -> tuple[DemoPhase, ...]:
        """What has been breathed so far, without holes; the last one may still be under way."""
        return tuple(self._phases)

    def _pieces(self) -> Iterator[NDArray[np.float32]]:
        rng = np.random.default_rng(self._seed)
        start = 0
        for phase, samples in _phases_drawn(rng):
            rest = len(samples) if self._n_total is None else self._n_total - start
            piece = samples[:rest]
            end = start + len(piece)
            self._phases.append(DemoPhase(phase, start, end))
            yield piece[:, np.newaxis]
            if end == self._n_total:
                return
            start = end


def _phases_drawn(rng: np.random.Generator) -> Iterator[tuple[Phase, NDArray[np.float32]]]:
    """Breath after breath, for ever: each phase with its sound, (n,) float32."""
    yield Phase.NONE, _over_floor(rng, np.zeros(samples_from_seconds(_PAUSE_AFTER_EXHALE_S)))
    while True:
        # A deep breath is deep in both directions.
        depth = _varied(rng, 1.0)
        for phase, kind, pause_s in (
            (Phase.INHALE, INHALE, _PAUSE_AFTER_INHALE_S),
            (Phase.EXHALE, EXHALE, _PAUSE_AFTER_EXHALE_S),
        ):
            yield phase, _over_floor(rng, _breath_sound(rng, kind, depth))
            n_pause = samples_from_seconds(_varied(rng, pause_s))
            yield Phase.NONE, _over_floor(rng, np.zeros(n_pause))


def _breath_sound(rng: np.random.Generator, kind: BreathSound, depth: float) -> NDArray[np.float64]:
    n = samples_from_seconds(_varied(rng, kind.duration_s) * depth)
    noise = np.fft.rfft(rng.standard_normal(n))
    frequencies_hz, levels_db = zip(*kind.spectrum, strict=True)
    gain_db = np.interp(np.fft.rfftfreq(n, 1 / RATE_HZ), frequencies_hz, levels_db)
    shaped = np.fft.irfft(noise * 10 ** (gain_db / 20), n) * _envelope(n, kind)
    level = 10 ** (kind.level_dbfs / 20) * depth * _varied(rng, 1.0)
    return np.asarray(shaped * (level / np.sqrt(np.mean(shaped**2))))


def _envelope(n: int, kind: BreathSound) -> NDArray[np.float64]:
    """(n,), 0-1: a quarter sine up to the peak, a half cosine down to the end level, faded to zero."""
    at = np.arange(n) / n
    rising = np.sin(0.5 * np.pi * np.minimum(at / kind.rise, 1.0))
    fall = np.clip((at - kind.rise) / (1.0 - kind.rise), 0.0, 1.0)
    falling = kind.end_level + (1.0 - kind.end_level) * 0.5 * (1.0 + np.cos(np.pi * fall))
    n_fade = min(n, samples_from_seconds(_FADE_S))
    envelope = rising * falling
    envelope[n - n_fade :] *= 0.5 * (1.0 + np.cos(np.pi * np.arange(n_fade) / n_fade))
    return np.asarray(envelope)


def _over_floor(rng: np.random.Generator, sound: NDArray[np.float64]) -> NDArray[np.float32]:
    floor = rng.standard_normal(len(sound)) * 10 ** (_NOISE_FLOOR_DBFS / 20)
    return (sound + floor).astype(np.float32)


def _varied(rng: np.random.Generator, mean: float) -> float:
    """A draw around `mean`; never further than three standard deviations, so nothing is ever empty."""
    return float(mean * (1.0 + _VARIABILITY * np.clip(rng.standard_normal(), -3.0, 3.0)))
