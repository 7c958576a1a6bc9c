"""OSC and LSL as receivers meet them, and what a slow, stuck or dead receiver costs: nothing but its own."""

import socket
import subprocess
import sys
import threading
import uuid

import numpy as np
import pytest
from click.testing import CliRunner

from engines.errors import ConfigError
from realtime.cli import cli
from realtime.events import Condition, Frame, Gap, Health, Mark, Phase, PhaseEvent
from realtime.intake import Heard
from realtime.pipeline import UNHEARD, Step
from realtime.sinks import arrival_clock
from realtime.sinks.arrival_clock import ArrivalClock
from realtime.sinks.base import Status
from realtime.sinks.lsl import LslSender, LslSink, Stamped
from realtime.sinks.osc import OscSender, OscSink, OscTarget, checked_prefix
from realtime.sinks.queued import QueuedOutlet

SILENCE = np.zeros(1600, np.float32)


def step(end_sample, phase=Phase.EXHALE, onset_sample=None, level_dbfs=-20.0):
    event = None if onset_sample is None else PhaseEvent(phase, onset_sample, end_sample, 0.75)
    return Step(Frame(end_sample, 0.875, phase, 0.75, level_dbfs), event, SILENCE, 0.001)


def status(breaths_per_min=15.0):
    return Status(2.0, breaths_per_min, 1.0, 2.0, 0, 0)


class _Receiver:
    """Remembers, and can be made to hang or fail."""

    name = "receiver"

    def __init__(self):
        self.got = []
        self.is_closed = threading.Event()
        self.is_open = threading.Event()
        self.is_open.set()
        self.has_begun = threading.Event()
        self.error = None

    def send(self, item):
        self.has_begun.set()
        self.is_open.wait()
        if self.error:
            raise self.error
        self.got.append(item)

    def close(self):
        self.is_closed.set()


def test_everything_arrives_in_order_before_the_end():
    receiver = _Receiver()
    outlet = QueuedOutlet(receiver)
    for item in range(50):
        outlet.put(item)
    outlet.close()
    outlet.close()
    assert receiver.got == list(range(50))
    assert receiver.is_closed.is_set()
    assert outlet.n_dropped == 0
    assert outlet.take_notices() == []


def test_a_stuck_receiver_holds_nobody_up_and_gets_the_newest():
    receiver = _Receiver()
    receiver.is_open.clear()
    outlet = QueuedOutlet(receiver, room=3)
    outlet.put(0)
    receiver.has_begun.wait()
    for item in range(1, 11):
        outlet.put(item)
    assert outlet.n_dropped == 7
    assert outlet.take_notices() == ["receiver: 7 updates not sent so far (the receiver is too slow)"]
    assert outlet.take_notices() == []
    receiver.is_open.set()
    outlet.close()
    assert receiver.got == [0, 8, 9, 10]


def test_the_end_does_not_wait_for_a_receiver_that_is_stuck_for_good():
    receiver = _Receiver()
    receiver.is_open.clear()
    outlet = QueuedOutlet(receiver)
    outlet.put(0)
    receiver.has_begun.wait()
    outlet.put(1)
    outlet.close()
    outlet.put(2)
    assert outlet.n_dropped == 2
    receiver.is_open.set()


def test_what_a_receiver_refuses_is_counted_and_told_now_and_then():
    receiver = _Receiver()
    receiver.error = OSError(101, "Network is unreachable")
    outlet = QueuedOutlet(receiver, room=500)
    told = []
    for n in range(1, 201):
        outlet.put(n)
        while outlet.n_dropped < n:
            pass
        told += outlet.take_notices()
    outlet.close()
    assert [text.split()[1] for text in told] == ["1", "10", "100"]
    assert "Network is unreachable" in told[0]


@pytest.fixture
def udp():
    """A UDP socket on this machine, and what came to it, decoded by python-osc."""
    osc_message = pytest.importorskip("pythonosc.osc_message", reason="python-osc is not installed")
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(10)

    def take():
        message = osc_message.OscMessage(receiver.recv(4096))
        return message.address, *message.params

    with receiver:
        yield receiver.getsockname()[1], take


