"""One session: a source is heard to its end, and every step goes to every sink."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engines.errors import AudioError
from engines.latency import LatencySummary
from realtime import health
from realtime.clock import samples_from_seconds, seconds_from_samples
from realtime.events import Gap, Health, Phase
from realtime.pipeline import Pipeline, Step
from realtime.sinks.base import Sink, Status
from realtime.sources import AudioSource


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
    """

    heard_s: float
    n_windows: int
    skipped_windows: int
    lost_samples: int
    n_inhalations: int
    n_exhalations: int
    breaths_per_min: float | None
    latency: LatencySummary | None


class Session:
    """Runs a source through a pipeline into sinks; may be interrupted at any time and asked for its summary.

    Args:
        source: the sound.
        pipeline: made for this source.
        sinks: where the steps go; they are closed at the end, however it comes.
        max_s: stop after this much stream time, seconds; None: when the source ends.
        channel: of the source, that is listened to; None: all.
    """

    def __init__(
        self,
        source: AudioSource,
        pipeline: Pipeline,
        sinks: Sequence[Sink],
        max_s: float | None = None,
        channel: int | None = None,
    ) -> None:
        self._source = source
        self._pipeline = pipeline
        self._sinks = sinks
        self._max_samples = None if max_s is None else samples_from_seconds(max_s)
        self._health = health.HealthState.initial(source.rate_hz, channel)
        self._n_windows = 0
        self._n_phases = dict.fromkeys(Phase, 0)

    def run(self) -> Summary:
        """Hear the source to its end.

        Raises:
            AudioError: the source failed.
            EngineError: the engine failed.
            OutputError: a sink could not write.
        """
        try:
            self._hear()
        finally:
            self._pass_on_notices()
            for sink in self._sinks:
                sink.close()
        return self.summary()

    def summary(self) -> Summary:
        """What has happened so far."""
        return Summary(
            heard_s=seconds_from_samples(self._pipeline.heard_samples),
            n_windows=self._n_windows,
            skipped_windows=self._pipeline.skipped_windows,
            lost_samples=self._source.lost_samples,
            n_inhalations=self._n_phases[Phase.INHALE],
            n_exhalations=self._n_phases[Phase.EXHALE],
            breaths_per_min=self._pipeline.breaths_per_min,
            latency=self._pipeline.latency.summary(),
        )

    def _hear(self) -> None:
        try:
            self._hear_blocks()
        except (AudioError, KeyboardInterrupt):
            self._report(health.finish(self._health))
            raise
        self._report(health.finish(self._health))

    def _hear_blocks(self) -> None:
        for block in self._source.blocks():
            self._pass_on_notices()
            self._health, events = health.advance(self._health, block)
            self._report(events)
            for step in self._pipeline.push(block):
                self._pass_on(step)
                if self._max_samples is not None and step.frame.end_sample >= self._max_samples:
                    return
            is_over = self._max_samples is not None and self._pipeline.heard_samples >= self._max_samples
            # With sound, the answer at the end is still to come.
            if is_over and len(block.samples) == 0:
                return
        for step in self._pipeline.finish():
            self._pass_on(step)

    def _pass_on(self, step: Step) -> None:
        self._n_windows += 1
        if step.event is not None:
            self._n_phases[step.event.phase] += 1
        status = self._status()
        for sink in self._sinks:
            sink.show(step, status)

    def _report(self, events: Iterable[Health | Gap]) -> None:
        for event in events:
            for sink in self._sinks:
                sink.report(event)

    def _pass_on_notices(self) -> None:
        for text in [*self._source.take_notices(), *self._pipeline.take_notices()]:
            for sink in self._sinks:
                sink.notice(text)

    def _status(self) -> Status:
        latency = self._pipeline.latency.summary()
        return Status(
            stream_s=seconds_from_samples(self._pipeline.heard_samples),
            breaths_per_min=self._pipeline.breaths_per_min,
            latency_p50_ms=latency.p50_ms if latency else 0.0,
            latency_p99_ms=latency.p99_ms if latency else 0.0,
            skipped_windows=self._pipeline.skipped_windows,
            lost_samples=self._source.lost_samples,
        )
