"""Pausing, marking and ending: what a session makes of them, for a microphone and for a recording."""

import threading

import numpy as np
import pytest

from engines.contract import RATE_HZ
from engines.pack import load_pack
from realtime.controls import Controls
from realtime.engine import open_engine
from realtime.events import Gap, Mark
from realtime.keys import Keys
from realtime.pipeline import Pipeline, PipelineSettings
from realtime.session import Session
from realtime.sinks.base import Sink
from realtime.sound.pacing import Pacer, WallClock
from realtime.sound.sources import ArraySource
from realtime.summary import text_from_summary

BLOCK_S = 0.5


@pytest.fixture(scope="module")
def pack(tiny_pack):
    return load_pack(tiny_pack)


@pytest.fixture(scope="module")
def engine(pack):
    opened, _ = open_engine(pack, n_threads=1)
    with opened:
        yield opened


class Notebook(Sink):
    def __init__(self):
        self.ends, self.statuses, self.reports = [], [], []

    def show(self, step, status):
        self.ends.append(step.frame.end_sample)
        self.statuses.append(status)

    def report(self, event):
        self.reports.append(event)

    def notice(self, text):
        pass

    def close(self):
        pass


class Scripted(ArraySource):
    """Noise in blocks of half a second; before some of them, somebody asks for something."""

    def __init__(self, seconds, script, *, is_live):
        noise = np.random.default_rng(1).standard_normal(round(seconds * RATE_HZ)).astype(np.float32) * 0.1
        super().__init__(noise, RATE_HZ, block_samples=round(BLOCK_S * RATE_HZ))
        self.is_live = is_live
        self._script = script

    def _wanted_samples(self, start):
        return self._block_samples

    def blocks(self):
        for i, block in enumerate(super().blocks()):
            self._script.get(i, lambda: None)()
            yield block


def heard(engine, pack, seconds, make_script, *, is_live, **kwargs):
    controls, notebook = Controls(), Notebook()
    source = Scripted(seconds, make_script(controls), is_live=is_live)
    pipeline = Pipeline(source, engine, pack.manifest, PipelineSettings(hop_s=BLOCK_S))
    session = Session(source, pipeline, [notebook], controls=controls, **kwargs)
    return session.run(), notebook


def test_a_pause_of_a_microphone_is_a_gap_and_time_goes_on(engine, pack):
    def script(controls):
        return {4: controls.toggle_pause, 8: controls.toggle_pause}

    summary, notebook = heard(engine, pack, 8.0, script, is_live=True)
    (gap,) = [event for event in notebook.reports if isinstance(event, Gap)]
    assert gap == Gap(2 * RATE_HZ, 4 * RATE_HZ, "paused")
    assert notebook.ends == [round(RATE_HZ * s) for s in (1, 1.5, 2, 5, 5.5, 6, 6.5, 7, 7.5, 8)]
    assert (summary.heard_s, summary.missing_s) == (8.0, 2.0)
    assert "night: heard 6.0 s of 8.0 s, " in text_from_summary("night", summary)


def test_a_session_that_ends_in_its_pause_tells_the_gap(engine, pack):
    def script(controls):
        return {4: controls.toggle_pause}

    _, notebook = heard(engine, pack, 8.0, script, is_live=True)
    assert notebook.reports[-1] == Gap(2 * RATE_HZ, 8 * RATE_HZ, "paused")
    summary, _ = heard(engine, pack, 8.0, script, is_live=True, max_s=3.0)
    assert summary.heard_s == 3.0


def test_a_recording_waits_and_loses_nothing(engine, pack):
    def script(controls):
        def pause():
            controls.toggle_pause()
            threading.Timer(0.2, controls.toggle_pause).start()

        return {4: pause}

    summary, notebook = heard(engine, pack, 4.0, script, is_live=False)
    assert notebook.reports == []
    assert notebook.ends == [round(RATE_HZ * s) for s in (1, 1.5, 2, 2.5, 3, 3.5, 4)]
    assert summary.heard_s == 4.0
    assert "night: heard 4.0 s, " in text_from_summary("night", summary)