def test_osc_arrives_as_promised(udp):
    port, take = udp
    outlet = QueuedOutlet(OscSender(OscTarget.from_text(port)))
    sink = OscSink(outlet)
    sink.show(step(16_000), status())
    sink.report(Health(Condition.STALLED, True, 32_000, 0.8, "s"))
    sink.report(Health(Condition.CLIPPING, True, 32_000, 0.8, "%"))
    sink.report(Gap(1, 2, "lost"))
    sink.show(step(17_600, Phase.INHALE, level_dbfs=-120.0), status(breaths_per_min=None))
    sink.pause()
    sink.close()
    outlet.close()
    assert [take() for _ in range(7)] == [
        ("/breath/phase", 1.0),
        ("/breath/prob_exhale", 0.875),
        ("/breath/confidence", 0.75),
        ("/breath/level", 0.75),
        ("/breath/rate", 15.0),
        ("/breath/rate_01", 0.25),
        ("/breath/connected", 1.0),
    ]
    nothing_heard = [(f"/breath/{name}", 0.0) for name in ("phase", "confidence", "level", "connected")]
    assert [take() for _ in range(4)] == nothing_heard
    assert [take() for _ in range(7)] == [
        ("/breath/phase", -1.0),
        ("/breath/prob_exhale", 0.875),
        ("/breath/confidence", 0.75),
        ("/breath/level", 0.0),
        ("/breath/rate", 0.0),
        ("/breath/rate_01", 0.0),
        ("/breath/connected", 1.0),
    ]
    for _ in ("paused", "closed"):
        assert [take() for _ in range(4)] == nothing_heard
    assert outlet.n_dropped == 0


@pytest.mark.usefixtures("clean_environment")
def test_a_run_sends_osc_below_another_prefix(udp, tiny_pack, monkeypatch):
    port, take = udp
    args = ["demo", "--pace", "0", "--seconds", "2", "--pack", str(tiny_pack)]
    args += ["--osc", f"localhost:{port}", "--osc-prefix", "/avatar/parameters/"]
    both = [(socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))]
    # As it stands in the hosts file of many a machine.
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_, **__: [(family, socket.SOCK_DGRAM, 17, "", at) for family, at in both],
    )
    result = CliRunner().invoke(cli, args)
    assert result.exit_code == 0, result.stderr
    addresses = set()
    message = take()
    while message != ("/avatar/parameters/connected", 0.0):
        addresses.add(message[0].removeprefix("/avatar/parameters/"))
        message = take()
    assert addresses == {"phase", "prob_exhale", "confidence", "level", "rate", "rate_01", "connected"}


@pytest.mark.usefixtures("clean_environment")
def test_what_was_not_sent_is_in_the_summary_and_ends_nothing(tiny_pack, monkeypatch):
    pytest.importorskip("pythonosc", reason="python-osc is not installed")

    def refuse(*_):
        raise OSError("the network is unreachable")

    monkeypatch.setattr(OscSender, "send", refuse)
    place = "127.0.0.1:9000"
    args = ["demo", "--pace", "0", "--seconds", "2", "--pack", str(tiny_pack), "--osc", place]
    result = CliRunner().invoke(cli, args)
    assert result.exit_code == 0, result.stderr
    assert f"osc {place}: 12 updates not sent\n" in result.stderr


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("9000", "127.0.0.1", 9000),
        (9000, "127.0.0.1", 9000),
        (":9000", "127.0.0.1", 9000),
        ("studio.local:9001", "studio.local", 9001),
        ("[::1]:9000", "::1", 9000),
    ],
)
def test_a_place_for_osc_is_read(text, host, port):
    assert OscTarget.from_text(text) == OscTarget(host, port)


@pytest.mark.parametrize("text", ["", "host", "host:", "host:0", "host:65536", "host:-1", "host:9e3", "::"])
def test_what_is_no_place_for_osc_is_refused(text):
    with pytest.raises(ConfigError, match="HOST:PORT"):
        OscTarget.from_text(text)


def test_prefixes_are_checked():
    assert checked_prefix("/a/b/") == "/a/b"
    assert checked_prefix("/") == checked_prefix("") == ""
    for prefix in ("breath", "/a b", "/a*", "/ä"):
        with pytest.raises(ConfigError, match="osc_prefix"):
            checked_prefix(prefix)


def test_an_unknown_host_is_told_at_the_start():
    pytest.importorskip("pythonosc", reason="python-osc is not installed")
    for host in ("nowhere.invalid", "a..b", 70 * "x"):
        with pytest.raises(ConfigError, match=f"no host '{host}'"):
            OscSender(OscTarget(host, 9000))


def test_the_promptest_arrival_of_late_tells_the_time():
    clock = ArrivalClock.initial()
    late_s = np.random.default_rng(3).uniform(0.0, 0.5, 4000)
    late_s[::100] = 0.0
    # The sound card runs 100 ppm slow.
    for k in range(4000):
        true_s = 7.0 + 1600 * (k + 1) / 16_000 * 1.0001
        clock = arrival_clock.advance(clock, 1600 * (k + 1), true_s + late_s[k])
        if k > 100:
            assert -0.0035 < clock.time_s(1600 * (k + 1)) - true_s <= 1e-9
    assert len(clock.smallest) <= 15


