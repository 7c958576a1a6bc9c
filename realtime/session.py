"""One session: a source is heard to its end, and every step goes to every sink."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from engines.contract import RATE_HZ
from engines.errors import AudioError
from engines.fallback import Notifying
from engines.latency import LatencySummary
from realtime import health
from realtime.calibration.while_running import Calibrating
from realtime.clock import seconds_from_samples
from realtime.controls import PAUSED, Controls
from realtime.events import Breath, Condition, Gap, Health, Mark, Phase, Report
from realtime.pipeline import Pipeline, Step
from realtime.sinks.base import Display, Sink, Status
from realtime.sound.sources import AudioSource, Block, PacedSource
from realtime.stage_meters import Shown, StageMeters, StageSummary
from realtime.summary import Summary
from realtime.variability import rate_per_min, rmssd_s, sdbb_s


class Session:
    """Runs a source through a pipeline into sinks; may be interrupted at any time and asked for its summary.

    Args:
        source: the sound.
        pipeline: made for this source.
        sinks: where the steps go; they are closed at the end, however it comes.
        max_s: end after this much stream time, seconds, as if the source had ended; None: when it does.
        channel: of the source, that is listened to; None: all.
        controls: where pausing, marking and ending are asked for; None: they are not.
    """

    def __init__(
        self,
        source: AudioSource,
        pipeline: Pipeline,
        sinks: Sequence[Sink],
        max_s: float | None = None,
        channel: int | None = None,
        controls: Controls | None = None,
    ) -> None:
        self._source = source
        self._pipeline = pipeline
        self._sinks = sinks
        self._end = None if max_s is None else round(max_s * source.rate_hz)
        self._health = health.HealthState.initial(source.rate_hz, channel, source.n_channels)
        self._n_windows = 0
        self._n_phases = dict.fromkeys(Phase, 0)
        # Of all breaths: a hundred bytes each, a megabyte a night.
        self._cycles: list[tuple[int, int]] = []
        self._n_marks = 0
        self._n_missing = 0
        self._controls = controls or Controls()
        self._is_resuming = False
        self._calibrating: Calibrating | None = None
        self._stages = StageMeters()
        self._displays = [sink for sink in sinks if isinstance(sink, Display)]
        self._latency: LatencySummary | None = None
        self._stage_summary = StageSummary()
        self._latency_due_sample = 0

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
            self._close_sinks()
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
            n_breaths=len(self._cycles),
            stages=self._stages.summary(),
            missing_s=seconds_from_samples(self._n_missing),
            mean_rate_per_min=rate_per_min(self._cycles) if self._cycles else None,
            sdbb_s=sdbb_s(self._cycles),
            rmssd_s=rmssd_s(self._cycles),
        )

    def hear(self, block: Block) -> bool:
        """Hear the next block, for a caller that takes the blocks out of the source itself, instead of `run`.

        Returns:
            Whether the session goes on; False once `max_s` are over, or somebody has ended it.

        Raises:
            EngineError, OutputError: see `run`.
        """
        self._pass_on_notices()
        for _ in range(self._controls.take_marks()):
            self._n_marks += 1
            self._report([Mark(self._n_marks, self._pipeline.heard_samples)])
        if self._controls.take_calibration():
            self._calibrating = Calibrating(self._pipeline, self._source.name, self._tell)
        block = self._unless_paused(block)
        if self._controls.is_quitting:
            return False
        is_last = self._end is not None and block.end >= self._end
        if self._end is not None and is_last:
            start = min(block.start, self._end)
            block = replace(block, start=start, samples=block.samples[: self._end - start])
        for part in self._parts(block):
            self._hear_part(part)
        return not is_last

    def skip(self, to_sample: int, reason: str) -> None:
        """Sound is missing up to `to_sample`, at the source's rate, and what follows has not come yet.

        Raises:
            EngineError, OutputError: see `run`.
        """
        self._health, gap = health.skipped(self._health, to_sample, reason)
        self._answer_rest()
        self._report([gap])

    def finish(self, *, is_cut_short: bool = False) -> None:
        """After the last block; `is_cut_short` if the sound failed, or was interrupted.

        Raises:
            EngineError, OutputError: see `run`.
        """
        if not is_cut_short:
            self._answer_rest()
        self._report(health.finish(self._health))

    def _hear(self) -> None:
        try:
            for block in self._source.blocks():
                if not self.hear(block):
                    break
        except (AudioError, KeyboardInterrupt, SystemExit):
            self.finish(is_cut_short=True)
            raise
        self.finish()

    def _close_sinks(self) -> None:
        """Close them all, whichever fails, and raise the first error."""
        errors: list[BaseException] = []
        for act in (self._pass_on_notices, *(sink.close for sink in self._sinks)):
            try:
                act()
            except BaseException as error:
                errors.append(error)
        self._measure_displays()
        if errors:
            raise errors[0]

    def _unless_paused(self, block: Block) -> Block:
        """The block; in a pause of a live source only the time that it took."""
        # Looked at once: it may change at any time.
        is_paused = self._controls.is_paused
        if is_paused and not self._is_resuming:
            for sink in self._sinks:
                sink.pause()
        if is_paused and self._source.is_live:
            self._health = replace(self._health, time_end=block.end, note=PAUSED)
            self._is_resuming = True
            return Block(block.end, block.samples[:0], PAUSED)
        if is_paused:
            began_s = time.monotonic()
            self._controls.wait_while_paused()
            if isinstance(self._source, PacedSource):
                self._source.postpone(time.monotonic() - began_s)
        if self._is_resuming and len(block.samples):
            block = replace(block, note=PAUSED)
            self._is_resuming = False
        return block

    def _parts(self, block: Block) -> Iterator[Block]:
        """The block, cut where a second of health is complete; whole if the source is live.

        What is measured then has its one place among the steps, whatever the size of the blocks. Of a live
        source that is late, only the newest window of the whole block is due.
        """
        while not self._source.is_live and len(block.samples) > (n_wanted := self._health.n_wanted):
            yield replace(block, samples=block.samples[:n_wanted])
            block = replace(block, start=block.start + n_wanted, samples=block.samples[n_wanted:], note="")
        yield block

    def _hear_part(self, block: Block) -> None:
        """Hear sound in which no more than one second of health becomes complete."""
        events: list[Health | Gap] = []
        if len(block.samples) or block.note != PAUSED:
            self._health, events = health.advance(self._health, block)
        # A gap lies before the sound of the block; what was measured is known at its end.
        at_start = [
            event for event in events if isinstance(event, Gap) or event.condition is Condition.STALLED
        ]
        if any(isinstance(event, Gap) for event in at_start):
            self._answer_rest()
        self._report(at_start)
        for step in self._pipeline.push(block):
            self._pass_on(step)
        self._report(event for event in events if event not in at_start)

    def _answer_rest(self) -> None:
        """What the resampler still holds lies before a gap, or the end."""
        for step in self._pipeline.finish():
            self._pass_on(step)

    def _pass_on(self, step: Step) -> None:
        self._n_windows += 1
        if step.gap is not None:
            for sink in self._sinks:
                sink.report(step.gap)
            self._break_off_calibration()
        if step.event is not None:
            self._n_phases[step.event.phase] += 1
        self._stages.add_step(step)
        self._measure_displays()
        status = self._status()
        for sink in self._sinks:
            sink.show(step, status)
        if not self._displays:
            self._stages.add_shown(Shown(step.captured_s, step.decided_s, time.perf_counter()))
        self._report(step.breaths)
        if self._calibrating is not None and not self._calibrating.goes_on_after(step.frame):
            self._calibrating = None

    def _tell(self, text: str) -> None:
        for sink in self._sinks:
            sink.notice(text)

    def _measure_displays(self) -> None:
        for display in self._displays:
            for shown in display.take_shown():
                self._stages.add_shown(shown)

    def _report(self, events: Iterable[Report]) -> None:
        for event in events:
            if isinstance(event, Breath):
                self._cycles.append((event.inhale_onset_sample, event.end_sample))
            for sink in self._sinks:
                sink.report(event)
            if isinstance(event, Gap):
                self._n_missing += event.to_sample - event.from_sample
                self._break_off_calibration()
                self._report(self._pipeline.breaths.push(event))

    def _break_off_calibration(self) -> None:
        if self._calibrating is not None:
            self._calibrating.break_off()
            self._calibrating = None

    def _pass_on_notices(self) -> None:
        tellers: list[Notifying] = [self._source, self._pipeline, *self._sinks]
        for teller in tellers:
            for text in teller.take_notices():
                self._tell(text)

    def _status(self) -> Status:
        # Percentiles are of all windows so far: not at every hop.
        heard = self._pipeline.heard_samples
        if self._latency is None or heard >= self._latency_due_sample:
            self._latency = self._pipeline.latency.summary()
            self._stage_summary = self._stages.summary()
            self._latency_due_sample = heard + RATE_HZ
        latency = self._latency
        return Status(
            stream_s=seconds_from_samples(self._pipeline.heard_samples),
            breaths_per_min=self._pipeline.breaths_per_min,
            latency_p50_ms=latency.p50_ms if latency else 0.0,
            latency_p99_ms=latency.p99_ms if latency else 0.0,
            skipped_windows=self._pipeline.skipped_windows,
            lost_samples=self._source.lost_samples,
            stages=self._stage_summary,
        )
