"""The parts of the server that need no network: bands, queues, the token, a browser's microphone."""

import asyncio
import datetime
import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from aiohttp import web

from engines.errors import ConfigError, RateUnsupportedError
from realtime.controls import Controls
from realtime.events import Condition, Frame, Health, Mark, Phase, PhaseEvent
from realtime.facts import Facts
from realtime.intake import Heard
from realtime.pipeline import Step
from realtime.serve import bands
from realtime.serve.browser_source import BrowserSource
from realtime.serve.client import Client
from realtime.serve.desk import Desk
from realtime.serve.doorkeeper import Doorkeeper, doorkeeper_for, is_loopback
from realtime.serve.host import Host
from realtime.serve.hub import Hub
from realtime.serve.hub_sink import HubSink
from realtime.serve.messages import Message
from realtime.serve.outbox import Outbox
from realtime.serve.since_frame import SinceFrame
from realtime.sinks.base import Status
from realtime.sinks.beginning import Beginning
from realtime.wire import StartMessage

RATE = 16000
FACTS = Facts("demo", "onnxruntime", "why", "tiny", 1600, True)
STATUS = Status(1.0, None, 1.0, 2.0, 0, 0)


def sine(frequency_hz, seconds=0.2):
    return np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)


@pytest.mark.parametrize("frequency_hz", [60, 137, 1000, 3100, 7000])
def test_a_sine_at_full_scale_has_minus_three_in_its_band(frequency_hz):
    sound = sine(frequency_hz)
    _, levels = bands.advance(bands.BandState.initial(), sound, len(sound))
    edges = bands.edges_hz()
    band = int(np.searchsorted(edges, frequency_hz)) - 1
    near = levels[max(0, band - 5) : band + 6].astype(float)
    assert 10 * np.log10(np.sum(10 ** (near / 10))) == pytest.approx(-3.0, abs=0.6)
    assert abs(int(np.argmax(levels)) - band) <= 1


def test_short_hops_share_a_spectrum_and_gaps_part_them():
    sound = sine(500)
    whole, at_once = bands.advance(bands.BandState.initial(), sound, len(sound))
    state = bands.BandState.initial()
    for end in range(160, len(sound) + 1, 160):
        state, levels = bands.advance(state, sound[end - 160 : end], end)
    np.testing.assert_array_equal(levels, at_once)
    after_gap, _ = bands.advance(whole, sound[:160], len(sound) + 1600)
    assert len(after_gap.tail) == 160


def test_silence_is_at_the_floor():
    _, levels = bands.advance(bands.BandState.initial(), np.zeros(1600, np.float32), 1600)
    assert set(levels.tolist()) == {bands.FLOOR_DBFS}


def test_the_waveform_is_lowest_and_highest_of_each_ten_milliseconds():
    sound = np.zeros(480, np.float32)
    sound[10], sound[170], sound[479] = 0.5, -0.25, 1.0
    assert bands.pairs_from_samples(sound) == [0.0, 0.5, -0.25, 0.0, 0.0, 1.0]
    assert len(bands.pairs_from_samples(sound[:3])) == 2


def test_sound_between_two_frames_is_whole():
    since = SinceFrame()
    sound = np.arange(6400, dtype=np.float32)
    for start in range(0, 6400, 320):
        since.hear(Heard(start, sound[start : start + 320], start + 320))
    newest = sound[:1600]
    np.testing.assert_array_equal(since.take(4800, newest), sound[:4800])
    np.testing.assert_array_equal(since.take(6400, newest), sound[4800:])
    assert since.take(6400, newest) is newest
    since.hear(Heard(8000, sound[:100], 8100))
    np.testing.assert_array_equal(since.take(8100, newest), sound[:100])


def frame(number):
    return Message(json.dumps({"event": "frame", "n": number}), is_frame=True, plain="{}")


def event(number):
    return Message(json.dumps({"event": "phase", "n": number}), is_event=True, is_kept=True)


