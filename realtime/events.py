"""What the live path says: frames (one a hop) and phase events (one a change of phase)."""

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
