"""The sink that shows a session to the clients of a server."""

from realtime.events import Health, Report
from realtime.facts import Facts
from realtime.intake import Heard
from realtime.pipeline import Step
from realtime.serve import bands
from realtime.serve.bands import BandState
from realtime.serve.hub import Hub
from realtime.serve.messages import (
    advice_message,
    content_from_facts,
    event_message,
    frame_message,
    notice_message,
    start_message,
)
from realtime.serve.since_frame import SinceFrame
from realtime.sinks.base import Sink, Status
from realtime.sinks.beginning import Beginning
from realtime.sinks.health_words import sentence_from_health


class HubSink(Sink):
    """Turns steps and reports into messages; no client can hold it up.

    Args:
        hub: hands the messages out.
        facts: of the session, which begins now.
        beginning: goes before its other events, once its first sound has come; None: nothing does.
    """

    def __init__(self, hub: Hub, facts: Facts, beginning: Beginning | None = None) -> None:
        self._hub = hub
        self._session = facts.session
        self._is_live = facts.is_live
        self._bands = BandState.initial()
        self._since_frame = SinceFrame()
        self._beginning = beginning
        hub.begin_session(content_from_facts(facts))

    def hear(self, heard: Heard) -> None:
        """See `Sink`."""
        self._since_frame.hear(heard)

    def show(self, step: Step, status: Status) -> None:
        """See `Sink`."""
        self._tell_start(step)
        newest = self._since_frame.take(step.frame.end_sample, step.newest)
        self._bands, levels = bands.advance(self._bands, newest, step.frame.end_sample)
        if step.event is not None:
            self._hub.post(event_message(step.event, self._session))
        self._hub.post(frame_message(step, status, newest, levels))

    def report(self, event: Report) -> None:
        """See `Sink`."""
        self._tell_start(event)
        self._hub.post(event_message(event, self._session))
        if isinstance(event, Health):
            if event.is_beginning:
                self._hub.post(advice_message(event, is_live=self._is_live))
            advice = sentence_from_health(event, is_live=self._is_live) if event.is_beginning else None
            self._hub.set_health(event.condition.value, advice)

    def notice(self, text: str) -> None:
        """See `Sink`."""
        self._hub.post(notice_message(text))

    def _tell_start(self, news: Step | Report) -> None:
        if self._beginning is not None:
            start, self._beginning = self._beginning.before(news), None
            self._hub.post(start_message(start, self._session))

    def close(self) -> None:
        """The session has ended; closing twice is fine."""
        self._hub.end_session()
