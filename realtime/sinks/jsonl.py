"""Events for programs: one JSON object per change of phase, condition of the sound, and gap."""

import json

from realtime.clock import seconds_from_samples
from realtime.events import Gap, Health, PhaseEvent
from realtime.pipeline import Step
from realtime.sinks.base import Status
from realtime.sinks.output import LineOutput


class JsonlSink:
    """Writes a line of JSON for each change of phase, and for all that is reported.

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

    def report(self, event: Health | Gap) -> None:
        """See `Sink`."""
        self._output.write_line(json_from_event(event, self._file))

    def notice(self, text: str) -> None:
        """Notices are for people."""

    def close(self) -> None:
        """Nothing is pending: every line was handed over when it came."""


def json_from_event(event: PhaseEvent | Health | Gap, file: str | None = None) -> str:
    """One line, of one of these forms; times are stream seconds, `file` is added unless it is None.

    - `{"event":"phase","phase":...,"onset_s":...,"reported_s":...,"confidence":...}`, confidence 0-1;
    - `{"event":"health","condition":...,"state":"begins|ends","time_s":...,"value":...,"unit":...}`;
    - `{"event":"gap","from_s":...,"to_s":...,"reason":...}`.
    """
    content = _content(event)
    if file is not None:
        content["file"] = file
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def _content(event: PhaseEvent | Health | Gap) -> dict[str, str | float]:
    if isinstance(event, PhaseEvent):
        return {
            "event": "phase",
            "phase": event.phase.value,
            "onset_s": seconds_from_samples(event.onset_sample),
            "reported_s": seconds_from_samples(event.reported_sample),
            "confidence": round(event.confidence, 4),
        }
    if isinstance(event, Health):
        return {
            "event": "health",
            "condition": event.condition.value,
            "state": "begins" if event.is_beginning else "ends",
            "time_s": seconds_from_samples(event.sample),
            "value": round(event.value, 4),
            "unit": event.unit,
        }
    return {
        "event": "gap",
        "from_s": seconds_from_samples(event.from_sample),
        "to_s": seconds_from_samples(event.to_sample),
        "reason": event.reason,
    }
