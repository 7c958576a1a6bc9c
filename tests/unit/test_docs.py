"""The README and the docs: every link leads somewhere, every command and flag in them exists."""

import re
import shlex
from pathlib import Path
from urllib.parse import unquote

import click
import numpy as np
import pytest
import soundfile

from offline.cli import main as offline
from offline.clips import ClipSet
from realtime.cli import DEFAULT_COMMAND
from realtime.cli import cli as live
from realtime.config import settings

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").rglob("*.md"))]
PROGRAMS = {"breath-live": live, "breath-offline": offline}

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
DEFAULT = re.compile(r"`((?:presence|decision|breathing)\.[a-z_.]+|[a-z]+_s)`, (-?\d+(?:\.\d+)?)")
OUTSIDE = ("http://", "https://", "mailto:")
SHELL_BREAKS = {"|", "||", "&&", ";", "&", ">", ">>", "<", "2>"}


def name_of(path):
    return path.relative_to(PROJECT).as_posix()


def anchors_of(text):
    """As GitHub makes them of headings."""
    prose = FENCE.sub("", text)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(prose)}


def broken_links(page):
    text = page.read_text(encoding="utf-8")
    for target in LINK.findall(FENCE.sub("", text)):
        if target.startswith(OUTSIDE):
            continue
        place, _, anchor = unquote(target).partition("#")
        path = page.parent / place if place else page
        if not path.exists():
            yield f"{target}: there is no {place}"
        elif anchor and anchor not in anchors_of(path.read_text(encoding="utf-8")):
            yield f"{target}: no heading makes the anchor {anchor}"


def commands_in(text):
    """The words of every call of a program of ours, in shell blocks and in code within lines."""
    # A line may end within code, a paragraph may not.
    prose = re.sub(r"(?<!\n)\n(?!\n)", " ", FENCE.sub("", text))
    lines = [span for span in SPAN.findall(prose) if span.startswith(tuple(PROGRAMS))]
    for language, block in FENCE.findall(text):
        if language in ("sh", "bash", "toml"):
            lines += re.sub(r"\\\n\s*", " ", block).splitlines()
    for line in lines:
        words = list(shlex.shlex(line, posix=True, punctuation_chars=True)) if "'" in line else line.split()
        for at, word in enumerate(words):
            if word in PROGRAMS:
                rest = words[at:]
                end = next((i for i, one in enumerate(rest) if one in SHELL_BREAKS or one[0] == "#"), None)
                yield rest[:end]


def faults_of(words):
    """What is wrong with a call; nothing if its command and its flags are there."""
    group = PROGRAMS[words[0]]
    rest = words[1:]
    command = group
    if rest and not rest[0].startswith("-"):
        if rest[0] not in group.commands:
            yield f"{' '.join(words)}: no command {rest[0]!r}"
            return
        command = group.commands[rest[0]]
    commands = [command] + ([live.commands[DEFAULT_COMMAND]] if command is live else [])
    options = [one for some in commands for one in some.params if isinstance(one, click.Option)]
    known = {flag for option in options for flag in (*option.opts, *option.secondary_opts)}
    known |= {"--help", "-h"}
    for word in rest:
        flag = word.partition("=")[0]
        if re.match(r"--?[a-z]", flag) and flag not in known:
            yield f"{' '.join(words)}: no option {flag}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page):
    assert list(broken_links(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_and_flag_is_there(page):
    text = page.read_text(encoding="utf-8")
    assert [fault for words in commands_in(text) for fault in faults_of(words)] == []


def wrong_defaults(text):
    """What is said as "`some.setting`, 3 dB" and is not the default."""
    known = {key: default for key, _, default in settings()}
    for key, said in DEFAULT.findall(re.sub(r"\s+", " ", text)):
        if key not in known:
            yield f"there is no setting {key}"
        elif float(said) != known[key]:
            yield f"{key} is {known[key]}, not {said}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_defaults_that_are_said_are_the_defaults(page):
    assert list(wrong_defaults(page.read_text(encoding="utf-8"))) == []


def test_a_wrong_default_is_found():
    assert any(DEFAULT.search(page.read_text(encoding="utf-8")) for page in PAGES)
    text = "the gate, `presence.gate_dbfs`, -3 dB, `decision.margn`, 0.2 and `hop_s`, 0.1 s"
    assert list(wrong_defaults(text)) == [
        "presence.gate_dbfs is -75.0, not -3",
        "there is no setting decision.margn",
    ]


def test_the_readme_leads_to_every_page_and_every_page_has_commands_or_links():
    linked = LINK.findall((PROJECT / "README.md").read_text(encoding="utf-8"))
    pages = {page.relative_to(PROJECT).as_posix() for page in (PROJECT / "docs").glob("*.md")}
    assert pages - set(linked) == set()


def test_a_wrong_link_command_or_flag_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One\n[a](#one) [b](#two) [c](none.md) [d](https://example.org)\n", encoding="utf-8")
    assert [fault.partition(":")[0] for fault in broken_links(page)] == ["#two", "none.md"]
    text = "`breath-live --hop 0.2`\n```sh\nbreath-live replai a.wav | jq --raw .a  # --x\n"
    text += "breath-offline train --data A \\\n    --livve && breath-live --bogus=1\n```\n"
    faults = [fault for words in commands_in(text) for fault in faults_of(words)]
    assert [fault.rpartition(": ")[2] for fault in faults] == [
        "no command 'replai'",
        "no option --livve",
        "no option --bogus",
    ]


def test_recordings_become_a_clip_set_as_the_page_about_training_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    days = {"monday": "wav", "tuesday": "flac", "wednesday": "ogg"}
    for number, (day, kind) in enumerate(days.items()):
        (tmp_path / day).mkdir()
        sound = np.random.default_rng(number).uniform(-0.1, 0.1, 5 * 16_000)
        name = f"breath-2026-11-2{number}-101500"
        soundfile.write(tmp_path / day / f"{name}.{kind}", sound, 16_000)
        labels = "0.5\t1.25\ti\n1.25\t3.5\tExhale\n"
        (tmp_path / day / f"{name}.txt").write_text(labels, encoding="utf-8")
    page = (PROJECT / "docs" / "training.md").read_text(encoding="utf-8")
    (cut,) = [words for words in commands_in(page) if words[1:2] == ["cut"] and "--out" in words]
    assert set(days) < set(cut)
    offline(cut[1:], standalone_mode=False)
    clips = ClipSet.read(tmp_path / "clips")
    assert [(clip.day, clip.label, clip.natural_samples) for clip in clips] == [
        (f"2026112{number}", label, length)
        for number in range(3)
        for label, length in ((0, 12_000), (1, 16_000))
    ]


def pictures():
    return [path for path in sorted((PROJECT / "docs").rglob("*.svg")) if path.is_file()]


@pytest.mark.parametrize("picture", pictures(), ids=name_of)
def test_pictures_load_nothing_from_elsewhere(picture):
    text = picture.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert re.findall(r"https?://[^\s\"')]+", re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)) == []
    assert "@font-face" not in text


def test_every_setting_stands_on_its_page_with_its_default():
    text = (PROJECT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+`) \|([^|]*)\|", text, re.MULTILINE)
    told = {}
    for names, defaults in rows:
        keys = re.findall(r"`([a-z_]+)`", names)
        told |= dict(zip(keys, [one.strip() for one in defaults.split(",")] + [""] * len(keys), strict=False))
    known = {key.rpartition(".")[2]: default for key, _, default in settings()}
    assert told.keys() == known.keys()
    for key, default in known.items():
        assert told[key] == ("" if default is None else str(default).lower()), key