def test_before_any_sound_there_is_no_time():
    with pytest.raises(ValueError, match="empty"):
        ArrivalClock.initial().time_s(0)


class _Kept:
    name = "kept"

    def __init__(self):
        self.items = []

    def send(self, item):
        self.items.append(item)

    def close(self):
        pass


def test_stamps_are_those_of_the_samples_and_a_gap_begins_a_new_count():
    kept = _Kept()
    outlet = QueuedOutlet(kept)
    now_s = [100.0]
    sink = LslSink(outlet, lambda: now_s[0])
    sink.report(Gap(0, 100, "this machine was too busy"))
    sink.hear(Heard(0, np.zeros(15_000, np.float32), 16_000))
    now_s[0] = 101.5
    sink.hear(Heard(15_000, np.zeros(16_000, np.float32), 32_000))
    sink.show(step(30_400, Phase.INHALE, onset_sample=24_000), status())
    sink.report(Mark(1, 32_000))
    # That sound has come, if too late to be looked at: its time is known.
    sink.report(Gap(16_000, 30_400, UNHEARD))
    sink.report(Gap(32_000, 320_000, "machine suspended"))
    sink.hear(Heard(320_000, np.zeros(16_000, np.float32), 336_000))
    sink.show(step(336_000), status())
    sink.close()
    outlet.close()
    values = (0.875, 0.75, -20.0)
    assert kept.items == [
        Stamped(values, 100.9),
        Stamped("inhale", 100.5),
        Stamped("mark", 101.0),
        Stamped("gap", 100.0),
        Stamped("gap", 101.0),
        Stamped(values, 101.5),
    ]


@pytest.fixture
def lsl():
    """pylsl, where its library loads and streams can be found."""
    try:
        import pylsl
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"LSL does not load here: {error}")
    return pylsl


def _inlet(lsl, name):
    found = lsl.resolve_byprop("name", name, 1, 20)
    if not found:
        pytest.skip("LSL finds no streams on this machine's network")
    inlet = lsl.StreamInlet(found[0])
    inlet.open_stream(20)
    return inlet


def test_lsl_streams_are_found_described_and_stamped(lsl):
    name = f"Breath{uuid.uuid4().hex}"
    sender = LslSender(name, 1600)
    again = LslSender(name + "x", 3200)
    outlet = QueuedOutlet(sender)
    signal, markers = _inlet(lsl, name), _inlet(lsl, name + "Markers")
    about = signal.info(20)
    assert (about.nominal_srate(), about.type()) == (10.0, "Breath")
    assert about.get_channel_labels() == ["prob_exhale", "confidence", "level"]
    assert about.get_channel_units() == ["0..1", "0..1", "dBFS"]
    assert about.source_id() == f"breath:{socket.gethostname()}:{name}:signal"
    assert "sound card" in about.as_xml()
    assert (markers.info(20).nominal_srate(), markers.info(20).type()) == (0.0, "Markers")
    sink = LslSink(outlet, lambda: 50.0)
    sink.hear(Heard(0, np.zeros(16_000, np.float32), 16_000))
    sink.show(step(15_200, onset_sample=8_000), status())
    values, stamp_s = signal.pull_sample(20)
    assert values == [0.875, 0.75, -20.0]
    assert stamp_s == pytest.approx(49.95)
    word, stamp_s = markers.pull_sample(20)
    assert word == ["exhale"]
    assert stamp_s == pytest.approx(49.5)
    for inlet in (signal, markers):
        inlet.close_stream()
    outlet.close()
    assert outlet.n_dropped == 0
    again.close()


@pytest.mark.usefixtures("clean_environment")
def test_a_run_offers_lsl(lsl, tiny_pack):
    name = f"Breath{uuid.uuid4().hex}"
    args = ["demo", "--pace", "1", "--seconds", "600", "--pack", str(tiny_pack), "--lsl", name]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        [sys.executable, "-m", "realtime.cli", *args], stdout=quiet, stderr=quiet
    ) as process:
        try:
            inlet = _inlet(lsl, name)
            values, stamp_s = inlet.pull_sample(20)
            inlet.close_stream()
        finally:
            process.terminate()
    assert 0 <= values[0] <= 1
    # Sound is stamped when it is heard: before it can be received, on the same clock.
    assert 0 < stamp_s < lsl.local_clock()


def test_without_its_packages_an_outlet_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pylsl", None)
    monkeypatch.setitem(sys.modules, "pythonosc.osc_message_builder", None)
    with pytest.raises(ConfigError, match=r'pip install "\.\[lsl\]"'):
        LslSender("Breath", 1600)
    with pytest.raises(ConfigError, match=r'pip install "\.\[osc\]"'):
        OscSender(OscTarget("127.0.0.1", 9000))
