"""Streams from material: a timeline, its breath, what sounds around it, and the channel."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import ConfigError
from offline.compose.breathing import Breath, breath_from_timeline
from offline.compose.channel import through_channel
from offline.compose.levels import amplitude_from_db, band_power
from offline.compose.material import DayMaterial, Material
from offline.compose.negatives import Negatives
from offline.compose.noise import surrounding_noise
from offline.compose.settings import ComposeSettings
from offline.compose.surroundings import add_heart, add_negatives, add_noise
from offline.compose.timeline import draw_timeline
from realtime.clock import samples_from_seconds
from realtime.labels import PhaseInterval

_STAGES = ("day", "timeline", "breath", "negatives", "floor", "noise", "heart", "channel")
_NEGATIVE_GAP_S = (0.3, 3.0)
_NEGATIVE_SPREAD_DB = (-20.0, 0.0)
_NEGATIVE_NOISE_DB = (-50.0, -20.0)


@dataclass(frozen=True, eq=False)
class Stream:
    """A spliced stream.

    Attributes:
        samples: (n,) float32 at 16 kHz on the grid of 16 bits, within [-1, 1).
        phases: the truth, in the order of time.
        parameters: all that was drawn, as plain values that JSON can hold.
    """

    samples: NDArray[np.float32]
    phases: tuple[PhaseInterval, ...]
    parameters: dict[str, Any]


class Composer:
    """Makes streams, each from the clips of one day; the same seed makes the same stream.

    Each stage draws from a source of its own: another noise leaves the breath as it is. Composers may share
    material and negatives, and a composer may be copied into other processes.

    Args:
        material: the clips.
        settings: the recipe.
        negatives: sounds that are not breathing; without, there are none in the streams.
    """

    def __init__(
        self, material: Material, settings: ComposeSettings, negatives: Negatives | None = None
    ) -> None:
        self.material = material
        self.settings = settings
        self.negatives = negatives
        self._day_names = tuple(material.days)
        # Between one share for each day and one for each clip: large days have more to give, but not all.
        sizes = [sum(len(takes) for takes in day.takes.values()) for day in material.days.values()]
        self._day_shares = np.sqrt(sizes) / np.sum(np.sqrt(sizes))

    def stream(self, seed: int, day: str | None = None) -> Stream:
        """One stream.

        Args:
            seed: 0 or more; another seed, another stream.
            day: which day to use; drawn if not given.

        Raises:
            ConfigError: the material does not have this day.
            AudioFileError: a negative sound cannot be read.
        """
        rngs = _rngs(seed)
        chosen = self._day(day, rngs["day"])
        timeline = draw_timeline(self.settings, rngs["timeline"])
        breath = breath_from_timeline(timeline, chosen, self.settings, rngs["breath"])
        breath_power, breath_rms = _breath_level(breath, chosen)
        parameters: dict[str, Any] = {
            "kind": self.settings.kind,
            "day": chosen.day,
            "seed": seed,
            "seconds": self.settings.seconds,
            "n_unheard_exhalations": timeline.n_unheard,
            "long_pauses": [list(pause) for pause in timeline.pauses],
        }
        sound = breath.samples.copy()
        if self.negatives is not None:
            parameters["negatives"] = add_negatives(
                sound, timeline, breath_power, self.negatives, self.settings, rngs["negatives"]
            )
        noise = add_noise(sound, chosen, breath_power, self.settings, rngs["floor"], rngs["noise"])
        parameters.update(noise=noise, snr_db=noise.pop("snr_db"))
        parameters["heart"] = add_heart(sound, breath_rms, self.settings, rngs["heart"])
        samples, parameters["channel"] = through_channel(sound, breath.phases, self.settings, rngs["channel"])
        parameters["clips"] = list(breath.clips)
        return Stream(samples, breath.phases, parameters)

    def negative_stream(self, seed: int) -> Stream:
        """A stream without any breath: negative sounds one after the other, noise between them, no phases.

        Raises:
            ConfigError: the composer has no negatives.
            AudioFileError: one of them cannot be read.
        """
        if self.negatives is None:
            raise ConfigError("streams without breath need sounds that are not breathing: give --negatives")
        rngs = _rngs(seed)
        rng = rngs["negatives"]
        sound, drawn = surrounding_noise(
            samples_from_seconds(self.settings.seconds), self.settings, rngs["noise"]
        )
        level_db = rng.uniform(*_NEGATIVE_NOISE_DB)
        sound *= np.float32(amplitude_from_db(level_db) / _rms(sound))
        used: list[dict[str, Any]] = []
        at = 0
        while (at := at + samples_from_seconds(rng.uniform(*_NEGATIVE_GAP_S))) < len(sound):
            piece, what = self.negatives.stretch(samples_from_seconds(rng.uniform(1.0, 5.0)), rng)
            gain_db = rng.uniform(*_NEGATIVE_SPREAD_DB)
            piece = piece[: len(sound) - at] * np.float32(amplitude_from_db(gain_db) / (_rms(piece) or 1.0))
            sound[at : at + len(piece)] += piece
            used.append({**what, "start_sample": at, "n_samples": len(piece), "level_db": round(gain_db, 2)})
            at += len(piece)
        samples, channel = through_channel(sound, (), self.settings, rngs["channel"])
        return Stream(
            samples,
            (),
            {
                "kind": "negative",
                "seed": seed,
                "seconds": self.settings.seconds,
                "negatives": used,
                "noise": {**drawn, "level_db": round(level_db, 2)},
                "channel": channel,
            },
        )

    def _day(self, name: str | None, rng: np.random.Generator) -> DayMaterial:
        drawn = self._day_names[int(rng.choice(len(self._day_names), p=self._day_shares))]
        try:
            return self.material.days[name or drawn]
        except KeyError as error:
            why = self.material.left_out.get(name or drawn, "no such day among the clips")
            raise ConfigError(f"no stream can be made from the day {name}: {why}") from error


def _rngs(seed: int) -> dict[str, np.random.Generator]:
    if seed < 0:
        raise ConfigError(f"a seed is 0 or more, not {seed}")
    children = np.random.SeedSequence(seed).spawn(len(_STAGES))
    return {stage: np.random.default_rng(child) for stage, child in zip(_STAGES, children, strict=True)}


def _breath_level(breath: Breath, day: DayMaterial) -> tuple[float, float]:
    """Of the labelled phases: mean square within the breath's band, root mean square of the whole band.

    Without a single phase the rest still needs a level to be relative to, which is that of the clips.
    """
    n_breathed = sum(phase.end_sample - phase.start_sample for phase in breath.phases)
    if not n_breathed:
        level = amplitude_from_db(max(day.median_level_db.values()))
        return level**2, level
    energy = float(np.sum(breath.samples**2, dtype=np.float64))
    in_band = band_power(breath.samples) * len(breath.samples)
    return in_band / n_breathed, float(np.sqrt(energy / n_breathed))


def _rms(sound: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(sound**2)))
