"""The server itself, on a real port, with real clients; what it tells is made by hand."""

import asyncio
import contextlib
import json
import re
import socket

import aiohttp
import pytest

from engines.errors import ConfigError
from realtime.controls import Controls
from realtime.serve import client as client_module
from realtime.serve import gate
from realtime.serve.desk import Desk
from realtime.serve.doorkeeper import doorkeeper_for
from realtime.serve.files import page_files
from realtime.serve.host import Host
from realtime.serve.hub import Hub
from realtime.serve.messages import Message
from realtime.serve.server import Server
from realtime.wire import schema

TOKEN = "open-sesame-42"
ABOUT = {"version": "1", "source_kind": "demo", "settings": {}}
LIMIT_S = 240


def event(number):
    return Message(json.dumps({"event": "phase", "n": number}), is_event=True, is_kept=True)


def frame(number, ballast=0):
    content = {"event": "frame", "n": number}
    return Message(json.dumps({**content, "wave": "x" * ballast}), is_frame=True, plain=json.dumps(content))


class Serving:
    """A server, and what its clients need."""

    def __init__(self, token=None, desk=None, origins=(), **kwargs):
        self.hub = Hub(ABOUT, **kwargs)
        self.controls = Controls()
        host = Host(
            self.hub, doorkeeper_for("127.0.0.1", token, (), origins), desk, "the demo", self.controls
        )
        self.server = Server(host, "127.0.0.1", 0)
        self.base = f"http://127.0.0.1:{self.server.port}"

    def run(self, visit):
        async def limited():
            async with asyncio.timeout(LIMIT_S), aiohttp.ClientSession() as client:
                return await visit(client)

        return asyncio.run(limited())


@pytest.fixture
def serving():
    made = Serving()
    with made.server:
        yield made


@pytest.fixture
def guarded():
    made = Serving(TOKEN)
    with made.server:
        yield made


async def until(ws, kind):
    while True:
        message = json.loads(await ws.receive_str())
        if message["event"] == kind:
            return message


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("", "text/html"),
        ("app.js", "text/javascript"),
        ("capture-worklet.js", "text/javascript"),
        ("style.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
    ],
)
def test_files_of_the_page(guarded, name, content_type):
    async def visit(client):
        async with client.get(f"{guarded.base}/{name}") as answer:
            return (
                answer.status,
                answer.content_type,
                answer.charset,
                dict(answer.headers),
                await answer.text(),
            )

    status, kind, charset, headers, text = guarded.run(visit)
    assert (status, kind, charset) == (200, content_type, "utf-8")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert TOKEN not in text


def test_the_page_names_no_address_outside_and_nothing_inline():
    files = {name: file.content.decode() for name, file in page_files().items()}
    for name, text in files.items():
        outside = set(re.findall(r"(?:https?:)?//[a-z0-9][\w.-]+\.[a-z]{2,}", text)) - {"http://www.w3.org"}
        assert not outside, name
    page = files["index.html"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
    named = set(re.findall(r'(?:src|href)="([^"#]+)"', page))
    imported = {name for text in files.values() for name in re.findall(r'from "\./([^"]+)"', text)}
    assert named | imported | {"index.html", "capture-worklet.js"} == set(files)


def test_the_token_opens_what_is_behind_the_page(guarded):
    async def visit(client):
        seen = {}
        for path in ("/api/status", "/api/events", "/api/schema", "/ws"):
            for way, query, headers in (
                ("none", "", {}),
                ("wrong", "?token=wrong-token", {}),
                ("query", f"?token={TOKEN}", {}),
                ("header", "", {"Authorization": f"Bearer {TOKEN}"}),
            ):
                async with client.get(guarded.base + path + query, headers=headers) as answer:
                    seen[path, way] = answer.status
        async with client.ws_connect(f"{guarded.base}/ws?token={TOKEN}") as ws:
            seen["hello"] = (await ws.receive_json())["event"]
        return seen

    seen = guarded.run(visit)
    assert seen.pop("hello") == "hello"
    for (path, way), status in seen.items():
        # A plain request for the WebSocket is a bad one, once it is let in.
        allowed = 400 if path == "/ws" else 200
        assert status == (401 if way in ("none", "wrong") else allowed), (path, way)


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}]
)
def test_pages_of_other_sites_get_nothing(serving, headers):
    async def visit(client):
        async with client.get(f"{serving.base}/api/status", headers=headers) as answer:
            status = answer.status, answer.headers.get("Access-Control-Allow-Origin")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(f"{serving.base}/ws", headers=headers)
        return *status, refused.value.status

    assert serving.run(visit) == (403, None, 403)


