"""Events for programs: one JSON object per change of phase, breath, condition of the sound, and so on."""

import datetime

import msgspec

from engines.contract import RATE_HZ
from realtime.events import Apnoea, Breath, Gap, Health, Mark, Report
from realtime.pipeline import Step
from realtime.sinks.base import Status
from realtime.sinks.output import LineOutput
from realtime.wire import StartMessage, json_from_event, json_from_message


class JsonlSink:
    """Writes a line of JSON for each change of phase, and for all that is reported; see `realtime.wire`.

    Args:
        output: where to; it is left open, so that several sessions can write to it.
        file: goes into every object as `file`; None: there is no such key.
        session: the same as `session`, counted from 1.
        start: goes before everything else, with the time at which the first sample was heard; None: nothing
            does.
    """

    def __init__(
        self,
        output: LineOutput,
        file: str | None = None,
        session: int | None = None,
        start: StartMessage | None = None,
    ) -> None:
        self._output = output
        self._file = file
        self._session = session
        self._start = start

    def show(self, step: Step, status: Status) -> None:
        """See `Sink`."""
        self._tell_start(step.frame.end_sample, step.latency_s)
        if step.event is not None:
            self._output.write_line(json_from_event(step.event, self._file, self._session))

    def report(self, event: Report) -> None:
        """See `Sink`."""
        self._tell_start(_sample_of(event), 0.0)
        self._output.write_line(json_from_event(event, self._file, self._session))

    def notice(self, text: str) -> None:
        """Notices are for people."""

    def take_notices(self) -> list[str]:
        """What people should know about the output."""
        return self._output.take_notices()

    def close(self) -> None:
        """Nothing is pending: every line was handed over when it came."""

    def _tell_start(self, newest_sample: int, latency_s: float) -> None:
        """Once: the first sample was heard as long ago as the newest one is late and counts seconds."""
        if self._start is None:
            return
        ago = datetime.timedelta(seconds=latency_s + newest_sample / RATE_HZ)
        at = (datetime.datetime.now(datetime.UTC) - ago).isoformat(timespec="milliseconds")
        start = msgspec.structs.replace(self._start, started_at=at.replace("+00:00", "Z"))
        self._start = None
        self._output.write_line(json_from_message(start, self._file, self._session))


def _sample_of(event: Report) -> int:
    """The newest sample that had been heard when it was told."""
    match event:
        case Gap():
            return event.to_sample
        case Breath():
            return event.reported_sample
        case Health() | Apnoea() | Mark():
            return event.sample
