"""Stream samples on another clock, from when they arrived."""

from dataclasses import dataclass
from typing import Self

from engines.contract import RATE_HZ

_BUCKET_SAMPLES = 2 * RATE_HZ
_KEPT_BUCKETS = 15


@dataclass(frozen=True)
class ArrivalClock:
    """Where the stream's sample 0 lies on a clock.

    Every arrival says that its newest sample was made then or earlier: waiting in queues and a busy machine
    only ever add. So the smallest difference of the last 30 s is believed (the minimum filter of clock
    synchronisation). What all arrivals have in common, the delay of the sound card and its driver, stays in
    it; the rest, the jitter, is what the promptest arrival of 30 s was late by, and the drift of the sound
    card's clock against this one within that time (50 ppm are 1.5 ms).

    Attributes:
        smallest: (which 2 s of the stream, smallest arrival minus stream time within them in seconds),
            oldest first.
    """

    smallest: tuple[tuple[int, float], ...] = ()

    @classmethod
    def initial(cls) -> Self:
        """Nothing has arrived."""
        return cls()

    def time_s(self, sample: int) -> float:
        """When `sample`, at 16 kHz, was heard; seconds on the clock of the arrivals.

        Raises:
            ValueError: nothing has arrived yet.
        """
        return min(offset_s for _, offset_s in self.smallest) + sample / RATE_HZ


def advance(state: ArrivalClock, newest_sample: int, arrived_s: float) -> ArrivalClock:
    """Sound up to just before `newest_sample`, index at 16 kHz, came at `arrived_s`."""
    bucket = newest_sample // _BUCKET_SAMPLES
    offset_s = arrived_s - newest_sample / RATE_HZ
    kept = [entry for entry in state.smallest if bucket - _KEPT_BUCKETS < entry[0] < bucket]
    same = [known_s for index, known_s in state.smallest if index == bucket]
    return ArrivalClock((*kept, (bucket, min([offset_s, *same]))))
