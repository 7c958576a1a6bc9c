"""What the live path says: frames (one a hop), changes of phase, breaths, and how well it hears."""

from dataclasses import dataclass
from enum import StrEnum

from engines.contract import RATE_HZ
from realtime.clock import seconds_from_samples

# In a shorter gap, of a machine that was busy, there is no room for a breath.
SPLITTING_GAP_SAMPLES = RATE_HZ // 2


class Phase(StrEnum):
    """What is shown at an instant."""

    INHALE = "inhale"
    EXHALE = "exhale"
    NONE = "none"


@dataclass(frozen=True)
class Frame:
    """The state of the display after one window.

    Attributes:
        end_sample: index, at 16 kHz, just after the newest sample that the window holds.
        prob_exhale: P(exhale) of the ensemble for this window alone, 0-1.
        phase: the phase shown from this moment on.
        confidence: how sure the shown phase is, 0-1.
        level_dbfs: level of the newest part of the sound within the pack's band, dB re full scale (<= 0).
    """

    end_sample: int
    prob_exhale: float
    phase: Phase
    confidence: float
    level_dbfs: float


@dataclass(frozen=True)
class PhaseEvent:
    """A change of the shown phase.

    Attributes:
        phase: the phase that begins.
        onset_sample: where it is believed to have begun, sample index at 16 kHz, <= `reported_sample`.
        reported_sample: newest sample that had been heard when it was reported, index at 16 kHz.
        confidence: 0-1, at the moment of reporting.
    """

    phase: Phase
    onset_sample: int
    reported_sample: int
    confidence: float


class Condition(StrEnum):
    """What can be wrong with the sound."""

    STALLED = "stalled"
    OVERRUNS = "overruns"
    CLIPPING = "clipping"
    TOO_QUIET = "too_quiet"
    DC_OFFSET = "dc_offset"
    HUM_50_HZ = "hum_50_hz"
    HUM_60_HZ = "hum_60_hz"


@dataclass(frozen=True)
class Health:
    """A condition begins or ends.

    Attributes:
        condition: which.
        is_beginning: whether it begins.
        sample: newest sample that had been heard when it was told, index at 16 kHz.
        value: what was measured, in `unit`; see `realtime.health.RULES`.
        unit: of the value.
    """

    condition: Condition
    is_beginning: bool
    sample: int
    value: float
    unit: str


@dataclass(frozen=True)
class Gap:
    """Sound is missing, or was not looked at.

    Attributes:
        from_sample: index, at 16 kHz, of the first sample that is missing.
        to_sample: index of the first that is there again, or where the session ended.
        reason: in words.
    """

    from_sample: int
    to_sample: int
    reason: str


@dataclass(frozen=True)
class Breath:
    """A complete breath: from the onset of an inhalation to the onset of the next one.

    The words are those of BreathMetrics (Noto et al. 2018, Chemical Senses 43(8)): each half has an onset, an
    offset, and may be followed by a pause. A pause that is not there lasts 0 s. The four durations add up to
    the cycle. All samples are indices at 16 kHz.

    Attributes:
        number: counted from 1 within a session; breaths that were not complete have none.
        inhale_onset_sample: where the inhalation begins.
        inhale_offset_sample: where it ends.
        exhale_onset_sample: where the exhalation begins.
        exhale_offset_sample: where it ends.
        end_sample: onset of the next inhalation.
        reported_sample: newest sample that had been heard when it was complete.
        minute_rate_per_min: breaths a minute over the complete breaths of the last minute, this one included.
        sdbb_s: standard deviation of the cycles within the variability window, s; None: fewer than two.
        rmssd_s: root mean square of the differences of neighbouring cycles there, s; None: no neighbours.
        confidence: mean of that of the answers while it was shown, 0-1; None: there were none.
    """

    number: int
    inhale_onset_sample: int
    inhale_offset_sample: int
    exhale_onset_sample: int
    exhale_offset_sample: int
    end_sample: int
    reported_sample: int
    minute_rate_per_min: float
    sdbb_s: float | None
    rmssd_s: float | None
    confidence: float | None = None

    @property
    def inhale_s(self) -> float:
        """Duration of the inhalation, s."""
        return seconds_from_samples(self.inhale_offset_sample - self.inhale_onset_sample)

    @property
    def inhale_pause_s(self) -> float:
        """Duration of the pause after the inhalation, s."""
        return seconds_from_samples(self.exhale_onset_sample - self.inhale_offset_sample)

    @property
    def exhale_s(self) -> float:
        """Duration of the exhalation, s."""
        return seconds_from_samples(self.exhale_offset_sample - self.exhale_onset_sample)

    @property
    def exhale_pause_s(self) -> float:
        """Duration of the pause after the exhalation, s."""
        return seconds_from_samples(self.end_sample - self.exhale_offset_sample)

    @property
    def cycle_s(self) -> float:
        """Breath-to-breath interval, s: from inhale onset to inhale onset."""
        return seconds_from_samples(self.end_sample - self.inhale_onset_sample)

    @property
    def ie_ratio(self) -> float:
        """Inhalation over exhalation, without their pauses; 0.5 is what is written 1:2."""
        inhale = self.inhale_offset_sample - self.inhale_onset_sample
        return inhale / (self.exhale_offset_sample - self.exhale_onset_sample)

    @property
    def rate_per_min(self) -> float:
        """Instantaneous rate, breaths a minute: 60 s over the cycle."""
        return 60.0 / self.cycle_s


@dataclass(frozen=True)
class Apnoea:
    """No breath has been heard for the chosen time, or breath is back: an apnoea-like pause. No diagnosis.

    Attributes:
        is_beginning: whether it has just lasted long enough to be one; otherwise it ends.
        onset_sample: where breath was last heard to stop, index at 16 kHz.
        sample: at its beginning, the newest sample that had been heard; at its end, where breath is back or
            the sound was lost. Index at 16 kHz.
    """

    is_beginning: bool
    onset_sample: int
    sample: int

    @property
    def duration_s(self) -> float:
        """How long it has lasted, s."""
        return seconds_from_samples(self.sample - self.onset_sample)


@dataclass(frozen=True)
class Mark:
    """Somebody marked a moment.

    Attributes:
        number: counted from 1 within a session.
        sample: newest sample that had been heard, index at 16 kHz.
    """

    number: int
    sample: int


# Everything that is reported beside the steps; a new kind belongs into the union and into `realtime.wire`.
Report = Health | Gap | Breath | Apnoea | Mark
