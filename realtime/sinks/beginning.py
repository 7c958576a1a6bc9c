"""When a session began, known once its first sound has come."""

import datetime

import msgspec

from engines.contract import RATE_HZ, WINDOW_SAMPLES
from realtime.events import Apnoea, Breath, Gap, Health, Mark, Report
from realtime.pipeline import UNHEARD, Step
from realtime.wire import StartMessage


class Beginning:
    """Gives the message that goes before everything else, with the time at which the first sample was heard.

    All sinks of a session share one, so that they tell the same time.

    Args:
        start: the message, without that time.
    """

    def __init__(self, start: StartMessage) -> None:
        self._start = start

    def before(self, news: Step | Report) -> StartMessage:
        """The message; by the first news of the session that anybody asks with, the time is known."""
        if self._start.started_at:
            return self._start
        # The first sample was heard as long ago as the newest one is late and counts seconds.
        if isinstance(news, Step):
            newest_sample, late_s = news.frame.end_sample, news.latency_s
        else:
            newest_sample, late_s = _sample_of(news), 0.0
        ago = datetime.timedelta(seconds=late_s + newest_sample / RATE_HZ)
        at = (datetime.datetime.now(datetime.UTC) - ago).isoformat(timespec="milliseconds")
        self._start = msgspec.structs.replace(self._start, started_at=at.replace("+00:00", "Z"))
        return self._start


def _sample_of(event: Report) -> int:
    """The newest sample that had been heard when it was told."""
    match event:
        case Gap():
            # Of sound that no window looked at one learns with the window after it.
            return event.to_sample + (WINDOW_SAMPLES if event.reason == UNHEARD else 0)
        case Breath():
            return event.reported_sample
        case Health() | Apnoea() | Mark():
            return event.sample