def test_after_a_pause_the_rest_of_a_paced_recording_is_due_later():
    now_s = [0.0]
    clock = WallClock(lambda: now_s[0], lambda seconds: now_s.__setitem__(0, now_s[0] + seconds))
    pacer = Pacer(RATE_HZ, 1.0, clock)
    pacer.wait_for(0)
    now_s[0] = 10.0
    pacer.postpone(10.0)
    pacer.wait_for(RATE_HZ)
    assert now_s[0] == 11.0


@pytest.mark.parametrize("is_paused", [False, True])
@pytest.mark.parametrize("is_live", [False, True])
def test_to_quit_ends_it_even_in_a_pause(engine, pack, is_live, is_paused):
    def script(controls):
        def quit_soon():
            if is_paused:
                controls.toggle_pause()
            controls.quit()

        return {4: quit_soon}

    summary, _ = heard(engine, pack, 8.0, script, is_live=is_live)
    assert 1.9 <= summary.heard_s <= 2.5


def test_marks_are_numbered_and_carry_the_time_that_was_heard(engine, pack):
    def script(controls):
        def twice():
            controls.mark()
            controls.mark()

        return {4: twice, 6: controls.mark}

    _, notebook = heard(engine, pack, 4.0, script, is_live=True)
    assert notebook.reports == [Mark(1, 2 * RATE_HZ), Mark(2, 2 * RATE_HZ), Mark(3, 3 * RATE_HZ)]


def test_latency_percentiles_are_made_once_a_second(engine, pack):
    _, notebook = heard(engine, pack, 6.0, lambda controls: {}, is_live=False)
    seen = [(status.latency_p50_ms, status.latency_p99_ms) for status in notebook.statuses]
    assert seen[0][0] > 0
    # Two hops a second: every second status repeats the one before.
    assert all(seen[i] == seen[i - 1] for i in range(1, len(seen), 2))
    assert len(set(seen)) > 1


def test_where_standard_input_is_no_terminal_no_keys_are_read(monkeypatch, tmp_path):
    path = tmp_path / "typed"
    path.write_text("q")
    with path.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert Keys.of_standard_input(lambda key: None) is None
    monkeypatch.setattr("sys.stdin", None)
    assert Keys.of_standard_input(lambda key: None) is None


def test_a_signal_that_ends_a_pause_does_not_swallow_its_gap(engine, pack):
    def end():
        raise SystemExit(143)

    controls, notebook = Controls(), Notebook()
    source = Scripted(8.0, {4: controls.toggle_pause, 8: end}, is_live=True)
    pipeline = Pipeline(source, engine, pack.manifest, PipelineSettings(hop_s=BLOCK_S))
    with pytest.raises(SystemExit):
        Session(source, pipeline, [notebook], controls=controls).run()
    assert notebook.reports == [Gap(2 * RATE_HZ, 4 * RATE_HZ, "paused")]


@pytest.mark.parametrize("is_live", [True, False])
def test_sinks_learn_of_a_pause_once(engine, pack, is_live):
    class Receiver(Notebook):
        def pause(self):
            self.ends.append("pause")

    def pause():
        controls.toggle_pause()
        if not is_live:
            threading.Timer(0.2, controls.toggle_pause).start()

    controls, receiver = Controls(), Receiver()
    source = Scripted(4.0, {4: pause, 6: controls.toggle_pause if is_live else lambda: None}, is_live=is_live)
    pipeline = Pipeline(source, engine, pack.manifest, PipelineSettings(hop_s=BLOCK_S))
    Session(source, pipeline, [receiver], controls=controls).run()
    assert receiver.ends[:4] == [RATE_HZ, round(1.5 * RATE_HZ), 2 * RATE_HZ, "pause"]
    assert receiver.ends.count("pause") == 1
