"""From a sound being made to its answer being shown: what is measured, and where it is told."""

import time

import numpy as np
import pytest

from engines.contract import RATE_HZ
from engines.pack import load_pack
from realtime.engine import open_engine
from realtime.events import Frame, Phase
from realtime.pipeline import Pipeline, PipelineSettings, Step
from realtime.session import Session
from realtime.sinks.base import Sink
from realtime.sound.pacing import Pacer, WallClock
from realtime.sound.sound_queue import SoundQueue
from realtime.sound.sources import ArraySource, Block
from realtime.stage_meters import Shown, StageMeters, text_from_stages
from realtime.summary import text_from_summary


@pytest.fixture(scope="module")
def pack(tiny_pack):
    return load_pack(tiny_pack)


@pytest.fixture(scope="module")
def engine(pack):
    opened, _ = open_engine(pack, n_threads=1)
    with opened:
        yield opened


class Arriving(ArraySource):
    """Noise whose blocks come at known moments, half a second each."""

    def __init__(self, seconds, *, is_live=True):
        noise = 0.1 * np.random.default_rng(1).standard_normal(round(seconds * RATE_HZ))
        super().__init__(noise, RATE_HZ, block_samples=RATE_HZ // 2)
        self._is_arriving = is_live

    def blocks(self):
        for block in super().blocks():
            arrived_s = time.perf_counter() if self._is_arriving else None
            yield Block(block.start, block.samples, arrived_s=arrived_s)


class Paper(Sink):
    """A sink on which everything is to be seen at once."""

    def __init__(self):
        self.statuses = []

    def show(self, step, status):
        self.statuses.append(status)

    def report(self, event):
        pass

    def notice(self, text):
        pass

    def close(self):
        pass


class Canvas(Paper):
    """One that shows everything three tenths of a second after the decision."""

    def __init__(self):
        super().__init__()
        self._pending = []

    def show(self, step, status):
        super().show(step, status)
        self._pending.append(Shown(step.captured_s, step.decided_s, step.decided_s + 0.3))

    def take_shown(self):
        shown, self._pending = self._pending, []
        return shown


def summary_of(source, engine, pack, sink):
    pipeline = Pipeline(source, engine, pack.manifest, PipelineSettings(hop_s=0.5))
    return Session(source, pipeline, [sink]).run()


def test_a_window_was_made_when_its_newest_sample_was(engine, pack):
    source = ArraySource(np.zeros(RATE_HZ), RATE_HZ)
    pipeline = Pipeline(source, engine, pack.manifest, PipelineSettings(hop_s=0.1))
    arrived_s = time.perf_counter() - 5.0
    # 1.25 s, of which the windows end 0.25, 0.15 and 0.05 s before the newest sample.
    sound = np.zeros((20_000, 1), np.float32)
    steps = list(pipeline.push(Block(0, sound, arrived_s=arrived_s)))
    assert [step.captured_s for step in steps] == pytest.approx([arrived_s - s for s in (0.25, 0.15, 0.05)])
    assert list(steps[0].stages_s) == ["wait", "features", "cnn8", "vgg", "fusion", "decision"]
    assert all(step.stages_s["wait"] > 5.0 for step in steps)
    # Between two stopwatches the machine may do something else, but hardly every time.
    rest_s = [step.decided_s - step.captured_s - sum(step.stages_s.values()) for step in steps]
    assert -1e-6 < min(rest_s) < 0.01


def test_sound_that_waited_in_the_queue_is_as_new_as_its_newest_piece():
    queue = SoundQueue(1000)
    queue.put(np.zeros((10, 1), np.float32))
    between_s = time.perf_counter()
    queue.put(np.zeros((10, 1), np.float32))
    block = queue.take(0)
    assert between_s <= block.arrived_s <= time.perf_counter()


def test_paced_sound_came_when_it_was_due():
    now_s = [100.0]
    pacer = Pacer(RATE_HZ, 1.0, WallClock(lambda: now_s[0], lambda seconds: None))
    assert pacer.late_s(RATE_HZ) == 0.0
    pacer.due_samples()
    now_s[0] += 3.0
    assert pacer.late_s(RATE_HZ) == 2.0
    assert pacer.late_s(5 * RATE_HZ) == 0.0


def test_a_display_is_measured_by_what_it_tells(engine, pack):
    canvas = Canvas()
    summary = summary_of(Arriving(4.0), engine, pack, canvas)
    assert summary.stages.by_stage["display"].n == summary.n_windows == 7
    assert summary.stages.by_stage["display"].p50_ms == pytest.approx(300.0)
    assert list(summary.stages.by_stage)[-1] == "display"
    assert summary.stages.total.p50_ms > 300.0
    # Once a second at most: half of these statuses repeat the one before.
    totals = [status.stages.total for status in canvas.statuses]
    assert totals[0] is None
    assert totals[2].p50_ms > 300.0
    assert all(totals[i] == totals[i - 1] for i in range(1, len(totals), 2))
    text = text_from_summary("USB", summary)
    assert "; sound to screen p50 " in text
    assert "p50/p99 of stages, ms: wait " in text
    assert ", display 300.0/300.0" in text


def test_without_a_display_it_is_shown_when_the_sinks_have_it(engine, pack):
    summary = summary_of(Arriving(2.0), engine, pack, Paper())
    stages = summary.stages.by_stage
    assert stages["display"].n == 3
    assert stages["display"].max_ms < summary.stages.total.max_ms


def test_of_a_recording_there_is_no_way_from_sound_to_screen(engine, pack):
    summary = summary_of(Arriving(2.0, is_live=False), engine, pack, Canvas())
    assert summary.stages.total is None
    assert "wait" not in summary.stages.by_stage
    assert "sound to screen" not in text_from_summary("night.wav", summary)


def test_stages_that_come_later_are_taken_in_and_told_in_one_line():
    meters = StageMeters()
    frame = Frame(RATE_HZ, 0.5, Phase.NONE, 0.5, -30.0)
    sound = np.zeros(1600, np.float32)
    meters.add_step(Step(frame, None, sound, 0.01, {"gpu": 0.002}))
    meters.add_step(Step(frame, None, sound, 0.01, {"features": 0.004}))
    meters.add_shown(Shown(None, 1.0, 1.0625))
    assert text_from_stages(meters.summary()) == "gpu 2.0/2.0, features 4.0/4.0, display 62.5/62.5"
