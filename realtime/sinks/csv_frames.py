"""Frames for programs: one CSV row per hop."""

from realtime.clock import seconds_from_samples
from realtime.pipeline import Step
from realtime.sinks.base import Status
from realtime.sinks.csv_rows import CsvRows

COLUMNS = ("time_s", "prob_exhale", "phase")


class CsvSink(CsvRows):
    """Writes a row per step: stream time of the newest sample used, P(exhale), the phase as shown."""

    def show(self, step: Step, status: Status) -> None:
        """See `Sink`."""
        frame = step.frame
        time_s = seconds_from_samples(frame.end_sample)
        self.write([str(time_s), f"{frame.prob_exhale:.6f}", frame.phase.value])
