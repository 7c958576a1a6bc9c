"""What a stream holds besides breath, at levels relative to it: other sounds, noise, a heart."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.compose.levels import amplitude_from_db, band_power, db_from_power
from offline.compose.material import DayMaterial
from offline.compose.negatives import Negatives
from offline.compose.noise import heart_beats, recording_floor, surrounding_noise
from offline.compose.settings import ComposeSettings
from offline.compose.timeline import Timeline
from realtime.clock import samples_from_seconds

# A sound with little in the breath's band would be raised beyond measure to reach its level there.
_MOST_ABOVE_BREATH_DB = 20.0


def add_negatives(
    sound: NDArray[np.float32],
    timeline: Timeline,
    breath_power: float,
    negatives: Negatives,
    settings: ComposeSettings,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Put sounds that are not breathing into long pauses and over anything, in place.

    Args:
        sound: (n,) float32, the stream so far.
        timeline: where its pauses are.
        breath_power: mean square of the breath within the labelled phases and the breath's band.
        negatives: what to put in.
        settings: how much of it.
        rng: source of what and where.

    Returns:
        What was put where, as plain values.
    """
    used: list[dict[str, Any]] = []
    for start, n_samples in _negative_places(timeline, settings, rng):
        piece, what = negatives.stretch(n_samples, rng)
        snr_db = rng.uniform(*settings.negative_snr_db)
        piece = piece[: len(sound) - start]
        most_raised = float(np.mean(piece**2)) * 10 ** (-_MOST_ABOVE_BREATH_DB / 10)
        power = max(band_power(piece), most_raised)
        if power <= 0:
            continue
        gain = np.sqrt(breath_power / power) * amplitude_from_db(-snr_db)
        sound[start : start + len(piece)] += piece * np.float32(gain)
        used.append({**what, "start_sample": start, "n_samples": len(piece), "snr_db": round(snr_db, 2)})
    return used


def add_noise(
    sound: NDArray[np.float32],
    day: DayMaterial,
    breath_power: float,
    settings: ComposeSettings,
    floor_rng: np.random.Generator,
    noise_rng: np.random.Generator,
) -> dict[str, Any]:
    """Add the recording's own floor and, unless the stream is clean, noise, in place; what was drawn.

    The floor is noise as well: with a ratio of breath to noise asked for, it is the sum of the two that has
    it, and a floor that is too loud by itself is turned down.
    """
    drawn: dict[str, Any] = {"snr_db": None, "floor_snr_db": None}
    floor, floor_power = None, 0.0
    if settings.floor_db is not None:
        gain = amplitude_from_db(floor_rng.uniform(*settings.floor_db))
        floor = recording_floor(len(sound), day, floor_rng) * np.float32(gain)
        floor_power = band_power(floor)
    if settings.snr_db is not None and noise_rng.random() >= settings.clean_share:
        snr_db = noise_rng.uniform(*settings.snr_db)
        noise, drawn_noise = surrounding_noise(len(sound), settings, noise_rng)
        drawn.update({**drawn_noise, "snr_db": round(snr_db, 2)})
        wanted = breath_power / 10 ** (snr_db / 10)
        if floor is not None and floor_power > wanted:
            floor *= np.float32(np.sqrt(wanted / floor_power))
            floor_power = wanted
        sound += noise * np.float32(np.sqrt((wanted - floor_power) / band_power(noise)))
    if floor is not None:
        sound += floor
        drawn["floor_snr_db"] = round(db_from_power(breath_power / max(floor_power, 1e-20)), 2)
    return drawn


def add_heart(
    sound: NDArray[np.float32],
    breath_rms: float,
    settings: ComposeSettings,
    rng: np.random.Generator,
) -> dict[str, Any] | None:
    """Add heart beats to some streams, in place; what was drawn, None without a heart."""
    if rng.random() >= settings.heart_share:
        return None
    heart_db = rng.uniform(*settings.heart_db)
    beats, drawn = heart_beats(len(sound), rng)
    # A thump at its loudest is about a sine, whose amplitude is the root of 2 times its level.
    sound += beats * np.float32(np.sqrt(2) * breath_rms * amplitude_from_db(heart_db))
    return {**drawn, "level_db": round(heart_db, 2)}


def _negative_places(
    timeline: Timeline, settings: ComposeSettings, rng: np.random.Generator
) -> Iterable[tuple[int, int]]:
    """Start and length, in samples."""
    for start, end in timeline.pauses:
        if rng.random() < settings.pause_negative_share:
            yield start, end - start
    per_min = rng.uniform(*settings.negatives_per_min)
    for _ in range(rng.poisson(per_min * settings.seconds / 60)):
        n_samples = samples_from_seconds(rng.uniform(*settings.negative_s))
        yield int(rng.integers(timeline.n_samples)), n_samples
