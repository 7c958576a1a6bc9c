"""A clip's texture carried on for as long as a phase lasts: granular synthesis without a loop to be heard.

Overlapping Hann grains (Roads, Microsound, 2001) from random places of the clip's steady part, in random
polarity and brought to one level, are added and divided by the root of the summed squares of their windows:
sounds that do not correlate then keep a constant power.
"""

import numpy as np
from numpy.typing import NDArray

# What comes before is the attack, what comes after the decay; a sound cut at the second has no decay.
_STEADY_PART = (0.15, 0.88)
_OVERLAP = 4
# A heart beat, a knock or a crackle of the clip would come back with every grain that holds it.
_LOUDEST, _QUIETEST = 1.6, 0.5
_EVENEST_PART = 0.7
_BURST_SAMPLES = 64
_STEP_SAMPLES = 16


def texture_from_clip(
    samples: NDArray[np.float32], n_samples: int, grain_samples: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], float]:
    """A steady sound of any length with the spectrum of a clip's steady part.

    Args:
        samples: (n,) float32, the clip.
        n_samples: wanted length, at least 1.
        grain_samples: wanted length of a grain; shorter where the clip's steady part is too short for it.
        rng: source of the places.

    Returns:
        The sound, (n_samples,) float32 with a root mean square near 1, and the root mean square of the
        clip's steady part.
    """
    first, last = (round(part * len(samples)) for part in _STEADY_PART)
    grain_samples = min(grain_samples, max(_OVERLAP, 2 * (last - first) // 3))
    starts, levels = _steady_places(samples, first, last, grain_samples)
    hop = max(1, grain_samples // _OVERLAP)
    window = np.hanning(grain_samples + 2)[1:-1].astype(np.float32)
    n_grains = (n_samples + grain_samples) // hop + 2
    chosen = rng.integers(len(starts), size=n_grains)
    factors = (rng.choice((-1.0, 1.0), n_grains) / levels[chosen]).astype(np.float32)
    # Uneven distances, lest the hop itself be heard as a beat.
    offsets = np.arange(n_grains) * hop + rng.integers(-(hop // 4), hop // 4 + 1, size=n_grains) + hop
    sound = np.zeros(int(offsets[-1]) + grain_samples, np.float32)
    weight = np.zeros_like(sound)
    square = window**2
    for start, offset, factor in zip(starts[chosen], offsets, factors, strict=True):
        sound[offset : offset + grain_samples] += samples[start : start + grain_samples] * (window * factor)
        weight[offset : offset + grain_samples] += square
    inside = slice(grain_samples + hop, grain_samples + hop + n_samples)
    return (sound[inside] / np.sqrt(weight[inside])).astype(np.float32), float(np.median(levels))


def _steady_places(
    samples: NDArray[np.float32], first: int, last: int, grain_samples: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Where grains may start, and the root mean square of each, without those that stick out."""
    energy = np.concatenate(([0.0], np.cumsum(np.square(samples, dtype=np.float64))))
    starts = np.arange(first, max(first + 1, last - grain_samples), _STEP_SAMPLES)
    levels = np.sqrt(np.maximum((energy[starts + grain_samples] - energy[starts]) / grain_samples, 1e-14))
    typical = np.median(levels)
    is_usual = (levels > _QUIETEST * typical) & (levels < _LOUDEST * typical)
    starts, levels = starts[is_usual], levels[is_usual]
    bursts = energy[_BURST_SAMPLES::_STEP_SAMPLES] - energy[:-_BURST_SAMPLES:_STEP_SAMPLES]
    n_bursts = max(1, (grain_samples - _BURST_SAMPLES) // _STEP_SAMPLES)
    loudest = np.lib.stride_tricks.sliding_window_view(bursts, n_bursts).max(axis=1)
    unevenness = loudest[np.minimum(-(-starts // _STEP_SAMPLES), len(loudest) - 1)] / levels**2
    is_even = unevenness <= np.quantile(unevenness, _EVENEST_PART)
    return starts[is_even], levels[is_even]
