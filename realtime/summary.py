"""What happened in a session, as figures and as some lines for people."""

from dataclasses import dataclass, field

from engines.latency import LatencySummary
from realtime.stage_meters import StageSummary, text_from_stages
from realtime.telling import counted

_SHOWN_MISSING_S = 0.05


@dataclass(frozen=True)
class Summary:
    """What happened in a session.

    Attributes:
        heard_s: stream time, seconds.
        n_windows: windows looked at.
        skipped_windows: windows left out because newer ones were due.
        lost_samples: samples that the source lost, at its own rate.
        n_inhalations: inhalations shown.
        n_exhalations: exhalations shown.
        breaths_per_min: over the last minute; None without a complete breath.
        latency: from a complete window to its step; None without a window.
        n_breaths: complete breaths.
        stages: where the time went.
        missing_s: seconds of the stream time of which there is no sound: lost, or not heard in a pause.
        mean_rate_per_min: over all complete breaths, the inverse of their mean cycle; None without any.
        sdbb_s, rmssd_s: variability of all their cycles, see `Breath`.
    """

    heard_s: float
    n_windows: int
    skipped_windows: int
    lost_samples: int
    n_inhalations: int
    n_exhalations: int
    breaths_per_min: float | None
    latency: LatencySummary | None
    n_breaths: int = 0
    stages: StageSummary = field(default_factory=StageSummary)
    missing_s: float = 0.0
    mean_rate_per_min: float | None = None
    sdbb_s: float | None = None
    rmssd_s: float | None = None


def text_from_summary(name: str, summary: Summary) -> str:
    """Some lines about a session; stages are of the latest 4,096 windows or drawings."""
    rate = counted(summary.n_breaths, "complete breath")
    if summary.breaths_per_min is not None:
        rate += f", {summary.breaths_per_min:.1f} breaths/min in the last minute"
    latency = summary.latency
    lag = (
        f"p50 {latency.p50_ms:.1f} ms, p99 {latency.p99_ms:.1f} ms"
        if latency
        else "none, no window was complete"
    )
    return (
        f"{name}: heard {_text_from_times(summary)}, {counted(summary.n_windows, 'window')}, "
        f"{summary.skipped_windows} skipped, {summary.lost_samples} samples lost\n"
        f"  inhalations {summary.n_inhalations}, exhalations {summary.n_exhalations}, {rate}\n"
        f"{_text_from_cycles(summary)}"
        f"  latency {lag}{_text_from_total(summary.stages.total)}"
        + (f"\n  p50/p99 of stages, ms: {text_from_stages(summary.stages)}" if latency else "")
    )


def _text_from_cycles(summary: Summary) -> str:
    """A line about all breaths, once there is a variability to tell of."""
    if summary.mean_rate_per_min is None or summary.sdbb_s is None:
        return ""
    text = (
        f"  all breaths: {summary.mean_rate_per_min:.1f} breaths/min, SD of the cycle {summary.sdbb_s:.2f} s"
    )
    return text + ("\n" if summary.rmssd_s is None else f", RMSSD {summary.rmssd_s:.2f} s\n")


def _text_from_times(summary: Summary) -> str:
    heard = f"{summary.heard_s - summary.missing_s:.1f} s"
    return heard if summary.missing_s < _SHOWN_MISSING_S else f"{heard} of {summary.heard_s:.1f} s"


def _text_from_total(total: LatencySummary | None) -> str:
    return "" if total is None else f"; sound to screen p50 {total.p50_ms:.1f} ms, p99 {total.p99_ms:.1f} ms"