def taken(outbox):
    async def all_of_it():
        outbox.end()
        messages = []
        while (message := await outbox.take()) is not None:
            messages.append(json.loads(message.text))
        return messages

    return asyncio.run(all_of_it())


def test_a_full_outbox_loses_its_oldest_frames_keeps_events_and_says_so():
    outbox = Outbox(room=4)
    for message in (frame(1), event(1), frame(2), event(2), frame(3), event(3), event(4)):
        outbox.put(message)
    messages = taken(outbox)
    assert messages[0] == {"event": "dropped", "count": 3, "total": 3}
    assert messages[1:] == [{"event": "phase", "n": n} for n in (1, 2, 3, 4)]


def test_only_events_for_who_wants_no_frames():
    outbox = Outbox(wants_frames=False)
    outbox.put(frame(1))
    outbox.put(event(1))
    assert taken(outbox) == [{"event": "phase", "n": 1}]


def test_a_client_that_stays_behind_is_given_up():
    outbox = Outbox(room=2, patience=5)
    for number in range(6):
        outbox.put(frame(number))
    assert not outbox.given_up.is_set()
    outbox.put(frame(6))
    assert outbox.given_up.is_set()
    assert "5 messages" in outbox.farewell
    assert len(outbox.farewell.encode()) <= 123


def test_a_client_that_catches_up_is_kept():
    async def follow():
        outbox = Outbox(room=2, patience=3)
        for _ in range(5):
            for number in range(4):
                outbox.put(frame(number))
            for _ in range(3):
                await outbox.take()
        return outbox

    outbox = asyncio.run(follow())
    assert outbox.n_dropped == 10
    assert not outbox.given_up.is_set()


def test_of_several_sessions_all_that_is_told_names_its_own():
    async def watch():
        hub = Hub({})
        hub.bind(asyncio.get_running_loop())
        outbox = Outbox()
        hub.join(outbox)
        for number in (1, 2):
            sink = HubSink(hub, replace(FACTS, session=number))
            sink.report(Mark(1, 16000))
            sink.close()
        await asyncio.sleep(0)
        hub.end("over")
        told = []
        while (message := await outbox.take()) is not None:
            told.append(json.loads(message.text))
        return told

    told = asyncio.run(watch())
    assert [message["session"] for message in told if message["event"] == "mark"] == [1, 2]
    begun = [message for message in told if message["event"] == "session" and message["state"] == "begins"]
    assert [message["session"] for message in begun] == [1, 2]


def test_a_stuck_loop_costs_only_messages():
    loop = asyncio.new_event_loop()
    hub = Hub({})
    hub.bind(loop)
    hub.begin_session({"source": "demo", "hop_s": 0.1})
    for number in range(5000):
        hub.post(frame(number))
    assert json.loads(hub.status())["n_dropped"] == 5001 - 1024
    loop.close()


