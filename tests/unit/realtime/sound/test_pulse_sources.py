"""The sources of a sound server among PortAudio's devices: listed, chosen, opened, watched, calibrated."""

import ctypes
import datetime
import os
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from engines.errors import ConfigError, DeviceNotFoundError
from realtime.calibration.measurement import Calibration
from realtime.calibration.profiles import profile_names, save_profile, with_profile
from realtime.config import Given, resolve
from realtime.sound import microphone, moved_stream, portaudio, pulse_sources
from realtime.sound.devices import InputDevice, match_device, match_same_device
from realtime.sound.microphone import MicrophoneOpener
from realtime.sound.moved_stream import MovedStream
from realtime.sound.pulse_sources import PulseSource, read_sources, recording_from, with_sources

AT = datetime.datetime(2026, 3, 1, 22, 5, 9, tzinfo=datetime.UTC)
CARD = InputDevice(0, "Jabra: USB Audio (hw:1,0)", "ALSA", 1, 48_000.0, is_default=False)
PULSE = InputDevice(4, "pulse", "ALSA", 32, 44_100.0, is_default=False)
DEFAULT = InputDevice(5, "default", "ALSA", 32, 44_100.0, is_default=True)
OWN = [CARD, PULSE, DEFAULT]

HEADSET = PulseSource("bluez_input.41_42", "Jabra Evolve", 1, 16_000.0, is_monitor=False, is_default=False)
LAPTOP = PulseSource("alsa_input.pci", "Built-in Audio", 2, 48_000.0, is_monitor=False, is_default=True)
SPEAKER = PulseSource("alsa_output.pci.monitor", "Monitor of it", 2, 48_000.0, True, is_default=False)


@pytest.fixture
def listing(monkeypatch):
    """The list of devices with these sources, on a system that has such a server."""
    monkeypatch.setattr(sys, "platform", "linux")

    def listed(*sources, own=OWN):
        monkeypatch.setattr(pulse_sources, "read_sources", lambda: list(sources))
        return with_sources(own, first_index=9)

    return listed


def test_sources_come_after_the_devices_whose_numbers_stay(listing):
    devices = listing(LAPTOP, HEADSET, SPEAKER)
    assert [(one.index, one.name) for one in devices[:3]] == [(one.index, one.name) for one in OWN]
    laptop, headset = devices[3:]
    assert (headset.index, headset.name, headset.host_api) == (10, "Jabra Evolve", "PulseAudio")
    assert (headset.n_channels_max, headset.rate_default_hz) == (1, 16_000.0)
    assert (headset.portaudio_index, headset.source_name) == (PULSE.index, "bluez_input.41_42")
    assert (laptop.index, laptop.n_channels_max, laptop.is_default) == (9, 2, True)
    assert [one.is_default for one in devices].count(True) == 1


def test_what_an_output_plays_is_shown_where_it_is_asked_for_or_all_there_is(listing):
    def names(*sources):
        return [one.source_name for one in listing(*sources) if one.is_source]

    asked = replace(SPEAKER, is_default=True)
    assert names(HEADSET, SPEAKER) == [HEADSET.name]
    assert names(HEADSET, asked) == [HEADSET.name, SPEAKER.name]
    assert names(SPEAKER, replace(asked, name="another")) == [SPEAKER.name, "another"]


@pytest.mark.parametrize(
    "own",
    [
        [CARD, DEFAULT],
        [CARD, replace(PULSE, host_api="OSS"), DEFAULT],
        [*OWN, InputDevice(6, "Jabra", "PulseAudio", 1, 48_000.0, is_default=False)],
    ],
)
def test_where_portaudio_has_no_way_to_them_or_shows_them_itself_nothing_changes(listing, own):
    assert listing(LAPTOP, HEADSET, own=own) == own


def test_without_a_server_and_elsewhere_nothing_changes(listing, monkeypatch):
    assert listing() == OWN
    monkeypatch.setattr(sys, "platform", "darwin")
    assert listing(LAPTOP) == OWN


def test_a_default_device_that_is_a_card_stays_the_default(listing):
    own = [CARD, PULSE, replace(DEFAULT, n_channels_max=2)]
    devices = listing(LAPTOP, own=own)
    assert match_device(devices, None) == own[2]
    assert match_device(devices, "pulse").source_name == LAPTOP.name


