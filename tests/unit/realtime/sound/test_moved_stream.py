"""Which devices a sound server can move, and what is told when it does."""

import os
import sys
import time
from types import SimpleNamespace

import pytest

from realtime.sound import moved_stream
from realtime.sound.moved_stream import MovedStream, can_be_moved

HEADSET, LAPTOP = 3, 7
WORDS = {HEADSET: "USB Headset", LAPTOP: "Laptop"}


class PulseError(Exception):
    """As pulsectl's."""


class FakeServer:
    """Has moved the stream of this process a little further whenever it is asked.

    `places`: sources, None: no stream, a list: of several streams; the last one for ever, or an error.
    """

    def __init__(self, places, described):
        self.places = list(places)
        self.described = described
        self.n_asked = 0
        self.is_closed = False

    def __call__(self, _name, connect):
        assert not connect, "it must not start a sound server"
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.is_closed = True

    def connect(self, autospawn):
        assert not autospawn

    def source_output_list(self):
        self.n_asked += 1
        place = self.places.pop(0) if len(self.places) > 1 else self.places[0]
        if isinstance(place, Exception):
            raise place
        mine = {"application.process.id": str(os.getpid())}
        another = SimpleNamespace(index=0, source=99, proplist={"application.process.id": "1"})
        places = place if isinstance(place, list) else [place]
        own = [SimpleNamespace(index=1 + i, source=one, proplist=mine) for i, one in enumerate(places) if one]
        return [another, *own]

    def source_list(self):
        return [SimpleNamespace(index=index, description=words) for index, words in self.described.items()]


def wait_until(is_true):
    give_up_s = time.monotonic() + 20
    while not is_true() and time.monotonic() < give_up_s:
        time.sleep(0.001)
    assert is_true()


@pytest.fixture
def watching(monkeypatch):
    """Start watching a fake server."""
    monkeypatch.setattr(moved_stream, "_EVERY_S", 0.001)

    def start(places, described=WORDS):
        server = FakeServer(places, described)
        monkeypatch.setitem(sys.modules, "pulsectl", SimpleNamespace(Pulse=server, PulseError=PulseError))
        return server, MovedStream()

    return start


def test_a_move_is_told_once_in_the_words_of_the_system(watching):
    server, moved = watching([LAPTOP, LAPTOP, HEADSET])
    wait_until(lambda: server.n_asked > 5)
    (told,) = moved.take_notices()
    assert told.startswith("'USB Headset' is heard now, and no longer 'Laptop'")
    assert moved.take_notices() == []
    moved.close()
    wait_until(lambda: server.is_closed)


def test_moments_without_a_stream_are_no_move(watching):
    server, moved = watching([None, LAPTOP, None, LAPTOP])
    wait_until(lambda: server.n_asked > 6)
    assert moved.take_notices() == []
    moved.close()


def test_another_stream_of_the_process_is_no_move(watching):
    server, moved = watching([LAPTOP, [LAPTOP, HEADSET], LAPTOP, [HEADSET, LAPTOP]])
    wait_until(lambda: server.n_asked > 6)
    (told,) = moved.take_notices()
    assert told.startswith("'USB Headset' is heard now, and no longer 'Laptop'")
    moved.close()


def test_a_source_without_words_is_told_by_its_number(watching):
    server, moved = watching([HEADSET, LAPTOP], {HEADSET: "USB Headset"})
    wait_until(lambda: server.n_asked > 4)
    (told,) = moved.take_notices()
    assert told.startswith("'source 7' is heard now, and no longer 'USB Headset'")
    moved.close()


@pytest.mark.parametrize("error", [PulseError("gone"), ArithmeticError("another than the library's own")])
def test_a_server_that_goes_away_ends_it(watching, error):
    server, moved = watching([LAPTOP, error])
    wait_until(lambda: server.is_closed)
    assert moved.take_notices() == []


@pytest.mark.parametrize("failure", [ImportError, OSError])
def test_without_the_library_there_is_nothing_to_tell(without_pulsectl, failure):
    without_pulsectl(failure)
    moved = MovedStream()
    moved._watch()
    assert moved.take_notices() == []


def test_devices_behind_which_the_sound_server_chooses(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    assert can_be_moved("pulse")
    assert can_be_moved("default")
    assert not can_be_moved("HDA Intel: ALC257 (hw:0,0)")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not can_be_moved("default")