def test_a_session_as_its_sink_tells_it():
    async def watch():
        hub = Hub({"version": "1"})
        hub.bind(asyncio.get_running_loop())
        start = StartMessage(
            source="USB",
            started_at="",
            pack="p",
            pack_sha256="ab",
            engine="torch",
            hop_s=0.1,
            lookahead_s=0.0,
        )
        sink = HubSink(hub, FACTS, Beginning(start))
        early = Outbox()
        hub.join(early)
        step = Step(
            Frame(16000, 0.25, Phase.INHALE, 0.9, -30.0),
            PhaseEvent(Phase.INHALE, 15000, 16000, 0.9),
            sine(300)[:1600],
            0.001,
        )
        sink.hear(Heard(0, sine(300, 1.0), 16000))
        sink.show(step, STATUS)
        sink.report(Health(Condition.CLIPPING, True, 16000, 2.0, "%"))
        sink.report(Mark(1, 16000))
        during = json.loads(hub.status())
        sink.close()
        sink.close()
        await asyncio.sleep(0)
        late = Outbox()
        hub.join(late)
        hub.end("over")
        told = []
        for outbox in (early, late):
            told.append([])
            while (message := await outbox.take()) is not None:
                told[-1].append(json.loads(message.text))
        return during, *told, json.loads(hub.status())

    during, early, late, after = asyncio.run(watch())
    assert [message["event"] for message in early] == [
        "hello", "session", "start", "phase", "frame", "health", "advice", "mark", "session", "end",
    ]  # fmt: skip
    assert early[2]["source"] == "USB"
    began = datetime.datetime.fromisoformat(early[2]["started_at"])
    assert 0.9 < (datetime.datetime.now(datetime.UTC) - began).total_seconds() < 60
    shown = early[4]
    assert (shown["time_s"], shown["phase"], shown["prob_exhale"]) == (1.0, "inhale", 0.25)
    assert (len(shown["spectrum"]), len(shown["wave"]), shown["wave_s"]) == (64, 200, 1.0)
    assert during["session"]["source"] == "demo"
    assert during["frame"]["phase"] == "inhale"
    assert "wave" not in during["frame"]
    assert "too loud" in during["health"]["clipping"]
    assert after["session"] is None
    assert after["health"] == {}
    assert [past["event"] for past in late[0]["history"]] == [
        "session", "start", "phase", "health", "advice", "mark", "session",
    ]  # fmt: skip
    assert late[1] == {"event": "end", "reason": "over"}


def test_what_is_wrong_is_told_to_who_comes_when_its_beginning_is_forgotten():
    async def watch():
        hub = Hub({})
        hub.bind(asyncio.get_running_loop())
        sink = HubSink(hub, FACTS)
        sink.report(Health(Condition.CLIPPING, True, 16000, 2.0, "%"))
        for number in range(500):
            sink.report(Mark(number + 1, 16000))
        await asyncio.sleep(0)
        late = Outbox()
        hub.join(late)
        return json.loads((await late.take()).text)

    hello = asyncio.run(watch())
    assert {past["event"] for past in hello["history"]} == {"mark"}
    assert list(hello["health"]) == ["clipping"]
    assert "too loud" in hello["health"]["clipping"]


@pytest.mark.parametrize(
    ("host", "origin", "is_ours"),
    [
        ("127.0.0.1:8765", None, True),
        ("localhost:8765", "http://localhost:8765", True),
        ("[::1]:8765", "http://[::1]:8765", True),
        ("192.168.1.5:8765", "https://192.168.1.5:8765", True),
        ("breath.example:443", "https://breath.example:443", True),
        ("evil.example:8765", None, False),
        ("localhost:8765", "http://evil.example", False),
        ("localhost:8765", "http://localhost:9999", False),
        ("localhost:8765", "null", False),
        ("localhost:8765", "file://localhost:8765", False),
        ("user@localhost:8765", None, False),
        ("localhost:8765/x", None, False),
        ("[::1", None, False),
        ("", None, False),
    ],
)
def test_hosts_and_origins(host, origin, is_ours):
    keeper = doorkeeper_for("127.0.0.1", None, ["Breath.example"])
    assert (keeper.why_host_is_foreign(host, origin) == "") is is_ours


def test_a_page_that_can_be_let_in_is_told_how():
    keeper = doorkeeper_for("127.0.0.1", None)
    assert "--allow-origin http://a.example lets" in keeper.why_host_is_foreign(
        "localhost", "http://a.example"
    )
    assert "--allow-origin" not in keeper.why_host_is_foreign("localhost", "null")


def test_tokens():
    keeper = Doorkeeper("sesame-open", frozenset())
    assert keeper.has_token("sesame-open", None)
    assert keeper.has_token(None, "Bearer sesame-open")
    assert not keeper.has_token("sesame-opem", None)
    assert not keeper.has_token(None, "Basic sesame-open")
    assert not keeper.has_token(None, None)
    assert not keeper.has_token("ö", None)
    assert Doorkeeper("", frozenset()).has_token(None, None)


