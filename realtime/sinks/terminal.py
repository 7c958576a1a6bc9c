"""The live display: a screen of its own on the terminal, and the sink that fills it."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from rich.console import Console
from rich.live import Live

from engines.contract import RATE_HZ
from realtime.events import Gap, Health, Phase
from realtime.pipeline import Step
from realtime.sinks.base import Status
from realtime.sinks.terminal_view import Facts, View, printable
from realtime.sinks.trace import extended

REDRAWS_PER_S = 15
_FULL_SCALE = 0.999
_MOST_NOTICES = 100


class Screen:
    """Draws the newest view on the terminal's alternate screen, in a thread of its own.

    It looks for news 15 times a second, whatever the hop, and draws only if there are some or if the
    terminal has another size. `close` gives the terminal back as it was.

    Args:
        console: of the terminal.
        current_view: gives the newest view; called from the thread. None: nothing is drawn until `follow`.
    """

    def __init__(self, console: Console) -> None:
        self.n_redraws = 0
        self._console = console
        self._current_view: Callable[[], View] | None = None
        self._notices: deque[str] = deque(maxlen=_MOST_NOTICES)
        # Not redirected: what others write to the standard streams is data, and none of ours to touch.
        self._live = Live(
            console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._draw_until_closed, name="display", daemon=True)
        self._live.start()
        self._thread.start()

    def follow(self, current_view: Callable[[], View]) -> None:
        """Draw what `current_view` gives from now on; it is called from the drawing thread."""
        self._current_view = current_view

    def keep_notice(self, text: str) -> None:
        """Print `text` when the screen is gone: a warning must not vanish with it."""
        self._notices.append(text)

    def close(self) -> None:
        """Give the terminal back and print the notices there; closing twice is fine."""
        if self._is_closing.is_set():
            return
        self._is_closing.set()
        try:
            self._thread.join()
        finally:
            self._live.stop()
        for text in self._notices:
            line = f"breath-live: {printable(text)}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _draw_until_closed(self) -> None:
        drawn: object = None
        while True:
            is_last = self._is_closing.wait(1.0 / REDRAWS_PER_S)
            if self._current_view is not None:
                wanted = (self._current_view(), self._console.size)
                if wanted != drawn:
                    self._live.update(wanted[0], refresh=True)
                    self.n_redraws += 1
                    drawn = wanted
            if is_last:
                return


class TerminalSink:
    """Keeps the view of one session up to date; showing a step is quick, because drawing happens elsewhere.

    Args:
        screen: follows this sink from now on; it is left open.
        facts: about the session.
        clock_s: seconds on a clock that never goes back.
    """

    def __init__(self, screen: Screen, facts: Facts, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._screen = screen
        self._clock_s = clock_s
        self._view = View(facts)
        self._shown_at_s = clock_s()
        self._has_exhaled = True
        # Once a gap has emptied the window it takes a second to the next answer.
        self._stale_after_s = max(0.8, 3 * facts.hop_samples / RATE_HZ)
        screen.follow(self.view)

    def view(self) -> View:
        """What is to be seen now; safe to call from any thread."""
        view = self._view
        is_stale = self._clock_s() - self._shown_at_s > self._stale_after_s
        return replace(view, frame=None) if view.facts.is_live and is_stale else view

    def show(self, step: Step, status: Status) -> None:
        """See `Sink`."""
        view = self._view
        n_breaths = view.n_breaths
        if step.event is not None:
            if step.event.phase is Phase.INHALE and self._has_exhaled:
                n_breaths += 1
            if step.event.phase is not Phase.NONE:
                self._has_exhaled = step.event.phase is Phase.EXHALE
        self._shown_at_s = self._clock_s()
        self._view = replace(
            view,
            frame=step.frame,
            status=status,
            n_breaths=n_breaths,
            is_clipping=bool(np.abs(step.newest).max(initial=0.0) >= _FULL_SCALE),
            trace=extended(view.trace, step.frame, view.facts.hop_samples),
        )

    def report(self, event: Health | Gap) -> None:
        """See `Sink`."""
        if isinstance(event, Health):
            others = [known for known in self._view.health if known.condition is not event.condition]
            self._view = replace(self._view, health=(*others, event) if event.is_beginning else tuple(others))

    def notice(self, text: str) -> None:
        """See `Sink`."""
        self._screen.keep_notice(text)
        self._view = replace(self._view, notices=(*self._view.notices[-9:], text))

    def close(self) -> None:
        """The screen outlives its sessions; see `Screen.close`."""
