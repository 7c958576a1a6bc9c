"""A timeline filled with the sounds of one day: the breath of a stream, and nothing else."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.compose.grains import texture_from_clip
from offline.compose.levels import amplitude_from_db
from offline.compose.material import DayMaterial, Take
from offline.compose.settings import ComposeSettings
from offline.compose.timeline import Slot, Timeline
from realtime.clock import samples_from_seconds
from realtime.events import Phase
from realtime.labels import PhaseInterval

# A clip this much shorter than its slot is played whole, with its own end, and the phase ends with it.
_WHOLE_TOLERANCE = 0.1
# How many clips to look at for one of a fitting length; at rest the long ones would otherwise be all.
_N_CANDIDATES = {False: 5, True: 3}
_FAST_OWN_PART = 0.85
_SLOW_OWN_PART = 0.45
_SLOW_ONSET_S = (0.15, 0.35)


@dataclass(frozen=True)
class Breath:
    """The breath of a stream.

    Attributes:
        samples: (n,) float32, at the level of the clips; zeros where nobody breathes.
        phases: the truth.
        clips: of each phase its clip, place and treatment, as plain values.
    """

    samples: NDArray[np.float32]
    phases: tuple[PhaseInterval, ...]
    clips: tuple[dict[str, Any], ...]


def breath_from_timeline(
    timeline: Timeline, day: DayMaterial, settings: ComposeSettings, rng: np.random.Generator
) -> Breath:
    """Put a clip, cut or carried on, into every slot."""
    spread = rng.uniform(*settings.level_spread)
    fade = samples_from_seconds(rng.uniform(*settings.crossfade_s))
    # Room for the fall of the last phase, which may end with the stream.
    sound = np.zeros(timeline.n_samples + fade, np.float32)
    phases: list[PhaseInterval] = []
    clips: list[dict[str, Any]] = []
    last: dict[Phase, Take] = {}
    for slot in timeline.slots:
        phase, start = slot.interval.phase, slot.interval.start_sample
        n_wanted = slot.interval.end_sample - start
        take = _take_for(day.takes[phase], n_wanted, last.get(phase), slot.is_slow, rng)
        last[phase] = take
        gain_db = (spread - 1) * (take.level_db - day.median_level_db[phase])
        rendered, n_samples, is_carried_on = _rendered(take, slot, fade, settings, rng)
        sound[start : start + len(rendered)] += rendered * np.float32(amplitude_from_db(gain_db))
        phases.append(PhaseInterval(start, start + n_samples, phase))
        clips.append(
            {
                "file": take.name,
                "start_sample": start,
                "n_samples": n_samples,
                "phase": phase.value,
                "is_carried_on": is_carried_on,
                "gain_db": round(gain_db, 2),
            }
        )
    return Breath(sound[: timeline.n_samples], tuple(phases), tuple(clips))


def faded(sound: NDArray[np.float32], n_in: int, n_out: int) -> NDArray[np.float32]:
    """A copy that rises from nothing over `n_in` samples and falls to it over `n_out`, along a cosine."""
    shaped = sound.copy()
    n_in, n_out = min(n_in, len(shaped)), min(n_out, len(shaped))
    shaped[:n_in] *= _rise(n_in)
    if n_out:
        shaped[-n_out:] *= _rise(n_out)[::-1]
    return shaped


def _take_for(
    takes: tuple[Take, ...], n_wanted: int, last: Take | None, is_slow: bool, rng: np.random.Generator
) -> Take:
    """Of a few clips, not the one that was just heard, that whose natural length is nearest."""
    drawn = rng.choice(len(takes), min(_N_CANDIDATES[is_slow] + 1, len(takes)), replace=False)
    others = [take for take in (takes[int(index)] for index in drawn) if take is not last]
    candidates: list[Take] = others[: _N_CANDIDATES[is_slow]] or [takes[0]]
    distances = [abs(len(take.samples) - n_wanted) for take in candidates]
    return candidates[int(np.argmin(distances))]


def _rendered(
    take: Take, slot: Slot, fade: int, settings: ComposeSettings, rng: np.random.Generator
) -> tuple[NDArray[np.float32], int, bool]:
    """Sound of a phase (up to one fade longer than it), length of the phase, whether it is carried on."""
    n_wanted = slot.interval.end_sample - slot.interval.start_sample
    n_natural = len(take.samples)
    release = min(samples_from_seconds(rng.uniform(*settings.release_s)), n_wanted // 3)
    if not slot.is_slow and (1 - _WHOLE_TOLERANCE) * n_wanted <= n_natural <= n_wanted:
        return faded(take.samples, fade, fade), n_natural, False
    if n_natural > n_wanted:
        return faded(take.samples[: n_wanted + fade], fade, release), n_wanted, False
    return faded(_carried_on(take, slot, fade, settings, rng), fade, release), n_wanted, True


def _carried_on(
    take: Take, slot: Slot, fade: int, settings: ComposeSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The clip's own onset, then its texture under an envelope that ends with the slot."""
    n_wanted = slot.interval.end_sample - slot.interval.start_sample
    n_own = round((_SLOW_OWN_PART if slot.is_slow else _FAST_OWN_PART) * len(take.samples))
    if slot.is_slow:
        n_own = min(n_own, samples_from_seconds(rng.uniform(*_SLOW_ONSET_S)))
    grain = samples_from_seconds(rng.uniform(*settings.grain_s))
    fade = min(fade, n_own)
    texture, steady_level = texture_from_clip(take.samples, n_wanted - n_own + fade, grain, rng)
    at_join = take.samples[max(0, n_own - grain) : n_own]
    own_level = float(np.clip(np.sqrt(np.mean(at_join**2)), 0.35 * steady_level, 2.0 * steady_level))
    time = np.arange(n_own - fade, n_wanted, dtype=np.float32) / np.float32(n_wanted)
    envelope, onset_gain = _envelope(slot, time, n_own / n_wanted, steady_level / own_level, settings, rng)
    carried = np.zeros(n_wanted, np.float32)
    rise = _rise(fade)
    carried[:n_own] = take.samples[:n_own] * np.float32(onset_gain)
    # The two do not correlate, so their powers are what must add up.
    carried[n_own - fade : n_own] *= np.sqrt(rise[::-1])
    texture[:fade] *= np.sqrt(rise)
    carried[n_own - fade :] += texture * envelope * np.float32(own_level * onset_gain)
    return carried