def test_pages_that_are_allowed_may_connect_and_read():
    origin = "http://localhost:5173"
    made = Serving(origins=[origin])

    async def visit(client):
        seen = []
        for page in (origin, "http://localhost:5174"):
            headers = {"Origin": page}
            async with client.get(f"{made.base}/api/status", headers=headers) as answer:
                said = await answer.json()
                seen.append((answer.status, answer.headers.get("Access-Control-Allow-Origin")))
        async with client.ws_connect(f"{made.base}/ws", origin=origin) as ws:
            return seen, said, (await ws.receive_json())["event"]

    with made.server:
        seen, refusal, first = made.run(visit)
    assert seen == [(200, origin), (403, None)]
    assert "--allow-origin http://localhost:5174" in refusal["error"]
    assert first == "hello"


def test_the_own_page_may_connect(serving):
    async def visit(client):
        async with client.ws_connect(f"{serving.base}/ws", origin=serving.base) as ws:
            return (await ws.receive_json())["event"]

    assert serving.run(visit) == "hello"


def test_status_and_schema(serving):
    serving.hub.begin_session({"source": "demo", "hop_s": 0.1})
    serving.hub.post(frame(7))

    async def visit(client):
        async with client.get(f"{serving.base}/api/status") as answer:
            status = await answer.json()
        async with client.get(f"{serving.base}/api/schema") as answer:
            return status, json.loads(await answer.text())

    status, published = serving.run(visit)
    assert status["frame"] == {"event": "frame", "n": 7}
    assert status["session"]["source"] == "demo"
    assert status["n_clients"] == 0
    assert published == schema()


@pytest.mark.parametrize(
    ("accept", "content_type", "start"),
    [("*/*", "application/x-ndjson", b""), ("text/event-stream", "text/event-stream", b"data: ")],
)
def test_events_as_a_stream(serving, accept, content_type, start):
    async def visit(client):
        streams = [
            await client.get(f"{serving.base}/api/events{query}", headers={"Accept": accept})
            for query in ("", "?frames=1")
        ]
        # Something is written at once, and from then on nothing is missed.
        for stream in streams:
            await stream.content.readline()
        for number in range(3):
            serving.hub.post(frame(number, ballast=50))
            serving.hub.post(event(number))
        told = []
        for stream, n_wanted in zip(streams, (3, 6), strict=True):
            lines = []
            while len(lines) < n_wanted:
                line = (await stream.content.readline()).strip()
                if line.startswith(start + b"{"):
                    lines.append(json.loads(line.removeprefix(start)))
            told.append(lines)
            stream.close()
        return streams[0].content_type, *told

    kind, plain, with_frames = serving.run(visit)
    assert kind == content_type
    assert plain == [{"event": "phase", "n": n} for n in range(3)]
    assert with_frames == [{"event": e, "n": n} for n in range(3) for e in ("frame", "phase")]


def test_a_dead_receiver_is_sent_away_and_holds_nobody_up(serving):
    """One client never reads; another gets every message all the while."""
    dead = socket.socket()
    dead.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    dead.connect(("127.0.0.1", serving.server.port))
    dead.sendall(
        b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )

    async def visit(client):
        n_sent = 0
        async with client.ws_connect(f"{serving.base}/ws") as ws:
            await until(ws, "hello")
            while True:
                for _ in range(50):
                    serving.hub.post(frame(n_sent, ballast=2000))
                    assert (await ws.receive_json())["n"] == n_sent
                    n_sent += 1
                async with client.get(f"{serving.base}/api/status") as answer:
                    status = await answer.json()
                if status["n_given_up"]:
                    return n_sent, status

    n_sent, status = serving.run(visit)
    dead.close()
    assert status["n_given_up"] == 1
    assert status["n_clients"] == 1
    assert status["n_dropped"] == 0
    assert n_sent > 600


def test_one_client_too_many_is_refused_with_a_reason_until_another_leaves():
    made = Serving(most_clients=2)

    async def visit(client):
        events = await client.get(f"{made.base}/api/events")
        ws = await client.ws_connect(f"{made.base}/ws")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(f"{made.base}/ws")
        async with client.get(f"{made.base}/api/events") as answer:
            told = answer.status, answer.headers["Retry-After"], await answer.json()
        # The page, and how things stand, are there for everybody.
        async with client.get(f"{made.base}/api/status") as answer:
            status = await answer.json()
        await ws.close()
        events.close()
        while True:
            try:
                async with client.ws_connect(f"{made.base}/ws") as again:
                    return refused.value.status, told, status, await again.receive_json()
            except aiohttp.WSServerHandshakeError:
                await asyncio.sleep(0.05)

    with made.server:
        ws_status, (status, _, reason), overall, hello = made.run(visit)
    assert (ws_status, status) == (503, 503)
    assert "2 clients" in reason["error"]
    assert overall["n_clients"] == 2
    assert hello["event"] == "hello"


