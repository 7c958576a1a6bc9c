"""A sound card that stops calling back, and says nothing: it is noticed within a second of the last sound."""

import time
from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import pytest

from engines.errors import DeviceLostError
from engines.onnx_backend import OnnxEngine
from engines.pack import load_pack
from realtime.events import Condition, Gap, Health
from realtime.pipeline import UNHEARD, Pipeline, PipelineSettings
from realtime.session import Session
from realtime.sinks.collector import Collector
from realtime.sound import microphone, portaudio
from realtime.sound.devices import InputDevice
from realtime.sound.microphone import MicrophoneSource
from realtime.sound.pacing import WallClock
from realtime.sound.reconnect import LastingSource, Surroundings
from realtime.sound.sound_queue import SoundQueue
from realtime.sound.stream_clock import Instant

RATE_HZ = 16_000
BLOCK_SAMPLES = 320
BLOCK_S = BLOCK_SAMPLES / RATE_HZ
WITHIN_S = 1.0
AGAIN_S = 0.2
LOST_S = 2.0
LONGEST_S = 30.0
USB = InputDevice(5, "USB", "ALSA", 1, 48_000.0, is_default=True)


class FakePortAudio:
    """A sound card with one stream; its samples are their own indices, in what the card recorded."""

    class PortAudioError(Exception):
        pass

    def __init__(self):
        self.n_recorded = 0
        self.is_running = False

    def check_input_settings(self, device, channels, dtype, samplerate):
        pass

    def InputStream(self, *, callback, **settings):  # noqa: N802  # sounddevice's name
        self.callback, self.settings = callback, settings
        return self

    def start(self):
        self.is_running = True

    def close(self):
        self.is_running = False

    def call_back(self, *, has_overflown=False):
        assert self.is_running
        indices = np.arange(self.n_recorded, self.n_recorded + BLOCK_SAMPLES, dtype=np.float32)
        self.n_recorded += BLOCK_SAMPLES
        # A whole number is beyond full scale, and would be no sound.
        status = SimpleNamespace(input_overflow=has_overflown)
        self.callback(indices[:, np.newaxis] / 2**20, BLOCK_SAMPLES, None, status)


class World:
    """Time that only waiting moves, and the sound card in it. Seconds are counted from its beginning."""

    def __init__(self):
        self.now_s = 0.0
        self.card = FakePortAudio()
        self.surroundings = Surroundings(
            now=self.now,
            wall_clock=WallClock(now_s=lambda: self.now_s, sleep_s=self.pass_time),
            worker=AtOnce,
        )
        self._due = []

    def now(self):
        return Instant(self.now_s, self.now_s)

    def at(self, at_s, act):
        self._due.append((at_s, act))

    def record(self, from_s, to_s):
        """The card calls back every 20 ms."""
        for index in range(1, round((to_s - from_s) / BLOCK_S) + 1):
            self.at(from_s + index * BLOCK_S, self.card.call_back)

    def pass_time(self, seconds, is_enough=lambda: False):
        """Wait so long, or until it is enough."""
        end_s = self.now_s + seconds
        assert end_s < LONGEST_S, "it waits for ever"
        while not is_enough():
            self._due.sort(key=lambda entry: entry[0])
            if not self._due or self._due[0][0] > end_s + 1e-9:
                self.now_s = end_s
                return
            at_s, act = self._due.pop(0)
            self.now_s = max(self.now_s, at_s)
            act()


class AtOnce:
    """A worker without a thread."""

    def submit(self, call):
        future = Future()
        future.set_result(call())
        return future

    def end(self):
        pass


@pytest.fixture
def card(monkeypatch):
    """A sound card in real time."""
    there = FakePortAudio()
    monkeypatch.setattr(portaudio, "sounddevice", lambda: there)
    return there


@pytest.fixture
def world(monkeypatch):
    there = World()

    class QueueOfWorld(SoundQueue):
        def wait(self, timeout_s):
            there.pass_time(timeout_s, is_enough=lambda: super(QueueOfWorld, self).wait(0) or self.has_ended)
            return super().wait(0)

    monkeypatch.setattr(portaudio, "sounddevice", lambda: there.card)
    monkeypatch.setattr(microphone, "SoundQueue", QueueOfWorld)
    monkeypatch.setattr(microphone, "now", there.now)
    monkeypatch.setattr(microphone, "time", SimpleNamespace(sleep=there.pass_time))
    return there


