"""A device that stalls, goes and comes back, on clocks that only the test moves."""

from concurrent.futures import Future

import numpy as np
import pytest

from engines.errors import AudioError, DeviceLostError, DeviceNotFoundError
from realtime.sound.pacing import WallClock
from realtime.sound.reconnect import LastingSource, Surroundings
from realtime.sound.sources import Block
from realtime.sound.stream_clock import Instant, StreamClock, hear, wait

RATE_HZ = 1000
EMPTY = np.zeros((0, 1), np.float32)


class World:
    """Time, and a device that plays a script each time it is opened.

    A script is a list of: ("sound", seconds), as it is made; ("burst", seconds), all at once; ("silent",
    seconds), an empty block after so long; ("sleep", seconds), the machine is suspended. At its end the
    device is lost. An exception in place of a script: it cannot be opened.
    """

    def __init__(self, *scripts, names=("USB",)):
        self.steady_s = 100.0
        self.awake_s = 50.0
        self.scripts = list(scripts)
        self.names = list(names)
        self.opened_at_s = []
        self.n_closed = 0
        self.is_abandoned = False
        self.surroundings = Surroundings(
            now=lambda: Instant(self.steady_s, self.awake_s),
            wall_clock=WallClock(now_s=lambda: self.awake_s, sleep_s=self.pass_time),
            worker=AtOnce,
        )

    def pass_time(self, seconds):
        self.steady_s += seconds
        self.awake_s += seconds

    def open(self):
        self.opened_at_s.append(round(self.steady_s, 3))
        script = self.scripts.pop(0)
        if isinstance(script, BaseException):
            raise script
        return Device(self, script, self.names.pop(0) if len(self.names) > 1 else self.names[0])

    def reopen(self):
        return self.open()

    def abandon(self):
        self.is_abandoned = True


class Device:
    rate_hz = RATE_HZ
    n_channels = 1
    is_live = True
    lost_samples = 0

    def __init__(self, world, script, name):
        self.world, self.script, self.name = world, script, name

    def start(self):
        pass

    def take_notices(self):
        return []

    def blocks(self):
        end = 0
        for act, seconds in self.script:
            if act == "sleep":
                self.world.steady_s += seconds
                continue
            self.world.pass_time(seconds if act != "burst" else 0.0)
            if act == "silent":
                yield Block(end, EMPTY)
                continue
            n = round(seconds * RATE_HZ)
            yield Block(end, np.ones((n, 1), np.float32))
            end += n
        raise DeviceLostError(f"{self.name!r} has stopped delivering sound")

    def close(self):
        self.world.n_closed += 1


class AtOnce:
    """A worker without a thread."""

    def submit(self, call):
        future = Future()
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)
        return future

    def end(self):
        pass


class Stuck(AtOnce):
    """A worker whose calls never return."""

    def submit(self, call):
        return Future()


def listen(world, seconds, reconnect_s=None):
    """Sound as (start s, end s, note), empty blocks as (start s, None, note), and all notices."""
    source = LastingSource(world, reconnect_s, world.surroundings)
    heard, notices = [], []
    for block in source.blocks():
        notices += source.take_notices()
        end_s = block.end / RATE_HZ if len(block.samples) else None
        heard.append((block.start / RATE_HZ, end_s, block.note))
        if block.end >= seconds * RATE_HZ:
            break
    return source, heard, notices


def sounds(heard):
    return [entry for entry in heard if entry[1] is not None]


def test_without_trouble_the_device_is_believed():
    # Its clock may run a little faster or slower than ours.
    world = World([("sound", 0.5), ("silent", 0.001), ("sound", 0.5), ("sound", 0.5)])
    _, heard, notices = listen(world, 1.5)
    assert sounds(heard) == [(0.0, 0.5, ""), (0.5, 1.0, ""), (1.0, 1.5, "")]
    assert notices == ["'USB': no sound is coming", "'USB' is heard again; 0.0 s are missing"]


def test_a_lost_device_is_opened_again_and_the_time_without_it_is_a_gap():
    gone = DeviceNotFoundError("not there")
    world = World([("sound", 2.0)], gone, gone, gone, [("sound", 0.25), ("sound", 0.25)])
    source, heard, notices = listen(world, 5.3)
    assert np.diff(world.opened_at_s[1:]) == pytest.approx([0.4, 0.8, 1.6])
    assert sounds(heard) == [(0.0, 2.0, ""), (4.8, 5.05, "device lost"), (5.05, 5.3, "")]
    waits_s = [start_s for start_s, end_s, _ in heard if end_s is None]
    assert np.diff(waits_s).max() <= 0.2 + 1e-9
    assert notices == [
        "'USB' is not heard any more (device lost); waiting for it",
        "'USB' is heard again; 2.8 s are missing",
    ]
    assert source.lost_samples == 2800
    assert world.n_closed >= 1


def test_the_pauses_between_attempts_grow_to_five_seconds_and_no_more():
    gone = DeviceNotFoundError("not there")
    world = World([("sound", 1.0)], *[gone] * 12, [("sound", 50.0)])
    listen(world, 60.0)
    pauses_s = np.diff(world.opened_at_s[1:])
    assert pauses_s.max() == pytest.approx(5.0)
    assert list(pauses_s) == sorted(pauses_s)


def test_what_is_opened_but_stays_silent_is_opened_again_without_new_notices():
    world = World([("sound", 1.0)], [("silent", 1.0), ("silent", 1.0)], [("sound", 1.0)])
    _, heard, notices = listen(world, 3.5)
    assert len(notices) == 2
    (_, back) = sounds(heard)
    assert back[0] == pytest.approx(3.0)
    assert back[2] == "device lost"


