"""What people are told, broken between words."""

import io
import sys

import pytest

from realtime import telling


def test_lines_are_broken_between_words_and_go_on_indented():
    text = "breath-live: error: nothing-here-is broken\n  latency p50 12.4/17.6\n\nend"
    assert telling.wrapped(text, 24).split("\n") == [
        "breath-live: error:",
        "  nothing-here-is broken",
        "  latency p50 12.4/17.6",
        "",
        "end",
    ]


@pytest.mark.parametrize("is_terminal", [False, True])
def test_only_a_terminal_gets_broken_lines(monkeypatch, is_terminal):
    class Error(io.StringIO):
        def isatty(self):
            return is_terminal

    said = Error()
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setenv("COLUMNS", "30")
    telling.tell("word " * 20)
    assert (said.getvalue().count("\n") > 1) == is_terminal
    assert said.getvalue().split() == ["word"] * 20


def test_one_is_not_many():
    assert [telling.counted(n, "window") for n in (0, 1, 2)] == ["0 windows", "1 window", "2 windows"]


@pytest.mark.parametrize(
    ("chosen", "reported", "columns"), [("30", 100, 30), ("\u00b2", 100, 100), ("", 0, 80)]
)
def test_a_terminal_that_does_not_know_its_width_has_the_usual_one(monkeypatch, chosen, reported, columns):
    class Error(io.StringIO):
        def fileno(self):
            return 2

    monkeypatch.setattr(sys, "stderr", Error())
    monkeypatch.setenv("COLUMNS", chosen)
    monkeypatch.setattr(telling.os, "get_terminal_size", lambda _fd: telling.os.terminal_size((reported, 24)))
    assert telling._columns() == columns
