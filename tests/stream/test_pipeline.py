"""The live path as a whole, on the real ONNX engine with a tiny pack."""

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.contract import RATE_HZ
from engines.errors import ConfigError
from engines.pack import load_pack
from realtime.engine import open_engine
from realtime.events import Breath, Gap, Phase
from realtime.pipeline import UNHEARD, Pipeline, PipelineSettings
from realtime.session import Session
from realtime.sinks.base import Sink
from realtime.sound.demo import DemoSource
from realtime.sound.pacing import WallClock
from realtime.sound.sources import ArraySource, Block


@pytest.fixture(scope="module")
def pack(tiny_pack):
    return load_pack(tiny_pack)


@pytest.fixture(scope="module")
def engine(pack):
    opened, _ = open_engine(pack, n_threads=1)
    with opened:
        opened.warm_up()
        yield opened


@pytest.fixture(scope="module")
def breathing():
    """Twelve seconds of the demo breather, (n,) at 16 kHz."""
    source = DemoSource(seed=3, seconds=12.0, pace=None)
    return np.concatenate([block.samples[:, 0] for block in source.blocks()])


def steps_of(source, engine, pack, **kwargs):
    pipeline = Pipeline(source, engine, pack.manifest, PipelineSettings(**kwargs))
    steps = [step for block in source.blocks() for step in pipeline.push(block)]
    return [*steps, *pipeline.finish()]


def shown(steps):
    return [step.frame for step in steps], [step.event for step in steps if step.event]


def test_the_demo_is_followed_breath_by_breath(engine, pack, breathing):
    frames, events = shown(steps_of(ArraySource(breathing, RATE_HZ), engine, pack))
    phases = [event.phase for event in events if event.phase is not Phase.NONE]
    assert len(phases) > 4
    assert {frozenset(phases[::2]), frozenset(phases[1::2])} == {
        frozenset({Phase.INHALE}),
        frozenset({Phase.EXHALE}),
    }
    assert [frame.end_sample for frame in frames] == list(range(RATE_HZ, len(breathing) + 1, 1600))


@settings(max_examples=8, deadline=None)
@given(block_samples=st.integers(100, 40_000))
def test_any_block_size_gives_the_same_frames_and_events(engine, pack, breathing, block_samples):
    whole = ArraySource(breathing, RATE_HZ, block_samples=len(breathing))
    pieces = ArraySource(breathing, RATE_HZ, block_samples=block_samples)
    assert shown(steps_of(pieces, engine, pack)) == shown(steps_of(whole, engine, pack))


def test_pace_does_not_matter(engine, pack, breathing):
    now = [0.0]

    def sleep_s(seconds):
        now[0] += seconds

    clock = WallClock(now_s=lambda: now[0], sleep_s=sleep_s)
    paced = ArraySource(breathing, RATE_HZ, pace=1.0, clock=clock)
    unpaced = ArraySource(breathing, RATE_HZ)
    assert shown(steps_of(paced, engine, pack)) == shown(steps_of(unpaced, engine, pack))
    assert now[0] == pytest.approx(len(breathing) / RATE_HZ, abs=0.05)


def test_what_was_heard_decides_not_what_comes(engine, pack, breathing):
    """Frames of a prefix are a prefix of the frames: nothing looks ahead."""
    frames, _ = shown(steps_of(ArraySource(breathing, RATE_HZ), engine, pack))
    prefix, _ = shown(steps_of(ArraySource(breathing[: 5 * RATE_HZ], RATE_HZ), engine, pack))
    assert prefix == frames[: len(prefix)]
    assert len(prefix) == 41


def test_with_lookahead_later_windows_have_a_say_and_events_come_later(engine, pack, breathing):
    causal, late = (
        shown(steps_of(ArraySource(breathing, RATE_HZ), engine, pack, lookahead_s=lookahead_s))
        for lookahead_s in (0.0, 0.4)
    )
    assert [frame.prob_exhale for frame in causal[0]] == [frame.prob_exhale for frame in late[0]]
    delays = [
        [event.reported_sample - event.onset_sample for event in events[2:]] for _, events in (causal, late)
    ]
    assert min(delays[0]) < 0.4 * RATE_HZ <= min(delays[1])
    frames, _ = shown(steps_of(ArraySource(breathing[: 5 * RATE_HZ], RATE_HZ), engine, pack, lookahead_s=0.4))
    assert frames == late[0][: len(frames)]


def test_silence_shows_no_breath(engine, pack):
    frames, events = shown(steps_of(ArraySource(np.zeros(4 * RATE_HZ), RATE_HZ), engine, pack))
    assert {frame.phase for frame in frames} == {Phase.NONE}
    assert events == []
    assert all(np.isfinite(frame.prob_exhale) for frame in frames)


def test_less_than_a_second_has_no_answer(engine, pack, breathing):
    assert steps_of(ArraySource(breathing[: RATE_HZ - 1], RATE_HZ), engine, pack) == []


