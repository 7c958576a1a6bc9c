"""For people without a terminal to draw on: one line per change of phase."""

from realtime.clock import seconds_from_samples
from realtime.events import Condition, Health, Phase, PhaseEvent, Report
from realtime.pipeline import Step
from realtime.sinks.base import Sink, Status
from realtime.sinks.health_words import sentence_from_health
from realtime.sinks.output import LineOutput
from realtime.telling import tell

PHASE_WORDS = {Phase.INHALE: "inhale", Phase.EXHALE: "exhale", Phase.NONE: "no breath"}


class LinesSink(Sink):
    """Writes where a phase began, which, and how sure that is; notices go to standard error.

    Args:
        output: where to; it is left open. None: only notices, because something else is written there.
        is_live: whether something can be done about what is wrong with the sound.
    """

    def __init__(self, output: LineOutput | None, *, is_live: bool = True) -> None:
        self._output = output
        self._is_live = is_live

    def show(self, step: Step, status: Status) -> None:
        """See `Sink`."""
        if step.event is not None and self._output is not None:
            self._output.write_line(line_from_event(step.event))

    def report(self, event: Report) -> None:
        """Tell what begins to be wrong, as a notice; a source tells itself that it delivers no sound."""
        if isinstance(event, Health) and event.is_beginning and event.condition is not Condition.STALLED:
            self.notice(sentence_from_health(event, is_live=self._is_live))

    def notice(self, text: str) -> None:
        """See `Sink`."""
        tell(f"breath-live: {text}")

    def take_notices(self) -> list[str]:
        """What people should know about the output."""
        return [] if self._output is None else self._output.take_notices()


def line_from_event(event: PhaseEvent) -> str:
    """Such as `   12.300 s  exhale     93 %`: stream time of the onset, phase, confidence."""
    onset_s = seconds_from_samples(event.onset_sample)
    return f"{onset_s:9.3f} s  {PHASE_WORDS[event.phase]:<9}  {100 * event.confidence:3.0f} %"
