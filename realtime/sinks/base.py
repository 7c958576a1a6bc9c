"""What every sink is."""

from dataclasses import dataclass
from typing import Protocol

from realtime.events import Gap, Health
from realtime.pipeline import Step


@dataclass(frozen=True)
class Status:
    """How the session is doing, beside what is heard.

    Attributes:
        stream_s: stream time so far, seconds.
        breaths_per_min: over the last minute; None before the first complete breath.
        latency_p50_ms: median time from a complete window to its step, milliseconds.
        latency_p99_ms: its 99th percentile, milliseconds.
        skipped_windows: windows left out because newer ones were due.
        lost_samples: samples that the source lost, at its own rate.
    """

    stream_s: float
    breaths_per_min: float | None
    latency_p50_ms: float
    latency_p99_ms: float
    skipped_windows: int
    lost_samples: int


class Sink(Protocol):
    """Takes in steps, in order, on the thread of the live path: it must be quick, and never wait."""

    def show(self, step: Step, status: Status) -> None:
        """Take in one step.

        Raises:
            OutputError: it cannot be written.
        """

    def report(self, event: Health | Gap) -> None:
        """Take in how well the sound is heard.

        Raises:
            OutputError: it cannot be written.
        """

    def notice(self, text: str) -> None:
        """Take in a warning for the user."""

    def close(self) -> None:
        """Write what is pending and give everything back; closing twice is fine."""
