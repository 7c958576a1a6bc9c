"""breath-live serve from end to end: a real process, real clients, the demo and a browser's sound."""

import asyncio
import json
import subprocess

import aiohttp
import numpy as np
import pytest
import soxr
from serving import LIVE, TIMEOUT_S, environment, serve_process

from engines.contract import RATE_HZ
from realtime.sound.demo import DemoSource

BROWSER_RATE_HZ = 48000
TOLD = ("phase", "breath", "health", "gap", "mark", "apnoea")


def run(visit):
    async def limited():
        async with asyncio.timeout(TIMEOUT_S), aiohttp.ClientSession() as client:
            return await visit(client)

    return asyncio.run(limited())


async def told_until_the_end(client, base):
    """Every message but the greeting, whose history comes first."""
    messages = []
    async with client.ws_connect(f"{base}/ws") as ws:
        async for received in ws:
            message = json.loads(received.data)
            messages += message["history"] if message["event"] == "hello" else [message]
    return messages


def test_two_clients_and_the_file_are_told_the_same(tiny_pack, tmp_path):
    events = tmp_path / "events.jsonl"
    frames = tmp_path / "frames.csv"
    with serve_process(
        "--source", "demo", "--pace", 10, "--seconds", 40, "--pack", tiny_pack,
        "--events", events, "--frames", frames,
    ) as server:  # fmt: skip

        async def visit(client):
            return await asyncio.gather(*(told_until_the_end(client, server.base) for _ in range(2)))

        clients = run(visit)
        assert server.process.wait(TIMEOUT_S) == 0
    written = [json.loads(line) for line in events.read_text().splitlines()]
    assert {"phase", "breath"} <= {event["event"] for event in written}
    rows = frames.read_text().splitlines()[1:]
    for messages in clients:
        assert [message for message in messages if message["event"] in TOLD] == written
        assert messages[-1] == {"event": "end", "reason": "the sound has ended"}
        shown = [
            f"{message['time_s']},{message['phase']}" for message in messages if message["event"] == "frame"
        ]
        in_file = [f"{row.split(',')[0]},{row.split(',')[2]}" for row in rows]
        assert shown
        assert set(shown) <= set(in_file)


def test_a_browsers_sound_is_heard_from_the_first_sample_to_the_last(tiny_pack, tmp_path):
    sound = np.concatenate([block.samples[:, 0] for block in DemoSource(14.0, seed=3, pace=None).blocks()])
    at_browser = soxr.resample(sound, RATE_HZ, BROWSER_RATE_HZ)
    pcm = (np.clip(at_browser, -1, 1) * 32767).astype("<i2")
    n_block = BROWSER_RATE_HZ // 10
    events = tmp_path / "events.jsonl"

    async def visit(client):
        messages = []
        ws = await client.ws_connect(f"{server.base}/ws")

        async def next_message():
            messages.append(await ws.receive_json())
            return messages[-1]

        async def say(samples, from_s):
            for start in range(0, len(samples), n_block):
                await ws.send_bytes(samples[start : start + n_block].tobytes())
                sent_s = from_s + start / BROWSER_RATE_HZ
                # Sent faster than it is heard, windows would be left out.
                while sent_s > from_s + 1.5:
                    message = await next_message()
                    if message["event"] == "frame" and message["time_s"] > sent_s - 0.5:
                        break

        await ws.send_json({"type": "microphone_open", "rate_hz": BROWSER_RATE_HZ, "format": "int16"})
        await say(pcm[: 10 * BROWSER_RATE_HZ], 0.0)
        await ws.send_json({"type": "microphone_lost", "samples": 2 * BROWSER_RATE_HZ})
        await say(pcm[10 * BROWSER_RATE_HZ :], 12.0)
        await ws.send_json({"type": "microphone_close"})
        while (await next_message())["event"] != "session" or messages[-1]["state"] != "ends":
            pass
        # The same page may begin anew, at another rate; then it goes away without a word.
        await ws.send_json({"type": "microphone_open", "rate_hz": 16000})
        await ws.send_bytes(sound[:32000].astype("<f4").tobytes())
        while (await next_message())["event"] != "frame":
            pass
        await ws.close()
        return messages

    with serve_process("--source", "browser", "--pack", tiny_pack, "--events", events) as server:
        messages = run(visit)
        assert server.end() == 130
    assert messages[0]["event"] == "hello"
    assert messages[0]["source_kind"] == "browser"
    assert messages[0]["session"] is None
    gaps = [message for message in messages if message["event"] == "gap"]
    assert [(gap["from_s"], gap["to_s"]) for gap in gaps] == [(10.0, 12.0)]
    assert "browser" in gaps[0]["reason"]
    phases = {message["phase"] for message in messages if message["event"] == "phase"}
    assert {"inhale", "exhale"} <= phases
    sources = [
        message["source"] for message in messages if message.get("state") == "begins" and "source" in message
    ]
    assert sources == ["browser microphone 1", "browser microphone 2"]
    newest_s = max(message["time_s"] for message in messages if message["event"] == "frame")
    assert newest_s == pytest.approx(16.0, abs=0.1)
    written = [json.loads(line) for line in events.read_text().splitlines()]
    assert {event["session"] for event in written if event["event"] == "gap"} == {1}
    assert {event["session"] for event in written} <= {1, 2}
    assert [message for message in messages if message["event"] == "gap"] == [
        event for event in written if event["event"] == "gap"
    ]


def test_a_token_is_made_and_needed_elsewhere_than_on_the_loopback(tiny_pack):
    with serve_process("--host", "0.0.0.0", "--source", "demo", "--pack", tiny_pack) as server:
        port = server.base.rpartition(":")[2]
        token = server.url.partition("?token=")[2]

        async def visit(client):
            seen = []
            for query in ("", f"?token={token}"):
                async with client.get(f"http://127.0.0.1:{port}/api/status{query}") as answer:
                    seen.append(answer.status)
            return seen

        assert len(token) >= 32
        assert run(visit) == [401, 200]
        assert server.end() == 130


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--token", "short"], 2, "--token"),
        (["--host", "no such host"], 2, "--host"),
        (["--source", "nowhere.wav"], 3, "nowhere.wav"),
        (["--pack", "nowhere", "--source", "demo"], 4, "nowhere"),
    ],
)
def test_what_cannot_be_served(arguments, code, said):
    done = subprocess.run(
        [*LIVE, "serve", "--port", "0", *arguments],
        env=environment(), capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "http://" not in done.stderr or code == 4
    assert "Traceback" not in done.stderr
