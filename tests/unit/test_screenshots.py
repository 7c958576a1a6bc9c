"""The script that makes the screenshots: those of the terminal, with a pack that is quick."""

import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
import screenshots


def lines_of(svg):
    """The text of every line by its number."""
    lines = defaultdict(str)
    for number, text in re.findall(r'-line-(\d+)\)">([^<]*)</text>', svg):
        lines[int(number)] += text.replace("&#160;", " ")
    return lines


def without_latency(svg):
    """Every line but those with times, and the one into which the digits of the latency may push words."""
    lines = lines_of(svg)
    at = next(number for number, text in lines.items() if "latency" in text)
    timed = {at, at + 1, *(number for number, text in lines.items() if "of stages" in text)}
    return {number: text for number, text in lines.items() if number not in timed}


def test_the_same_seed_gives_the_same_pictures_but_for_the_latency(tiny_pack):
    first, again = (screenshots.terminal_svgs(str(tiny_pack), 9.0, 0) for _ in range(2))
    assert set(first) == set(screenshots.TERMINALS)
    for name, svg in first.items():
        assert without_latency(svg) == without_latency(again[name])
        assert max(lines_of(svg)) == screenshots.TERMINALS[name][1] - 1
        words = "".join(lines_of(svg).values())
        for word in ("pack tiny", "confidence", "shown", "quit"):
            assert word in words
        assert "@font-face" not in svg


def test_a_pack_that_cannot_be_had_is_told(tmp_path, capsys):
    assert screenshots.main(["--pack", str(tmp_path / "none"), "--out", str(tmp_path), "--no-page"]) == 1
    assert "screenshots: error:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "picture", sorted(screenshots.PROJECT.glob("docs/images/*")), ids=lambda path: path.name
)
def test_pictures_are_small(picture):
    assert picture.stat().st_size <= screenshots.LARGEST_PNG_BYTES