class LiveArray(ArraySource):
    """An array that claims to be a microphone."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.is_live = True

    def _wanted_samples(self, start):
        return self._block_samples


def test_a_live_source_that_is_ahead_skips_to_the_newest_window(engine, pack, breathing):
    source = LiveArray(breathing[: 4 * RATE_HZ], RATE_HZ, block_samples=RATE_HZ)
    pipeline = Pipeline(source, engine, pack.manifest, PipelineSettings())
    ends = [step.frame.end_sample for block in source.blocks() for step in pipeline.push(block)]
    assert ends == [RATE_HZ, 2 * RATE_HZ, 3 * RATE_HZ, 4 * RATE_HZ]
    assert pipeline.skipped_windows == 3 * 9


@pytest.mark.parametrize("hop_s", [0.1, 1.0])
def test_sound_that_no_window_looked_at_is_a_gap(engine, pack, breathing, hop_s):
    """As after Ctrl-Z, when the sound of the time between comes at once."""
    told = []

    class Ears(Sink):
        def show(self, step, status):
            told.append(step.frame.end_sample)

        def report(self, event):
            told.append(event)

    ears = Ears()
    source = LiveArray(breathing, RATE_HZ)
    pipeline = Pipeline(source, engine, pack.manifest, PipelineSettings(hop_s))
    session = Session(source, pipeline, [ears])
    for start, end in ((0, 2), (2, 3), (3, 11), (11, 12)):
        session.hear(Block(start * RATE_HZ, breathing[start * RATE_HZ : end * RATE_HZ, None]))
    session.finish()
    late = Gap(3 * RATE_HZ, 10 * RATE_HZ, UNHEARD)
    ends = [said for said in told if isinstance(said, int)]
    assert ends == [2 * RATE_HZ, 3 * RATE_HZ, 11 * RATE_HZ, 12 * RATE_HZ]
    gaps = [said for said in told if isinstance(said, Gap)]
    assert gaps == [late]
    assert told[told.index(late) + 1] == 11 * RATE_HZ
    # Of what spans a gap nothing is known.
    assert not [said for said in told if isinstance(said, Breath)]


def test_after_a_gap_there_is_no_answer_until_a_second_was_heard(engine, pack, breathing):
    source = ArraySource(breathing, RATE_HZ)
    pipeline = Pipeline(source, engine, pack.manifest, PipelineSettings())
    list(pipeline.push(Block(0, breathing[: 2 * RATE_HZ, None])))
    assert pipeline.is_warm
    after = list(pipeline.push(Block(3 * RATE_HZ, breathing[3 * RATE_HZ : 4 * RATE_HZ - 1, None])))
    assert after == []
    assert not pipeline.is_warm
    (step,) = pipeline.push(Block(4 * RATE_HZ - 1, breathing[4 * RATE_HZ - 1 : 4 * RATE_HZ, None]))
    assert step.frame.end_sample == 4 * RATE_HZ


def test_a_gate_that_is_set_within_a_breath_does_not_silence_the_rest_of_it(pack, engine):
    rng = np.random.default_rng(0)
    sound = (0.05 * rng.standard_normal(4 * RATE_HZ)).astype(np.float32)
    pipeline = Pipeline(ArraySource(sound, RATE_HZ), engine, pack.manifest, PipelineSettings())
    (*_, before) = pipeline.push(Block(0, sound[:, None]))
    level_dbfs = before.frame.level_dbfs
    pipeline.set_gate(level_dbfs - 10, level_dbfs - 20)
    (after,) = pipeline.push(Block(len(sound), 0.7 * sound[:1600, None]))
    assert after.frame.level_dbfs > level_dbfs - 10
    assert after.observation.prob_breath > 0


@pytest.mark.parametrize("hop_s", [0.0, -0.1, 1.5])
def test_an_impossible_hop_is_refused(engine, pack, breathing, hop_s):
    with pytest.raises(ConfigError, match="hop"):
        steps_of(ArraySource(breathing, RATE_HZ), engine, pack, hop_s=hop_s)


def test_a_session_closes_its_sinks_also_when_the_engine_fails(pack, engine, breathing):
    class Failing:
        name = "failing"

        def infer(self, windows):
            raise RuntimeError("no")

    class Kept(Sink):
        closed = 0

        def show(self, step, status):
            pass

        def report(self, event):
            pass

        def notice(self, text):
            pass

        def close(self):
            self.closed += 1

    sink, source = Kept(), ArraySource(breathing, RATE_HZ)
    session = Session(source, Pipeline(source, Failing(), pack.manifest, PipelineSettings()), [sink])
    with pytest.raises(RuntimeError):
        session.run()
    assert sink.closed == 1
    fresh = ArraySource(breathing, RATE_HZ)
    summary = Session(fresh, Pipeline(fresh, engine, pack.manifest, PipelineSettings()), [sink], 3.0).run()
    assert summary.heard_s == pytest.approx(3.0, abs=0.03)
    assert summary.n_windows == 21


@pytest.mark.parametrize("is_skipped", [False, True])
@pytest.mark.parametrize("rate_hz", [16_000, 44_100, 48_000])
def test_what_was_heard_before_a_gap_is_told_before_it(pack, engine, breathing, rate_hz, is_skipped):
    """Also what a resampler still holds when the gap is noticed."""
    told = []

    class Ears(Sink):
        def show(self, step, status):
            told.append(step.frame.end_sample)

        def report(self, event):
            if isinstance(event, Gap):
                told.append((event.from_sample, event.to_sample))

        def notice(self, text):
            pass

        def close(self):
            pass

    source = ArraySource(soxr.resample(breathing, RATE_HZ, rate_hz), rate_hz)
    stretch = np.concatenate([block.samples for block in source.blocks()])
    session = Session(source, Pipeline(source, engine, pack.manifest, PipelineSettings()), [Ears()])
    lost_from, lost_to = round(2.2 * rate_hz), round(2.8 * rate_hz)
    session.hear(Block(0, stretch[:lost_from]))
    if is_skipped:
        session.skip(lost_to, "lost")
    session.hear(Block(lost_to, stretch[lost_to:]))
    (at,) = (i for i, said in enumerate(told) if isinstance(said, tuple))
    assert told[at - 1] == round(2.2 * RATE_HZ)
    assert told[at] == pytest.approx((2.2 * RATE_HZ, 2.8 * RATE_HZ), abs=1)
    assert told[at + 1] == pytest.approx(3.8 * RATE_HZ, abs=1)