def test_a_token_is_made_where_others_can_connect():
    assert doorkeeper_for("127.0.0.1", None).token == ""
    assert doorkeeper_for("localhost", "abcdefgh").token == "abcdefgh"
    made = {doorkeeper_for("0.0.0.0", None).token for _ in range(2)}
    assert len(made) == 2
    assert min(map(len, made)) >= 32
    with pytest.raises(ConfigError, match="--token"):
        doorkeeper_for("0.0.0.0", "short")


@pytest.mark.parametrize(
    "origin", ["*", "localhost:5173", "https://app.example/", "https://", "null", "file://x", ""]
)
def test_what_is_no_origin_is_refused(origin):
    with pytest.raises(ConfigError, match="an origin is a scheme"):
        doorkeeper_for("127.0.0.1", None, (), [origin])


def test_what_is_a_loopback():
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "LOCALHOST"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.0.1", "example.org", ""]))


def test_a_browsers_sound_is_heard_in_order_with_its_gap():
    source = BrowserSource("page", 48000, "int16")
    source.hear(np.array([0, 16384, -32768], "<i2").tobytes())
    source.hear(b"")
    blocks = source.blocks()
    first = next(blocks)
    np.testing.assert_array_equal(first.samples, np.array([[0], [0.5], [-1]], np.float32))
    source.skip(100)
    source.hear(np.array([1], "<i2").tobytes())
    source.end()
    second = next(blocks)
    assert (second.start, len(second.samples)) == (103, 1)
    assert "browser" in second.note
    assert source.lost_samples == 100
    assert next(blocks, None) is None


def test_a_browser_that_falls_silent_is_noticed():
    source = BrowserSource("page", 48000)
    blocks = source.blocks()
    # The stream begins with the first sound, however late that comes.
    threading.Timer(1.5, source.hear, [np.array([0.25, np.nan], "<f4").tobytes()]).start()
    np.testing.assert_array_equal(next(blocks).samples, np.array([[0.25], [0]], np.float32))
    quiet = next(blocks)
    assert (quiet.start, quiet.samples.shape) == (2, (0, 1))
    source.close()
    assert next(blocks, None) is None


def test_nobody_waits_for_a_first_sound_after_the_end():
    desk, is_over = Desk(), threading.Event()
    desk.open(48000, "float32")
    blocks = next(desk.sources(is_over.is_set)).blocks()
    threading.Timer(0.3, is_over.set).start()
    assert next(blocks, None) is None


def test_what_no_browser_should_send():
    with pytest.raises(RateUnsupportedError):
        BrowserSource("page", 10)
    with pytest.raises(ConfigError, match="int24"):
        BrowserSource("page", 48000, "int24")
    with pytest.raises(ConfigError, match="whole number"):
        BrowserSource("page", 48000).hear(b"123")


def test_one_browser_at_a_time():
    desk = Desk()
    sources = desk.sources()
    first = desk.open(48000, "float32")
    with pytest.raises(ConfigError, match="another browser"):
        desk.open(48000, "float32")
    assert next(sources) is first
    with pytest.raises(ConfigError, match="another browser"):
        desk.open(44100, "int16")
    first.hear(b"\0" * 4 * 480)
    first.end()
    # Its last samples are still being heard; a page need not guess when that is over.
    second = desk.open(44100, "int16")
    second.hear(b"\0" * 2 * 441)
    second.end()
    assert sum(len(block.samples) for block in first.blocks()) == 480
    assert next(sources) is second
    assert sum(len(block.samples) for block in second.blocks()) == 441


def test_microphones_that_come_and_go_before_anybody_hears_are_heard_in_turn():
    desk = Desk()
    opened = []
    for n_samples in (480, 960):
        source = desk.open(48000, "float32")
        source.hear(b"\0" * 4 * n_samples)
        source.end()
        opened.append(source)
    sources = desk.sources(lambda: True)
    for source, n_samples in zip(opened, (480, 960), strict=True):
        assert next(sources) is source
        assert sum(len(block.samples) for block in source.blocks()) == n_samples