class Listener:
    """Takes `busy_s` seconds for a block.

    Attributes:
        sounds: blocks with sound.
        silences_s: when empty blocks came, seconds.
        silences_at: where they said that the stream is, samples.
    """

    def __init__(self, world, busy_s=0.0):
        self.world, self.busy_s = world, busy_s
        self.sounds, self.silences_s, self.silences_at = [], [], []

    def hear(self, source, until_s):
        for block in source.blocks():
            if len(block.samples):
                self.sounds.append(block)
            else:
                assert block.samples.shape == (0, 1)
                self.silences_s.append(self.world.now_s)
                self.silences_at.append(block.start)
            if self.world.now_s >= until_s - 1e-9:
                break
            self.world.pass_time(self.busy_s)

    @property
    def indices(self):
        """What was heard, as the card counts, at the places where the source put it."""
        starts = [block.start for block in self.sounds]
        assert starts == sorted(starts)
        return np.concatenate([block.samples[:, 0] * 2**20 for block in self.sounds])

    @property
    def places(self):
        return np.concatenate([np.arange(block.start, block.end) for block in self.sounds])


def test_a_microphone_that_calls_back_is_never_silent(world):
    world.record(0.0, 3.0)
    listener = Listener(world)
    with MicrophoneSource(USB) as source:
        listener.hear(source, 3.0)
    assert listener.silences_s == []
    np.testing.assert_array_equal(listener.places, np.arange(3 * RATE_HZ))


@pytest.mark.parametrize("busy_s", [0.0, 0.05])
@pytest.mark.parametrize("last_s", [0.02, 1.0, 1.1, 4.98])
def test_a_microphone_that_stops_calling_back_is_noticed_within_a_second(world, last_s, busy_s):
    world.record(0.0, last_s)
    listener = Listener(world, busy_s)
    with MicrophoneSource(USB) as source:
        listener.hear(source, last_s + WITHIN_S)
    assert 0.5 < listener.silences_s[0] - last_s <= WITHIN_S
    assert listener.silences_at[0] == round(last_s * RATE_HZ)
    np.testing.assert_array_equal(listener.places, np.arange(round(last_s * RATE_HZ)))


def test_it_is_told_again_and_again_until_it_counts_as_lost(world):
    world.record(0.0, 1.0)
    listener = Listener(world)
    with MicrophoneSource(USB) as source, pytest.raises(DeviceLostError, match="'USB' has stopped"):
        listener.hear(source, 9.0)
    assert np.diff(listener.silences_s) == pytest.approx(AGAIN_S)
    assert listener.silences_s[-1] == pytest.approx(1.0 + LOST_S - AGAIN_S)
    assert set(listener.silences_at) == {RATE_HZ}
    assert world.now_s == pytest.approx(1.0 + LOST_S)


@pytest.mark.parametrize("rest_s", [0.1, 0.5, 0.7])
def test_a_shorter_rest_is_not_told(world, rest_s):
    world.record(0.0, 1.0)
    world.record(1.0 + rest_s, 2.0 + rest_s)
    listener = Listener(world)
    with MicrophoneSource(USB) as source:
        listener.hear(source, 2.0 + rest_s)
    assert listener.silences_s == []
    np.testing.assert_array_equal(listener.places, np.arange(2 * RATE_HZ))


def test_sound_that_comes_back_follows_without_a_gap_and_a_second_silence_is_told_too(world):
    world.record(0.0, 1.0)
    world.record(2.5, 3.5)
    world.record(5.0, 5.5)
    listener = Listener(world)
    with MicrophoneSource(USB) as source:
        listener.hear(source, 5.5)
        assert source.lost_samples == 0
    assert listener.silences_s == pytest.approx([1.8, 2.0, 2.2, 2.4, 4.3, 4.5, 4.7, 4.9])
    assert listener.silences_at == 4 * [RATE_HZ] + 4 * [2 * RATE_HZ]
    np.testing.assert_array_equal(listener.places, np.arange(2.5 * RATE_HZ))
    np.testing.assert_array_equal(listener.indices, listener.places)


def test_sound_that_the_driver_lost_in_the_silence_is_missing_and_counted(world):
    world.record(0.0, 1.0)
    world.at(2.5, lambda: world.card.call_back(has_overflown=True))
    world.record(2.5, 3.0)
    listener = Listener(world)
    with MicrophoneSource(USB) as source:
        listener.hear(source, 3.0)
        assert source.lost_samples == BLOCK_SAMPLES
    is_before = listener.places < RATE_HZ
    assert is_before.sum() == RATE_HZ
    np.testing.assert_array_equal(listener.indices, listener.places - np.where(is_before, 0, BLOCK_SAMPLES))


def test_what_was_kept_in_the_silence_comes_as_one_block(world):
    world.record(0.0, 1.0)
    for at_s, n_blocks in ((2.1, 50), (2.2, 25)):
        for _ in range(n_blocks):
            world.at(at_s, world.card.call_back)
    listener = Listener(world)
    with MicrophoneSource(USB) as source:
        listener.hear(source, 2.3)
        assert source.lost_samples == 0
    assert listener.silences_s == pytest.approx([1.8, 2.0])
    assert (listener.sounds[-1].start, listener.sounds[-1].end) == (RATE_HZ, round(2.5 * RATE_HZ))