def test_an_unknown_default_leaves_the_mark_where_it_was(listing):
    devices = listing(HEADSET, SPEAKER)
    assert match_device(devices, None) == DEFAULT


def test_a_rate_that_is_not_told_is_that_of_the_way_to_it(listing):
    assert listing(replace(HEADSET, rate_hz=None))[-1].rate_default_hz == PULSE.rate_default_hz


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (9, 9),
        ("10", 10),
        ("evolve", 10),
        ("BUILT-IN AUDIO", 9),
        ("bluez_input.41_42", 10),
        ("bluez", 10),
        ("pulse", 4),
        ("default", 5),
        # The card itself and the server's source of it: as before there were sources.
        ("jabra", 0),
        ("jabra evolve", 10),
    ],
)
def test_a_source_is_chosen_by_number_or_by_either_name(listing, query, index):
    assert match_device(listing(LAPTOP, HEADSET), query).index == index


def test_two_of_one_make_are_told_apart_by_their_own_names(listing):
    devices = listing(LAPTOP, HEADSET, replace(HEADSET, name="bluez_input.99_99"))
    with pytest.raises(DeviceNotFoundError, match=r"2 microphones(.|\n)*41_42(.|\n)*99_99"):
        match_device(devices, "evolve")
    assert match_device(devices, "99_99").name == "Jabra Evolve (bluez_input.99_99)"


def test_only_a_source_that_somebody_chose_is_bound_to(listing):
    devices = listing(LAPTOP, HEADSET)
    default, chosen = match_device(devices, None), match_device(devices, "built-in")
    assert (default.index, default.chosen_source) == (chosen.index, None)
    assert chosen.chosen_source == LAPTOP.name
    assert match_device(devices, "pulse").chosen_source is None


def test_a_source_is_found_again_by_its_own_name(listing):
    known = match_device(listing(LAPTOP, HEADSET), "evolve")
    renamed = replace(HEADSET, description="Jabra Evolve 2")
    assert match_same_device(listing(renamed, LAPTOP), known).index == 9
    with pytest.raises(DeviceNotFoundError, match="'Jabra Evolve' is not there; plug it in again"):
        match_same_device(listing(LAPTOP, replace(HEADSET, name="another")), known)
    with pytest.raises(DeviceNotFoundError):
        match_same_device(OWN, known)


def test_a_source_is_opened_with_all_its_channels_and_no_more(listing, monkeypatch):
    asked = []

    class Taking:
        PortAudioError = OSError

        @staticmethod
        def check_input_settings(index, n_channels, dtype, samplerate):
            asked.append((index, n_channels, samplerate))

    monkeypatch.setattr(portaudio, "sounddevice", lambda: Taking)
    laptop, headset = listing(LAPTOP, HEADSET)[3:]
    assert portaudio.choose_settings(laptop, None, 1) == (16_000, 2)
    assert portaudio.choose_settings(headset, None, 1) == (16_000, 1)
    assert asked == [(PULSE.index, 2, 16_000), (PULSE.index, 1, 16_000)]
    assert portaudio.rates_of_device(laptop) == portaudio.STANDARD_RATES_HZ
    with pytest.raises(ConfigError, match=r"'Jabra Evolve' has 1 channel, not 2; choose a lower --channel"):
        portaudio.choose_settings(headset, None, 2)


def test_opened_again_a_source_keeps_its_name_and_what_follows_the_default_its_channels(listing, monkeypatch):
    opened = []

    class Opened:
        rate_hz = 16_000

        def __init__(self, device, *, rate_hz, min_channels):
            opened.append(device)
            self.n_channels = device.n_channels_max

        def start(self):
            pass

    monkeypatch.setattr(microphone, "MicrophoneSource", Opened)
    monkeypatch.setattr(portaudio, "restart", lambda: None)

    def reopened(query, before, after):
        opener = MicrophoneOpener(query)
        monkeypatch.setattr(portaudio, "list_devices", lambda: listing(*before))
        opener.open()
        monkeypatch.setattr(portaudio, "list_devices", lambda: listing(*after))
        opener.reopen()
        return opened[-1]

    twin = replace(HEADSET, name="bluez_input.99_99")
    again = reopened("41_42", [LAPTOP, HEADSET, twin], [HEADSET, LAPTOP])
    assert (again.index, again.name) == (9, "Jabra Evolve (bluez_input.41_42)")
    other = [replace(HEADSET, is_default=True), replace(LAPTOP, is_default=False)]
    again = reopened(None, [LAPTOP, HEADSET], other)
    assert (again.source_name, again.n_channels_max, again.chosen_source) == (HEADSET.name, 2, None)


