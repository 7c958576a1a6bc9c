"""Events for programs: one JSON object per change of phase, breath, condition of the sound, and so on."""

from realtime.events import Report
from realtime.pipeline import Step
from realtime.sinks.base import Sink, Status
from realtime.sinks.beginning import Beginning
from realtime.sinks.output import LineOutput
from realtime.wire import json_from_event, json_from_message


class JsonlSink(Sink):
    """Writes a line of JSON for each change of phase, and for all that is reported; see `realtime.wire`.

    Args:
        output: where to; it is left open, so that several sessions can write to it.
        file: goes into every object as `file`; None: there is no such key.
        session: the same as `session`, counted from 1.
        beginning: goes before everything else; None: nothing does.
    """

    def __init__(
        self,
        output: LineOutput,
        file: str | None = None,
        session: int | None = None,
        beginning: Beginning | None = None,
    ) -> None:
        self._output = output
        self._file = file
        self._session = session
        self._beginning = beginning

    def show(self, step: Step, status: Status) -> None:
        """See `Sink`."""
        self._tell_start(step)
        if step.event is not None:
            self._output.write_line(json_from_event(step.event, self._file, self._session))

    def report(self, event: Report) -> None:
        """See `Sink`."""
        self._tell_start(event)
        self._output.write_line(json_from_event(event, self._file, self._session))

    def take_notices(self) -> list[str]:
        """What people should know about the output."""
        return self._output.take_notices()

    def _tell_start(self, news: Step | Report) -> None:
        if self._beginning is not None:
            start, self._beginning = self._beginning.before(news), None
            self._output.write_line(json_from_message(start, self._file, self._session))
