"""The page in a real browser: headless Chromium, steered by Playwright."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from serving import TIMEOUT_S, serve_process

from engines.contract import RATE_HZ
from realtime.sound.demo import DemoSource

playwright_api = pytest.importorskip("playwright.sync_api", reason="the page is tested with playwright")
expect = playwright_api.expect

LIMIT_MS = 1000 * TIMEOUT_S
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory):
    """What Chromium's pretended microphone hears, over and over: 30 s of the demo breather."""
    sound = np.concatenate([block.samples[:, 0] for block in DemoSource(30.0, seed=3, pace=None).blocks()])
    path = tmp_path_factory.mktemp("sound") / "breathing.wav"
    soundfile.write(path, soxr.resample(sound, RATE_HZ, 48000), 48000, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def chromium(sound_file):
    with playwright_api.sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, NAMES)), playwright.chromium.executable_path)
        if not Path(path).exists():
            pytest.skip("there is no Chromium; install it, or: playwright install chromium")
        arguments = [
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={sound_file}",
        ]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A page of a phone's width that has nothing to complain of in the end."""
    context = chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    context.set_default_timeout(LIMIT_MS)
    page = context.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.extend(outside(request.url)))
    yield page
    context.close()
    assert [text for text in complaints if "401" not in text] == []


def outside(url):
    return [] if re.match(r"(http|ws)://127\.0\.0\.1:\d+/", url) else [f"outside: {url}"]


def seen(locator, text):
    expect(locator).to_have_text(re.compile(text), timeout=LIMIT_MS)


def test_the_demo_is_shown_and_keys_are_obeyed(page, tiny_pack):
    with serve_process("--source", "demo", "--pack", tiny_pack) as server:
        page.goto(server.url)
        for word in ("Inhale", "Exhale"):
            seen(page.locator("#word"), word)
        page.locator("#breaths tr").first.wait_for()
        assert len(page.locator("#breaths tr").first.locator("td").all()) == 7
        seen(page.locator("#rate"), r"^\d+\.\d$")
        seen(page.locator("#polite"), r"(ing|breath)")
        seen(page.locator("#latency"), "Latency")
        shown = page.evaluate(
            "() => ['trace', 'wave', 'spectrum'].map((id) => {"
            "  const canvas = document.getElementById(id);"
            "  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;"
            "  return new Set(new Uint32Array(pixels.buffer)).size;"
            "})"
        )
        assert min(shown) > 2
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")

        page.keyboard.press("m")
        seen(page.locator("#log"), "Mark 1")
        page.keyboard.press(" ")
        seen(page.locator("#connection"), "Paused")
        expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
        page.keyboard.press(" ")
        seen(page.locator("#connection"), "Connected")
        page.keyboard.press("t")
        expect(page.locator("#table-card")).to_be_hidden()
        dark = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        page.keyboard.press("d")
        seen(page.locator("#theme"), "light")
        assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") != dark
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
        page.keyboard.press("Escape")

        assert server.end() == 130
        seen(page.locator("#connection"), "has ended")


def test_what_this_page_missed_and_what_is_wrong_is_shown(page, tiny_pack):
    routes = []

    def listen_in(route):
        route.connect_to_server()
        routes.append(route)

    page.route_web_socket(re.compile(r"/ws$"), listen_in)
    with serve_process("--source", "demo", "--pack", tiny_pack) as server:
        page.goto(server.url)
        seen(page.locator("#latency"), r"^Latency (?!.*missed)")
        for message in (
            {"event": "dropped", "count": 3, "total": 7},
            {"event": "health", "condition": "clipping", "state": "begins"},
            {"event": "advice", "condition": "clipping", "text": "turn it down"},
            {"event": "notice", "text": "osc 10.0.0.1:9000: 10 updates not sent so far"},
            {"event": "of a later server"},
        ):
            routes[0].send(json.dumps(message))
        seen(page.locator("#latency"), "7 messages missed by this page")
        seen(page.locator("#health"), "turn it down")
        seen(page.locator("#log"), "10 updates not sent so far")


def test_a_token_is_asked_for_and_leaves_the_address(page, tiny_pack):
    token = "open-sesame-42"
    with serve_process("--source", "demo", "--pack", tiny_pack, "--token", token) as server:
        page.goto(f"{server.base}/")
        page.get_by_label("Token", exact=True).fill("wrong-token")
        page.get_by_role("button", name="Connect").click()
        seen(page.locator("#token-why"), "not right")
        page.goto(server.url)
        seen(page.locator("#connection"), "Connected")
        assert token not in page.url
        page.reload()
        seen(page.locator("#connection"), "Connected")


def test_the_browsers_microphone_is_heard(page, tiny_pack):
    with serve_process("--source", "browser", "--pack", tiny_pack) as server:
        page.goto(server.url)
        page.get_by_role("button", name="Use my microphone").click()
        seen(page.locator("#facts"), "browser microphone 1")
        for word in ("Inhale", "Exhale"):
            seen(page.locator("#word"), word)
        page.get_by_role("button", name="Stop my microphone").click()
        seen(page.locator("#log"), "session has ended")
        seen(page.locator("#facts"), "Waiting")