def test_a_bad_request_takes_no_place():
    made = Serving(most_clients=1)

    async def visit(client):
        async with client.get(f"{made.base}/ws") as answer:
            bad = answer.status
        async with client.ws_connect(f"{made.base}/ws") as ws:
            return bad, (await ws.receive_json())["event"]

    with made.server:
        assert made.run(visit) == (400, "hello")


def test_a_browsers_microphone_where_none_is_wanted(serving):
    async def visit(client):
        async with client.ws_connect(f"{serving.base}/ws") as ws:
            await ws.send_json({"type": "microphone_open", "rate_hz": 48000})
            refused = await until(ws, "microphone")
            # What is not understood is answered too, and does no harm.
            await ws.send_str("{}")
            await ws.send_bytes(b"123")
            nonsense = await until(ws, "microphone")
            await ws.send_json({"type": "mark"})
            await ws.send_json({"type": "microphone_open", "rate_hz": "fast"})
            return refused, nonsense, await until(ws, "microphone")

    refused, nonsense, wrong = serving.run(visit)
    assert "--source browser" in refused["reason"]
    assert {answer["state"] for answer in (refused, nonsense, wrong)} == {"refused"}
    assert serving.controls.take_marks() == 1


def test_a_microphone_is_given_back_when_its_page_goes():
    desk = Desk()
    made = Serving(desk=desk)
    with made.server:

        async def visit(client):
            first = await client.ws_connect(f"{made.base}/ws")
            await first.send_json({"type": "microphone_open", "rate_hz": 48000, "format": "int16"})
            opened = await until(first, "microphone")
            second = await client.ws_connect(f"{made.base}/ws")
            await second.send_json({"type": "microphone_open", "rate_hz": 48000})
            refused = await until(second, "microphone")
            await first.send_bytes(b"\0\0" * 480)
            await first.close()
            await second.close()
            return opened, refused

        opened, refused = made.run(visit)
        source = next(desk.sources())
        assert sum(len(block.samples) for block in source.blocks()) == 480
    assert opened["state"] == "open"
    assert "another browser" in refused["reason"]


def test_clients_learn_why_the_server_ends():
    made = Serving()
    with made.server:

        async def visit(client):
            ws = await client.ws_connect(f"{made.base}/ws")
            await until(ws, "hello")
            made.hub.post(event(1))
            closing = asyncio.get_running_loop().run_in_executor(None, made.server.close, "enough for today")
            told = [await ws.receive_json() for _ in range(2)]
            last = await ws.receive()
            await closing
            return told, last

        told, last = made.run(visit)
    assert told == [{"event": "phase", "n": 1}, {"event": "end", "reason": "enough for today"}]
    assert (last.type, last.data) == (aiohttp.WSMsgType.CLOSE, 1001)


def test_a_port_that_is_taken_and_an_address_that_is_none(serving):
    host = Host(serving.hub, doorkeeper_for("127.0.0.1", None), None, "", Controls())
    with pytest.raises(ConfigError, match="--port"):
        Server(host, "127.0.0.1", serving.server.port)
    with pytest.raises(ConfigError, match="--host"):
        Server(host, "no such host", 0)
    with pytest.raises(ConfigError, match="--port"):
        Server(host, "192.0.2.1", 0)


def test_the_printed_address_holds_the_token(guarded):
    assert guarded.server.url == f"{guarded.base}/?token={TOKEN}"
    assert guarded.server.is_for_this_machine_only


def test_a_message_that_is_not_understood_leaves_the_microphone_open():
    desk = Desk()
    made = Serving(desk=desk)
    with made.server:

        async def visit(client):
            async with client.ws_connect(f"{made.base}/ws") as ws:
                states = []
                for message in (
                    {"type": "microphone_open", "rate_hz": 48000, "format": "int16"},
                    {"type": "ping"},
                ):
                    await ws.send_json(message)
                    states.append((await until(ws, "microphone"))["state"])
                await ws.send_bytes(b"\0\0" * 480)
                await ws.send_json({"type": "microphone_close"})
                return [*states, (await until(ws, "microphone"))["state"]]

        assert made.run(visit) == ["open", "refused", "closed"]
        assert sum(len(block.samples) for block in next(desk.sources()).blocks()) == 480