def value_in_c():
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    return getenv(b"PULSE_SOURCE")


@pytest.mark.skipif(sys.platform != "linux", reason="ctypes finds C's environment so on Linux")
@pytest.mark.parametrize("own", [None, "mine"])
def test_only_while_it_is_opened_the_environment_names_the_source(monkeypatch, own):
    monkeypatch.delenv("PULSE_SOURCE", raising=False)
    if own:
        monkeypatch.setenv("PULSE_SOURCE", own)
    before = value_in_c()
    with recording_from("mic"):
        assert value_in_c() == b"mic"
        assert os.environ.get("PULSE_SOURCE") == own
    assert value_in_c() == before
    with pytest.raises(OSError, match="refused"), recording_from("mic"):
        raise OSError("refused")
    with recording_from(None):
        assert value_in_c() == before


class FakeServer:
    """Has these sources, as pulsectl tells them; `error` is raised when it is asked, `wait` waited for."""

    def __init__(self, default, error=None, wait=None):
        self.default, self.error, self.wait = default, error, wait

    def __call__(self, _name, connect):
        assert not connect, "it must not start a sound server"
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def connect(self, autospawn):
        assert not autospawn
        if self.wait:
            self.wait.wait(20)
        if self.error:
            raise self.error

    def server_info(self):
        return SimpleNamespace(default_source_name=self.default)

    def source_list(self):
        def source(index, name, monitor_of_sink, *positions):
            return SimpleNamespace(
                index=index, name=name, description=name.title(), monitor_of_sink=monitor_of_sink,
                channel_list=positions,
            )  # fmt: skip

        return [
            source(7, "a", 2**32 - 1, "mono"),
            source(8, "b", 3, "front-left", "front-right"),
            source(9, "c", 2**32 - 1, "aux0", "aux1"),
        ]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("PULSE_SOURCE", raising=False)

    def start(**keywords):
        fake = FakeServer(**keywords)
        monkeypatch.setitem(sys.modules, "pulsectl", SimpleNamespace(Pulse=fake))

    return start


@pytest.mark.parametrize(
    ("variable", "default", "heard"),
    [("", "a", ["a"]), ("b", "a", ["b"]), ("8", "a", ["b"]), ("@DEFAULT_SOURCE@", "b", ["b"]),
     ("gone", "a", []), ("", None, [])],
)  # fmt: skip
def test_what_is_heard_without_a_choice_is_told_by_the_variable_or_the_server(
    server, monkeypatch, variable, default, heard
):
    server(default=default)
    monkeypatch.setenv("PULSE_SOURCE", variable)
    sources = read_sources()
    assert [one.name for one in sources if one.is_default] == heard
    assert [(one.description, one.is_monitor, one.rate_hz) for one in sources] == [
        ("A", False, None), ("B", True, None), ("C", False, None)
    ]  # fmt: skip


def test_channels_without_a_usual_position_are_offered_as_one(server):
    server(default="a")
    assert [one.n_channels for one in read_sources()] == [1, 2, 1]


@pytest.mark.parametrize("error", [RuntimeError("gone"), OSError("refused")])
def test_a_server_that_refuses_has_no_sources(server, error):
    server(default="a", error=error)
    assert read_sources() == []


def test_a_server_that_is_stuck_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(pulse_sources, "_ANSWER_LIMIT_S", 0.05)
    thawed = threading.Event()
    server(default="a", wait=thawed)
    began_s = time.monotonic()
    assert read_sources() == []
    assert time.monotonic() - began_s < 10
    thawed.set()


@pytest.mark.parametrize("failure", [ImportError, OSError])
def test_without_the_library_there_are_no_sources(without_pulsectl, failure):
    without_pulsectl(failure)
    assert read_sources() == []


