"""What the live path says: frames (one a hop), changes of phase, and how well it hears."""

from dataclasses import dataclass
from enum import StrEnum


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
        prob_exhale: P(exhale) of the ensemble for this window, 0-1, before smoothing.
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
    """Sound is missing.

    Attributes:
        from_sample: index, at 16 kHz, of the first sample that is missing.
        to_sample: index of the first that is there again, or where the session ended.
        reason: in words.
    """

    from_sample: int
    to_sample: int
    reason: str
