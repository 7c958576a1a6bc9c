"""Where the time goes in a session, from a sound being made to its answer being shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from engines.latency import LatencyMeter, LatencySummary
from realtime.pipeline import Step

DISPLAY = "display"


@dataclass(frozen=True)
class Shown:
    """A step was shown; all in seconds of `time.perf_counter`.

    Attributes:
        captured_s: see `Step`.
        decided_s: see `Step`.
        shown_s: when the drawing was complete.
    """

    captured_s: float | None
    decided_s: float
    shown_s: float


@dataclass(frozen=True)
class StageSummary:
    """Statistics of the latest steps.

    Attributes:
        by_stage: see `Step.stages_s`, and last `display`, from the step being complete to it being shown.
        total: from the newest sound being made to its answer being shown; None: the source is not live, or
            nothing has been shown.
    """

    by_stage: Mapping[str, LatencySummary] = field(default_factory=dict)
    total: LatencySummary | None = None


class StageMeters:
    """One meter a stage, each of a fixed size; used by one thread."""

    def __init__(self) -> None:
        self._by_stage: dict[str, LatencyMeter] = {}
        self._display = LatencyMeter()
        self._total = LatencyMeter()

    def add_step(self, step: Step) -> None:
        """Take in what came before the step was complete."""
        for stage, duration_s in step.stages_s.items():
            # Another engine may take over in mid-stream, and have other stages.
            if stage not in self._by_stage:
                self._by_stage[stage] = LatencyMeter()
            self._by_stage[stage].add(duration_s)

    def add_shown(self, shown: Shown) -> None:
        """Take in what came after it."""
        self._display.add(shown.shown_s - shown.decided_s)
        if shown.captured_s is not None:
            self._total.add(shown.shown_s - shown.captured_s)

    def summary(self) -> StageSummary:
        """All of it."""
        meters = self._by_stage | {DISPLAY: self._display}
        summaries = {stage: found for stage, meter in meters.items() if (found := meter.summary())}
        return StageSummary(summaries, self._total.summary())


def text_from_stages(summary: StageSummary) -> str:
    """The stages in one line, such as `wait 12.1/21.4, features 5.0/7.2`: p50/p99, milliseconds."""
    return ", ".join(
        f"{stage} {found.p50_ms:.1f}/{found.p99_ms:.1f}" for stage, found in summary.by_stage.items()
    )
