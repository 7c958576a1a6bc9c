"""What a spliced stream may be like: every range that something is drawn from, with its unit."""

from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from engines.errors import ConfigError
from offline.compose.phase_times import DEFAULT_PHASE_TIMES, PhaseTimes

Kind = Literal["fast", "slow", "mixed"]
Range = tuple[float, float]

_SIGNED = ("_db",)


@dataclass(frozen=True)
class ComposeSettings:
    """A stream's recipe. A range (low, high) is drawn from once a stream, or once for each thing it is about.

    Attributes:
        kind: `fast`: phases as the clips and the timelines have them; `slow`: breathing at rest, phases
            carried on beyond the clips; `mixed`: sections of both in turn.
        seconds: length of a stream.
        phase_times: lengths of phases and gaps of fast breathing.
        tempo_correlation: how alike the phases of one fast stream are, 0 (not at all) to 1: correlation of
            the normal scores of two lengths of one kind. The recordings behind the table have 0.5 to 0.75.
        slow_inhale_s: length of an inhalation at rest; drawn for the stream, as all that is `slow_`.
        slow_exhale_s: length of an exhalation at rest.
        slow_gap_s: from the end of an inhalation to the exhalation.
        slow_pause_s: from the end of an exhalation to the inhalation.
        slow_rate_per_min: breaths per minute that the four together must make.
        slow_variation: standard deviation of the logarithm of each length, from breath to breath.
        mixed_section_s: length of a section of one kind in a mixed stream.
        lead_in_s: without breath before the first phase.
        long_pauses_per_min: longer pauses, after exhalations only.
        long_pause_s: length of one.
        unheard_exhale_share: part of the exhalations that make no sound, and so have no label.
        level_spread: part that is kept of a clip's distance in level from the median of its day and phase; a
            day may hold several patients and places of the chest, a stream is one breather.
        crossfade_s: length of every fade at a join.
        release_s: length of the fall at the end of a phase whose clip goes on.
        grain_s: length of the grains that carry a phase on.
        exhale_decay_db: what an exhalation that is carried on falls by until its end.
        floor_db: level of the noise that fills the stream, relative to that of the day's quietest moments;
            None leaves the gaps empty.
        snr_db: power of the breath within the labelled phases over that of the noise, both within
            `offline.compose.levels.BREATH_BAND_HZ` and before the channel; None adds no noise.
        clean_share: part of the streams that get no noise although `snr_db` is given.
        hum_share: part of the noisy streams with the mains' hum.
        hum_db: power of the hum relative to the coloured noise.
        heart_share: part of the streams with heart beats.
        heart_db: power of a beat at its loudest relative to the breath within the labelled phases.
        negatives_per_min: stretches of sounds that are not breathing, over anything.
        negative_s: length of such a stretch.
        negative_snr_db: power of the breath over that of such a stretch.
        pause_negative_share: part of the long pauses that are filled with such a sound.
        reverb_share: part of the streams with reverberation.
        rt60_s: time in which reverberation falls by 60 dB.
        wet_db: power of the reverberation relative to the direct sound.
        colour_share: part of the streams with a microphone's colour: the next three.
        eq_db: standard deviation of the gain at each of the points of a smooth curve.
        highpass_hz: corner of the microphone's lower limit, drawn evenly in octaves.
        lowpass_hz: corner of its upper limit, drawn evenly in octaves.
        gain_db: level, re full scale, that one in a thousand samples of the breath exceeds in the end.
        soft_clip_share: part of the streams with an overdriven input.
        soft_clip_db: by how much it is overdriven.
    """

    kind: Kind = "fast"
    seconds: float = 60.0
    phase_times: PhaseTimes = field(default=DEFAULT_PHASE_TIMES)
    tempo_correlation: float = 0.6
    slow_inhale_s: Range = (1.0, 2.0)
    slow_exhale_s: Range = (1.5, 3.0)
    slow_gap_s: Range = (0.03, 0.25)
    slow_pause_s: Range = (0.3, 2.0)
    slow_rate_per_min: Range = (8.0, 16.0)
    slow_variation: float = 0.08
    mixed_section_s: Range = (12.0, 30.0)
    lead_in_s: Range = (0.2, 1.5)
    long_pauses_per_min: Range = (0.0, 2.0)
    long_pause_s: Range = (2.0, 8.0)
    unheard_exhale_share: Range = (0.0, 0.1)
    level_spread: Range = (0.2, 0.8)
    crossfade_s: Range = (0.005, 0.010)
    release_s: Range = (0.03, 0.08)
    grain_s: Range = (0.06, 0.12)
    exhale_decay_db: Range = (8.0, 18.0)
    floor_db: Range | None = (-12.0, 0.0)
    snr_db: Range | None = (5.0, 30.0)
    clean_share: float = 0.2
    hum_share: float = 0.2
    hum_db: Range = (-10.0, 3.0)
    heart_share: float = 0.3
    heart_db: Range = (-10.0, 6.0)
    negatives_per_min: Range = (0.0, 4.0)
    negative_s: Range = (0.5, 4.0)
    negative_snr_db: Range = (-5.0, 15.0)
    pause_negative_share: float = 0.5
    reverb_share: float = 0.2
    rt60_s: Range = (0.1, 0.6)
    wet_db: Range = (-20.0, -6.0)
    colour_share: float = 0.8
    eq_db: float = 4.0
    highpass_hz: Range = (20.0, 150.0)
    lowpass_hz: Range = (1800.0, 7800.0)
    gain_db: Range = (-30.0, 0.0)
    soft_clip_share: float = 0.05
    soft_clip_db: Range = (3.0, 10.0)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(f"a stream is of the kind fast, slow or mixed, not {self.kind!r}")
        if not 1 <= self.seconds <= 3600:
            raise ConfigError(f"a stream lasts 1 to 3600 seconds, not {self.seconds:g}")
        for item in fields(self):
            _check(item.name, getattr(self, item.name))
        parts = (self.slow_inhale_s, self.slow_exhale_s, self.slow_gap_s, self.slow_pause_s)
        shortest_s, longest_s = (sum(part[side] for part in parts) for side in (0, 1))
        low_per_min, high_per_min = self.slow_rate_per_min
        if min(low_per_min, high_per_min) <= 0 or not (
            shortest_s < 60 / low_per_min and 60 / high_per_min < longest_s
        ):
            raise ConfigError(
                f"slow breaths of {shortest_s:g} to {longest_s:g} s never make {low_per_min:g} to "
                f"{high_per_min:g} breaths per minute; change slow_rate_per_min or the lengths"
            )

    @property
    def without_surroundings(self) -> dict[str, float | Range | None]:
        """Changes, for `dataclasses.replace`, that leave the breath alone: nothing added, no channel."""
        return {
            "floor_db": None,
            "snr_db": None,
            "heart_share": 0.0,
            "negatives_per_min": (0.0, 0.0),
            "pause_negative_share": 0.0,
            "reverb_share": 0.0,
            "colour_share": 0.0,
            "soft_clip_share": 0.0,
            "gain_db": (-12.0, -12.0),
        }


def _check(name: str, value: object) -> None:
    if isinstance(value, tuple):
        low, high = value
        if not low <= high:
            raise ConfigError(f"{name}: a range is (low, high), not ({low:g}, {high:g})")
        if low < 0 and not name.endswith(_SIGNED):
            raise ConfigError(f"{name}: {low:g} is below 0")
        if name.endswith(("_share", "level_spread")) and high > 1:
            raise ConfigError(f"{name}: {high:g} is more than the whole, 1")
        if (
            name in ("grain_s", "crossfade_s", "release_s", "highpass_hz", "lowpass_hz", "rt60_s")
            and low <= 0
        ):
            raise ConfigError(f"{name}: must be above 0")
    elif (name.endswith("_share") or name == "tempo_correlation") and not (
        isinstance(value, float | int) and 0 <= value <= 1
    ):
        raise ConfigError(f"{name}: a share lies between 0 and 1, not {value!r}")