def test_a_profile_belongs_to_the_source_and_an_old_one_to_the_default(listing):
    devices = listing(LAPTOP, HEADSET)
    names = {one.name: profile_names(one) for one in devices}
    assert names == {
        CARD.name: (CARD.name,),
        "pulse": (LAPTOP.name, "pulse"),
        "default": (LAPTOP.name, "default"),
        "Built-in Audio": (LAPTOP.name, "default", "pulse", "pipewire"),
        "Jabra Evolve": (HEADSET.name,),
    }


@pytest.mark.usefixtures("clean_environment")
def test_the_profile_of_a_source_is_taken_for_it_alone(listing, monkeypatch):
    devices = listing(LAPTOP, HEADSET)
    monkeypatch.setattr(portaudio, "list_devices", lambda: devices)

    def gate(**given):
        flags = {key: Given(value, "--flag") for key, value in given.items()}
        return with_profile(resolve(flags, environment={})).config.presence.gate_dbfs

    unset = resolve({}, environment={}).config.presence.gate_dbfs
    save_profile("pulse", Calibration(-60.0, -30.0), AT)
    assert gate() == gate(device="pulse") == gate(device="built-in") == -50.0
    assert gate(device="evolve") == unset
    save_profile(profile_names(match_device(devices, "evolve"))[0], Calibration(-70.0, -40.0), AT)
    assert gate(device="evolve") == -60.0
    save_profile(profile_names(match_device(devices, None))[0], Calibration(-40.0, -10.0), AT)
    assert gate() == gate(device="pulse") == gate(device="built-in") == -30.0


class MovingServer(FakeServer):
    """Our stream 1 is on a further one of `places` whenever it is asked; `gone`: sources that are no more."""

    def __init__(self, places, gone=()):
        super().__init__("a")
        self.places, self.gone, self.n_asked = list(places), gone, 0

    def source_output_list(self):
        self.n_asked += 1
        place = self.places.pop(0) if len(self.places) > 1 else self.places[0]
        mine = {"application.process.id": str(os.getpid())}
        return [SimpleNamespace(index=1, source=place, proplist=mine)] if place is not None else []

    def source_list(self):
        return [one for one in super().source_list() if one.name not in self.gone]


@pytest.fixture
def watching(monkeypatch):
    """Watch a fake server until it was asked for some time, or the stream has left; what was told."""
    monkeypatch.setattr(moved_stream, "_EVERY_S", 0.001)

    def watched(*places, gone=(), is_chosen=True):
        server = MovingServer(places, gone)
        monkeypatch.setitem(sys.modules, "pulsectl", SimpleNamespace(Pulse=server))
        moved = MovedStream("a", is_chosen=is_chosen)
        give_up_s = time.monotonic() + 20
        while server.n_asked < 30 and not moved.has_left_chosen and time.monotonic() < give_up_s:
            time.sleep(0.001)
        moved.close()
        return moved.has_left_chosen, moved.take_notices()

    return watched


def test_a_stream_that_stays_where_it_was_chosen_to_be_is_left_alone(watching):
    # For a moment it is on no source.
    assert watching(None, 7, 7, 2**32 - 1, 7) == (False, [])


def test_a_stream_that_leaves_the_chosen_source_is_told_and_known(watching):
    has_left, (told,) = watching(7, 7, 8)
    assert has_left
    assert told == "the sound server has put 'B' in the place of 'A'"


def test_a_chosen_source_that_goes_before_it_was_seen_is_known(watching):
    has_left, (told,) = watching(8, gone=("a",))
    assert has_left
    assert told == "the sound server has put 'B' in the place of 'a'"


@pytest.mark.parametrize("is_chosen", [True, False])
def test_another_source_than_the_expected_one_is_told_once(watching, is_chosen):
    has_left, (told,) = watching(None, 8, is_chosen=is_chosen)
    assert not has_left
    assert told.startswith("'B' is heard, and not 'A'")


def test_a_default_that_changes_is_told_as_ever(watching):
    has_left, (told,) = watching(7, 7, 7, 8, is_chosen=False)
    assert not has_left
    assert told.startswith("'B' is heard now, and no longer 'A'")
