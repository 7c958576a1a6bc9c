"""From phase events to the breathing rate."""

from dataclasses import dataclass
from typing import Self

from engines.contract import RATE_HZ
from realtime.events import Phase, PhaseEvent

RATE_SPAN_S = 60.0


@dataclass(frozen=True)
class RateState:
    """Onsets of the inhalations of the last minute, oldest first (samples at 16 kHz).

    A breath begins with an inhalation; one that follows another without an exhalation between them is the
    same breath going on after a pause.
    """

    inhale_onsets: tuple[int, ...] = ()
    has_exhaled: bool = True

    @classmethod
    def initial(cls) -> Self:
        """No breath yet."""
        return cls()

    @property
    def n_breaths(self) -> int:
        """Complete breaths within the last minute."""
        return max(0, len(self.inhale_onsets) - 1)

    @property
    def breaths_per_min(self) -> float | None:
        """Mean rate over the complete breaths of the last minute; None before the first is complete."""
        if self.n_breaths == 0:
            return None
        return 60.0 * self.n_breaths * RATE_HZ / (self.inhale_onsets[-1] - self.inhale_onsets[0])


def advance(state: RateState, event: PhaseEvent) -> RateState:
    """Take in a change of phase."""
    if event.phase is Phase.EXHALE:
        return RateState(state.inhale_onsets, has_exhaled=True)
    if event.phase is Phase.NONE or not state.has_exhaled:
        return state
    oldest = event.onset_sample - RATE_SPAN_S * RATE_HZ
    recent = (onset for onset in (*state.inhale_onsets, event.onset_sample) if onset >= oldest)
    return RateState(tuple(recent), has_exhaled=False)
