"""How people are told: a display where one can be drawn, else lines."""

import functools
import io

import pytest
import rich.console

from realtime.audience import Readers, Viewers, open_audience


@pytest.fixture
def console_as(monkeypatch):
    """Let every console be a terminal with the qualities that are given."""

    def set_to(**qualities):
        terminal = {"file": io.StringIO(), "force_terminal": True, "legacy_windows": False}
        environment = {"TERM": qualities.pop("term", "xterm-256color")}
        made = functools.partial(rich.console.Console, **terminal | qualities, _environ=environment)
        monkeypatch.setattr(rich.console, "Console", lambda stderr: made())

    return set_to


@pytest.mark.parametrize(
    ("qualities", "kind"),
    [
        ({}, Viewers),
        ({"force_terminal": False}, Readers),
        ({"term": "dumb"}, Readers),
        # It has no second screen to draw on.
        ({"legacy_windows": True}, Readers),
    ],
    ids=["a terminal", "no terminal", "a dumb one", "an old Windows console"],
)
def test_a_display_is_drawn_where_there_is_a_screen_for_it(console_as, qualities, kind):
    console_as(**qualities)
    with open_audience(wants_display=True, is_output_taken=False) as audience:
        assert type(audience) is kind


def test_who_wants_no_display_gets_none(console_as):
    console_as()
    with open_audience(wants_display=False, is_output_taken=False) as audience:
        assert type(audience) is Readers
