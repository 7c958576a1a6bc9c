"""What every sink is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from realtime.events import Report
from realtime.intake import Heard
from realtime.pipeline import Step
from realtime.stage_meters import Shown, StageSummary


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
        stages: where the time goes, as of a second ago at most.
    """

    stream_s: float
    breaths_per_min: float | None
    latency_p50_ms: float
    latency_p99_ms: float
    skipped_windows: int
    lost_samples: int
    stages: StageSummary = field(default_factory=StageSummary)


class Sink:
    """Takes in steps, in order, on the thread of the live path: it must be quick, and never wait.

    What a sink does not override, it does not care for.
    """

    def hear(self, heard: Heard) -> None:
        """Take in a piece of sound, before the steps that it brings.

        Raises:
            OutputError: it cannot be written.
        """

    def show(self, step: Step, status: Status) -> None:
        """Take in one step.

        Raises:
            OutputError: it cannot be written.
        """

    def report(self, event: Report) -> None:
        """Take in a breath, a pause, a mark, or how well the sound is heard. Breaths follow their step.

        Raises:
            OutputError: it cannot be written.
        """

    def notice(self, text: str) -> None:
        """Take in a warning for the user."""

    def take_notices(self) -> list[str]:
        """What people should know of the sink itself and were not told before, oldest first."""
        return []

    def pause(self) -> None:
        """Somebody has paused the session: nothing is heard until the next step."""

    def close(self) -> None:
        """Write what is pending and give everything back; closing twice is fine."""


@runtime_checkable
class Display(Protocol):
    """A sink on which a step is to be seen only some time after it was taken in."""

    def take_shown(self) -> list[Shown]:
        """What was shown and not told before, oldest first."""


def tap_from_sinks(sinks: Sequence[Sink]) -> Callable[[Heard], None]:
    """What lets every sink hear."""

    def hear(heard: Heard) -> None:
        for sink in sinks:
            sink.hear(heard)

    return hear