def test_nobody_waits_for_browsers_after_the_end():
    assert list(Desk().sources(lambda: True)) == []


def test_a_day_is_the_most_that_a_browser_may_lose():
    source = BrowserSource("page", 48000)
    source.skip(86_000 * 48_000)
    with pytest.raises(ConfigError, match="more than a day"):
        source.skip(401 * 48_000)
    assert source.lost_samples == 86_000 * 48_000


def test_what_is_dropped_here_is_not_blamed_on_the_browser():
    source = BrowserSource("page", 4000)
    second = np.zeros(4000, "<f4").tobytes()
    blocks = source.blocks()
    source.hear(second)
    next(blocks)
    for _ in range(12):
        source.hear(second)
    dropped = next(blocks)
    assert (dropped.start, dropped.note) == (3 * 4000, "")
    source.skip(4000)
    source.hear(second)
    lost = next(blocks)
    assert (lost.start, "browser" in lost.note) == (14 * 4000, True)


def test_a_loop_that_was_closed_first_does_no_harm():
    loop = asyncio.new_event_loop()
    hub = Hub({})
    hub.bind(loop)
    loop.close()
    hub.post(frame(1))
    hub.post(frame(2))
    assert json.loads(hub.status())["n_dropped"] == 0


def test_marks_that_come_too_fast_are_passed_over():
    controls = Controls()
    host = Host(Hub({}), doorkeeper_for("127.0.0.1", None), None, "the demo breather", controls)
    client = Client(web.WebSocketResponse(), Outbox(), host, lambda: None)
    for number in range(1000):
        client.mark(10.0 + number / 1000)
    assert controls.take_marks() == 5


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8807", "https://breath.example"),  # nginx as it is installed
        ("breath.example:443", "https://breath.example"),
        ("breath.example:80", "http://breath.example"),
        ("breath.example:8443", "https://breath.example:8443"),
        ("breath.example", "https://breath.example:443"),
    ],
)
def test_behind_a_proxy_the_page_is_the_servers_own(host, origin):
    keeper = doorkeeper_for("127.0.0.1", None, ["breath.example"])
    assert keeper.why_host_is_foreign(host, origin) == ""
    assert keeper.why_host_is_foreign(host, "https://breath.example:9443") != ""
    # Another service on that machine, and what is not encrypted on the way, is not the proxy.
    assert keeper.why_host_is_foreign("breath.example:8765", "https://breath.example") != ""
    assert keeper.why_host_is_foreign("127.0.0.1:8765", "http://breath.example") != ""
    assert keeper.why_host_is_foreign("localhost:8765", "http://localhost:5173") != ""


def test_what_an_image_on_another_site_asks_for_is_refused():
    keeper = doorkeeper_for("127.0.0.1", None)
    assert keeper.why_site_is_foreign("cross-site", None)
    assert keeper.why_site_is_foreign("same-site", None)
    assert not any(keeper.why_site_is_foreign(site, None) for site in (None, "none", "same-origin"))
    # Where there is an origin, it decides.
    assert not keeper.why_site_is_foreign("cross-site", "https://app.example")


@pytest.mark.parametrize("origin", ["capacitor://localhost", "tauri://localhost", "app://x", "file://"])
def test_pages_in_the_shell_of_an_app_can_be_let_in(origin):
    assert "--allow-origin" in doorkeeper_for("127.0.0.1", None).why_host_is_foreign("localhost", origin)
    keeper = doorkeeper_for("127.0.0.1", None, (), [origin])
    assert keeper.why_host_is_foreign("localhost", origin) == ""


def test_microphones_that_come_faster_than_they_are_heard_are_refused():
    desk = Desk()
    for _ in range(4):
        desk.open(16_000, "float32").end()
    with pytest.raises(ConfigError, match="faster than they can be heard"):
        desk.open(16_000, "float32")