def test_before_the_first_sound_silence_is_told_too_and_a_slow_device_has_longer(world):
    world.record(4.0, 4.5)
    listener = Listener(world)
    with MicrophoneSource(USB) as source:
        listener.hear(source, 4.5)
    assert listener.silences_s[0] <= WITHIN_S
    assert np.diff(listener.silences_s) == pytest.approx(AGAIN_S)
    assert set(listener.silences_at) == {0}
    assert listener.places[0] == 0


def test_a_silent_microphone_can_be_closed(world):
    world.record(0.0, 1.0)
    listener, source = Listener(world), MicrophoneSource(USB)
    world.at(2.3, source.close)
    listener.hear(source, 9.0)
    assert listener.silences_s == pytest.approx([1.8, 2.0, 2.2])
    assert not world.card.is_running
    assert world.now_s < 1.0 + LOST_S


def test_in_real_time_the_silence_is_told_before_the_loss(card):
    with MicrophoneSource(USB) as source:
        source.start()
        card.call_back()
        blocks = source.blocks()
        assert next(blocks).end == BLOCK_SAMPLES
        last_s = time.monotonic()
        block = next(blocks)
        # A bound for a busy machine; on the clock of the other tests it is a second.
        assert 0.5 < time.monotonic() - last_s < 10.0
        assert (block.start, len(block.samples)) == (BLOCK_SAMPLES, 0)
        card.call_back()
        sound = next(block for block in blocks if len(block.samples))
        assert (sound.start, sound.end) == (BLOCK_SAMPLES, 2 * BLOCK_SAMPLES)


class Opener:
    """Opens the microphone once."""

    def open(self):
        return MicrophoneSource(USB)

    def abandon(self):
        raise AssertionError("the sound system is not stuck")


def session_heard(world, pack, until_s):
    """What a session says of its source's health, as (seconds, event)."""
    said, collector = [], Collector()
    with LastingSource(Opener(), surroundings=world.surroundings) as source, OnnxEngine(pack) as engine:
        session = Session(source, Pipeline(source, engine, pack.manifest, PipelineSettings()), [collector])
        for block in source.blocks():
            session.hear(block)
            said += [(world.now_s, one) for one in collector.take() if is_of_stalls(one)]
            if world.now_s >= until_s - 1e-9:
                break
        lost_samples = source.lost_samples
    return said, lost_samples


def is_of_stalls(said):
    return isinstance(said, Gap) or (isinstance(said, Health) and said.condition is Condition.STALLED)


def test_the_stall_is_a_condition_within_a_second_of_the_last_sound_until_sound_comes(world, tiny_pack):
    world.record(0.0, 1.5)
    world.record(3.0, 4.0)
    said, lost_samples = session_heard(world, load_pack(tiny_pack), 4.0)
    (begun_s, begin), (_, missing), (ended_s, end) = said
    assert begin == Health(Condition.STALLED, True, round(1.5 * RATE_HZ), 0.8, "s")
    assert 0.5 < begun_s - 1.5 <= WITHIN_S
    assert missing == Gap(round(1.5 * RATE_HZ), 3 * RATE_HZ, "device stalled")
    assert end == Health(Condition.STALLED, False, 3 * RATE_HZ, 1.5, "s")
    assert ended_s - 3.0 <= 0.3
    assert lost_samples == round(1.5 * RATE_HZ)


def test_a_stall_whose_sound_was_kept_loses_nothing_but_came_too_late_to_be_looked_at(world, tiny_pack):
    world.record(0.0, 1.5)
    for _ in range(75):
        world.at(3.0, world.card.call_back)
    world.record(3.0, 4.0)
    said, lost_samples = session_heard(world, load_pack(tiny_pack), 4.0)
    (begun_s, begin), *others = said
    (end,) = (event for _, event in others if isinstance(event, Health))
    assert (begin.is_beginning, end.is_beginning) == (True, False)
    assert {event.reason for _, event in others if isinstance(event, Gap)} <= {UNHEARD}
    assert 0.5 < begun_s - 1.5 <= WITHIN_S
    assert lost_samples == 0


def test_every_stall_begins_and_ends(world, tiny_pack):
    for start_s in (0.0, 2.5, 5.0):
        world.record(start_s, start_s + 1.0)
    said, _ = session_heard(world, load_pack(tiny_pack), 6.0)
    turns = [(at_s, one.is_beginning) for at_s, one in said if isinstance(one, Health)]
    assert [is_beginning for _, is_beginning in turns] == [True, False, True, False]
    for (begun_s, _), last_s in zip(turns[::2], (1.0, 3.5), strict=True):
        assert begun_s - last_s <= WITHIN_S