def test_connections_that_say_nothing_are_closed_and_those_that_ask_are_not(monkeypatch):
    monkeypatch.setattr(gate, "FIRST_REQUEST_S", 0.5)
    made = Serving()

    async def visit(client):
        async with client.ws_connect(f"{made.base}/ws") as ws:
            reader, writer = await asyncio.open_connection("127.0.0.1", made.server.port)
            writer.write(b"GET / HTTP/1.1\r\n")  # and never the rest
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            made.hub.post(event(7))
            return await until(ws, "phase")

    with made.server:
        assert made.run(visit)["n"] == 7


def test_connections_beyond_the_most_are_closed_at_once(serving, monkeypatch):
    monkeypatch.setattr(gate, "MOST_CONNECTIONS", 3)
    monkeypatch.setattr(gate, "FIRST_REQUEST_S", 1000.0)

    async def visit(client):
        held = [await asyncio.open_connection("127.0.0.1", serving.server.port) for _ in range(3)]
        await asyncio.sleep(0.2)
        reader, writer = await asyncio.open_connection("127.0.0.1", serving.server.port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        for _, other in held:
            other.close()
        await asyncio.sleep(0.2)
        async with client.get(f"{serving.base}/api/status") as answer:
            return answer.status

    assert serving.run(visit) == 200


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /?token=\xff\xfe HTTP/1.1",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1",
        b"GET / HTTP/1.1\r\nHost: another",
    ],
    ids=["no text", "long", "two hosts"],
)
def test_what_is_no_request_is_answered_and_quoted_nowhere(guarded, request_line, caplog, capfd):
    async def visit(client):
        reader, writer = await asyncio.open_connection("127.0.0.1", guarded.server.port)
        writer.write(request_line + b"\r\nHost: localhost\r\n\r\n")
        answer = await reader.read(64)
        writer.close()
        return answer

    assert b" 400 " in guarded.run(visit)
    assert caplog.records == []
    assert capfd.readouterr().err == ""


def test_a_message_without_a_bottom_is_refused_like_any_other(serving):
    async def visit(client):
        async with client.ws_connect(f"{serving.base}/ws") as ws:
            await ws.send_str('{"type":"mark","x":' + "[" * 200_000 + "]" * 200_000 + "}")
            refused = await until(ws, "microphone")
            await ws.send_str('{"type":"mark"}')
            await ws.send_bytes(b"x" * (1 << 20))
            serving.hub.post(event(1))
            await until(ws, "phase")
            return refused

    assert serving.run(visit)["state"] == "refused"
    assert serving.controls.take_marks() == 1


def test_a_client_hears_that_the_server_is_alive(serving, monkeypatch):
    monkeypatch.setattr(client_module, "_ALIVE_S", 0.2)

    async def visit(client):
        async with client.ws_connect(f"{serving.base}/ws") as ws:
            return [await until(ws, "alive") for _ in range(2)]

    assert len(serving.run(visit)) == 2


@pytest.mark.parametrize(("query", "kinds"), [("frames=false", ["phase"]), ("frames=1", ["frame", "phase"])])
def test_frames_are_for_those_who_ask_for_them(serving, query, kinds):
    async def visit(client):
        async with client.get(f"{serving.base}/api/events?{query}") as answer:
            assert await answer.content.readline() == b"\n"
            serving.hub.post(frame(1))
            serving.hub.post(event(2))
            return [json.loads(await answer.content.readline())["event"] for _ in kinds]

    assert serving.run(visit) == kinds


def test_who_set_the_server_up_is_told_once_why_a_page_does_not_get_in(serving, caplog):
    async def visit(client):
        for _ in range(3):
            headers = {"Sec-Fetch-Site": "cross-site"}
            async with client.get(f"{serving.base}/api/status", headers=headers) as answer:
                assert answer.status == 403

    serving.run(visit)
    assert [record.getMessage() for record in caplog.records] == [
        "a request was refused: requests of pages of other sites are refused"
    ]


def test_what_is_told_of_a_refusal_cannot_command_the_terminal(serving, caplog):
    async def visit(client):
        for origin in ("http://evil\x9b31m", "http://\u202eevil", "http://" + "x" * 7000):
            async with client.get(f"{serving.base}/api/status", headers={"Origin": origin}) as answer:
                assert answer.status == 403

    serving.run(visit)
    texts = [record.getMessage() for record in caplog.records]
    assert texts
    assert all(text.isprintable() and len(text) < 400 for text in texts)


def test_a_client_can_calibrate(serving):
    async def visit(client):
        async with client.ws_connect(f"{serving.base}/ws") as ws:
            await ws.send_json({"type": "calibrate"})
            await ws.send_json({"type": "nonsense"})
            await until(ws, "microphone")

    serving.run(visit)
    assert serving.controls.take_calibration()
