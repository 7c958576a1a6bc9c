"""Breaths for programs: one CSV row per complete breath, with the names and values of the JSON events."""

import msgspec

from realtime.events import Breath, Report
from realtime.sinks.csv_rows import CsvRows
from realtime.wire import BreathMessage, Message, message_from_event

COLUMNS = tuple(name for name in BreathMessage.__struct_fields__ if name not in Message.__struct_fields__)


class BreathCsvSink(CsvRows):
    """Writes a row per breath; what is not known yet, such as the variability of one breath, stays empty."""

    def report(self, event: Report) -> None:
        """See `Sink`."""
        if isinstance(event, Breath):
            values = msgspec.to_builtins(message_from_event(event))
            self.write(["" if values[name] is None else str(values[name]) for name in COLUMNS])
