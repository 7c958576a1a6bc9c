"""From changes of the shown phase to the intervals they make: never overlapping, in the order of time."""

from dataclasses import dataclass, replace
from typing import Self

from engines.contract import WINDOW_SAMPLES
from realtime.events import Phase
from realtime.labels import PhaseInterval


@dataclass(frozen=True)
class IntervalState:
    """The interval that is not complete.

    Attributes:
        phase: shown now.
        start_sample: where it began, or where the sound came back during it; index at 16 kHz.
        known_from: the same, but after a gap where the first window ends: before that nothing says that it
            goes on.
    """

    phase: Phase = Phase.NONE
    start_sample: int = 0
    known_from: int = 0

    @classmethod
    def initial(cls) -> Self:
        """Nothing shown yet."""
        return cls()


def phase_began(
    state: IntervalState, phase: Phase, onset_sample: int
) -> tuple[IntervalState, list[PhaseInterval]]:
    """Another phase is shown, and believed to have begun at `onset_sample`; what that completes, if anything.

    An onset before the start of the phase before is taken to be there.
    """
    onset_sample = max(onset_sample, state.start_sample)
    return IntervalState(phase, onset_sample, onset_sample), finish(state, onset_sample)


def interrupted(
    state: IntervalState, from_sample: int, to_sample: int
) -> tuple[IntervalState, list[PhaseInterval]]:
    """No sound between the two: nobody knows what happened there. What that completes, if anything."""
    complete = finish(state, from_sample)
    start_sample = max(state.start_sample, to_sample)
    return replace(state, start_sample=start_sample, known_from=start_sample + WINDOW_SAMPLES), complete


def finish(state: IntervalState, end_sample: int) -> list[PhaseInterval]:
    """The session ends at `end_sample`: the last interval, unless it is empty or no breath."""
    if state.phase is Phase.NONE or end_sample <= state.known_from:
        return []
    return [PhaseInterval(state.known_from, end_sample, state.phase)]
