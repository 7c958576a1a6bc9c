"""Phase events for programs: one JSON object per change of phase."""

import json

from realtime.clock import seconds_from_samples
from realtime.events import PhaseEvent
from realtime.pipeline import Step
from realtime.sinks.base import Status
from realtime.sinks.output import LineOutput


class JsonlSink:
    """Writes the change of phase of each step that has one, as a line of JSON.

    Args:
        output: where to; it is left open, so that several sessions can write to it.
        file: goes into every object as `file`; None: there is no such key.
    """

    def __init__(self, output: LineOutput, file: str | None = None) -> None:
        self._output = output
        self._file = file

    def show(self, step: Step, status: Status) -> None:
        """See `Sink`."""
        if step.event is not None:
            self._output.write_line(json_from_event(step.event, self._file))

    def notice(self, text: str) -> None:
        """Notices are for people."""

    def close(self) -> None:
        """Nothing is pending: every line was handed over when it came."""


def json_from_event(event: PhaseEvent, file: str | None = None) -> str:
    """One line: `{"event":"phase","phase":...,"onset_s":...,"reported_s":...,"confidence":...}`.

    Times are stream seconds, the confidence is 0-1 with four decimals; `file` is added unless it is None.
    """
    content: dict[str, str | float] = {
        "event": "phase",
        "phase": event.phase.value,
        "onset_s": seconds_from_samples(event.onset_sample),
        "reported_s": seconds_from_samples(event.reported_sample),
        "confidence": round(event.confidence, 4),
    }
    if file is not None:
        content["file"] = file
    return json.dumps(content, separators=(",", ":"), allow_nan=False)