def test_gaps_do_not_add_up_to_a_shift():
    script = [("sound", 0.5)]
    world = World(*[script] * 40)
    started_s = world.steady_s
    _, heard, _ = listen(world, 15.0)
    assert heard[-1][1] == pytest.approx(world.steady_s - started_s, abs=2 / RATE_HZ)
    starts = [start_s for start_s, _, _ in heard]
    assert starts == sorted(starts)


def test_a_stalled_device_that_hands_over_what_it_kept_has_no_gap():
    world = World([("sound", 1.0), ("silent", 0.8), ("silent", 0.2), ("burst", 1.0), ("sound", 1.0)])
    _, heard, notices = listen(world, 3.0)
    assert [entry for entry in heard if entry[1] is None] == [(1.0, None, "device stalled")] * 2
    assert sounds(heard) == [(0.0, 1.0, ""), (1.0, 2.0, ""), (2.0, 3.0, "")]
    assert len(notices) == 2


def test_a_stalled_device_that_lost_sound_has_a_gap():
    world = World([("sound", 1.0), ("silent", 1.5), ("sound", 0.5)])
    _, heard, notices = listen(world, 3.0)
    assert sounds(heard)[1] == (2.5, 3.0, "device stalled")
    assert notices[-1] == "'USB' is heard again; 1.5 s are missing"


def test_a_suspended_machine_is_noticed_at_the_next_sound():
    world = World([("sound", 1.0), ("sleep", 3600.0), ("sound", 0.5), ("sound", 0.5)])
    _, heard, notices = listen(world, 3602.0)
    assert heard == [
        (0.0, 1.0, ""), (3601.0, 3601.5, "machine suspended"), (3601.5, 3602.0, "")
    ]  # fmt: skip
    assert notices == ["'USB' is heard again; 3600.0 s are missing"]


def test_a_device_that_is_lost_while_the_machine_sleeps_comes_back_after_it():
    world = World([("sound", 1.0), ("sleep", 60.0)], [("sound", 1.0)])
    _, heard, notices = listen(world, 62.0)
    assert sounds(heard)[1] == (61.0, 62.0, "machine suspended")
    assert "(machine suspended)" in notices[0]


def test_another_default_device_is_told():
    world = World([("sound", 1.0)], [("sound", 1.0)], names=["laptop", "headset"])
    source, _, notices = listen(world, 2.0)
    assert "the system's default microphone is 'headset' now, and no longer 'laptop'" in notices
    assert source.name == "headset"


def test_patience_of_zero_ends_at_once():
    world = World([("sound", 1.0)])
    with pytest.raises(DeviceLostError, match="has stopped delivering"):
        listen(world, 5.0, reconnect_s=0)
    assert len(world.opened_at_s) == 1


def test_patience_has_an_end_and_names_the_last_refusal():
    world = World([("sound", 1.0)], *[AudioError("in use by another program")] * 50)
    with pytest.raises(DeviceLostError, match=r"within 30 s.*in use by another program"):
        listen(world, 500.0, reconnect_s=30)
    assert world.steady_s == pytest.approx(131.0, abs=0.3)


def test_a_bug_is_not_taken_for_a_lost_device():
    world = World([("sound", 1.0)], ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        listen(world, 5.0)


def test_a_stuck_sound_system_is_left_behind(monkeypatch):
    monkeypatch.setattr("realtime.sound.reconnect._CLOSE_LIMIT_S", 0.01)
    monkeypatch.setattr("realtime.sound.reconnect._TICK_S", 0.001)
    world = World([("sound", 1.0)])
    world.surroundings = Surroundings(world.surroundings.now, world.surroundings.wall_clock, Stuck)
    source = LastingSource(world, None, world.surroundings)
    n_empty = 0
    for block in source.blocks():
        n_empty += len(block.samples) == 0
        world.pass_time(0.1)
        if n_empty == 20:
            break
    source.close()
    source.close()
    assert world.is_abandoned
    assert len(world.opened_at_s) == 1


def test_closing_closes_the_device_and_ends_the_blocks():
    world = World([("sound", 1.0)] * 5)
    source = LastingSource(world, None, world.surroundings)
    blocks = source.blocks()
    next(blocks)
    source.close()
    assert world.n_closed == 1
    assert not world.is_abandoned


def test_the_index_never_goes_back_even_if_the_clock_is_behind():
    state = StreamClock.initial(RATE_HZ, Instant(0.0, 0.0))
    sound = np.ones((1000, 1), np.float32)
    state, _ = hear(state, Block(0, sound), Instant(1.0, 1.0))
    state, tick = wait(state.lost(), Instant(3.0, 3.0), 1)
    assert (tick.start, tick.note) == (3000, "device lost")
    # A second of sound within half a second of time: some of it must have waited in the device.
    state, placed = hear(state, Block(0, sound), Instant(3.5, 3.5))
    assert (placed.start, placed.end) == (3000, 4000)


def test_an_overrun_the_device_knows_of_stays_as_long_as_it_says():
    state = StreamClock.initial(RATE_HZ, Instant(0.0, 0.0))
    sound = np.ones((100, 1), np.float32)
    state, _ = hear(state, Block(0, sound), Instant(0.1, 0.1))
    state, placed = hear(state, Block(150, sound), Instant(0.25, 0.25))
    assert (placed.start, placed.note) == (150, "")