def _envelope(
    slot: Slot,
    time: NDArray[np.float32],
    join: float,
    room: float,
    settings: ComposeSettings,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], float]:
    """Level over time (0-1 of the phase) relative to that at the join, and the gain of what is before it.

    An exhalation falls exponentially. An inhalation follows a power of a half sine whose peak lies near the
    middle; the onset is turned down so that the peak is about as loud as the clip, which has `room` left.
    """
    if slot.interval.phase is Phase.EXHALE:
        decay_db = rng.uniform(*settings.exhale_decay_db)
        if not slot.is_slow:
            decay_db *= 1 - join
        fall = -decay_db / 20 * np.log(10) / max(1 - join, 1e-3)
        return np.exp(np.float32(fall) * np.maximum(time - np.float32(join), 0)), 1.0
    warp = np.log(0.5) / np.log(rng.uniform(0.4, 0.6))
    power = rng.uniform(0.5, 0.9)

    def arch(at: NDArray[np.float32] | float) -> NDArray[np.float32]:
        return np.asarray(np.sin(np.pi * np.clip(at, 0, 1) ** warp) ** power, np.float32)

    at_join = max(float(arch(join)), 0.05)
    onset_gain = float(np.clip(at_join * room * 1.1, 0.35, 1.4)) if slot.is_slow else 1.0
    return arch(time) / np.float32(at_join), onset_gain


def _rise(n_samples: int) -> NDArray[np.float32]:
    """From just above 0 to just below 1 along half a cosine."""
    at = (np.arange(n_samples, dtype=np.float32) + np.float32(0.5)) / max(n_samples, 1)
    return np.sin(np.float32(np.pi / 2) * at) ** 2
