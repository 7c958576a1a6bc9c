"""The live display: a screen of its own on the terminal, and the sink that fills it."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from rich.console import Console, ConsoleDimensions

from engines.contract import RATE_HZ
from realtime.clock import seconds_from_samples
from realtime.controls import Controls
from realtime.events import Apnoea, Breath, Health, Mark, Report
from realtime.facts import Facts
from realtime.health import FULL_SCALE
from realtime.pipeline import Step
from realtime.sinks.base import Sink, Status
from realtime.sinks.rows import Rows
from realtime.sinks.terminal_view import View, lines_from_view
from realtime.sinks.text import clock_from_seconds, printable
from realtime.sinks.trace import extended
from realtime.stage_meters import Shown
from realtime.telling import wrapped

REDRAWS_PER_S = 15
_CLIP_HOLD_SAMPLES = RATE_HZ
_MOST_NOTICES = 100
_MOST_BREATHS = 60
# Between two answers far fewer are drawn; none is taken while no sound comes.
_MOST_SHOWN = 64


class Screen:
    """Draws the newest view on the terminal's alternate screen, in a thread of its own.

    It draws as soon as there are news, but at most 15 times a second, whatever the hop; as often it looks
    whether the terminal has another size. `close` gives the terminal back as it was.

    Args:
        console: of the terminal; nothing is drawn on it until `follow`.
    """

    def __init__(self, console: Console) -> None:
        self.n_redraws = 0
        self._console = console
        self._current_view: Callable[[], View] | None = None
        self._last_shown: Step | None = None
        self._shown: deque[Shown] = deque(maxlen=_MOST_SHOWN)
        self._notices: deque[str] = deque(maxlen=_MOST_NOTICES)
        self._is_closing = threading.Event()
        self._has_news = threading.Event()
        self._drawing = threading.Lock()
        self._drawn: tuple[View, ConsoleDimensions] | None = None
        self._rows = Rows(console)
        self._is_suspended = False
        self._thread = threading.Thread(target=self._draw_until_closed, name="display", daemon=True)
        self._take_terminal()
        self._thread.start()

    def follow(self, current_view: Callable[[], View]) -> None:
        """Draw what `current_view` gives from now on; it is called from the drawing thread."""
        self._current_view = current_view
        self._shown.clear()

    def tell_news(self) -> None:
        """The view has changed; for any thread, returns at once."""
        self._has_news.set()

    def take_shown(self) -> list[Shown]:
        """Which steps were drawn, and not told before, oldest first; each is told once."""
        return [self._shown.popleft() for _ in range(len(self._shown))]

    def keep_notice(self, text: str) -> None:
        """Print `text` when the screen is gone: a warning must not vanish with it."""
        self._notices.append(text)

    def is_in_front(self) -> bool:
        """Whether the terminal is this program's and not the shell's; where nothing tells, it is."""
        try:
            return os.tcgetpgrp(self._console.file.fileno()) == os.getpgrp()
        except (AttributeError, OSError, ValueError):
            return True

    def suspend(self) -> None:
        """Give the terminal back for a while; nothing is drawn before `come_back`."""
        with self._drawing:
            self._is_suspended = True
            self._give_terminal_back()

    def come_back(self) -> None:
        """Take the terminal again after `suspend`, and draw everything anew."""
        with self._drawing:
            self._take_terminal()
            self._is_suspended = False

    def close(self) -> None:
        """Give the terminal back and print the notices there; closing twice is fine."""
        if self._is_closing.is_set():
            return
        self._is_closing.set()
        self._has_news.set()
        try:
            self._thread.join()
        finally:
            # The thread goes on where somebody was too impatient to wait for it.
            self.suspend()
        for text in self._notices:
            told = wrapped(f"breath-live: {printable(text)}", self._console.width)
            self._console.print(told, markup=False, highlight=False, soft_wrap=True)

    def _take_terminal(self) -> None:
        self._console.set_alt_screen(True)
        self._console.show_cursor(False)
        self._drawn = None
        self._rows.forget()

    def _give_terminal_back(self) -> None:
        self._console.show_cursor(True)
        self._console.set_alt_screen(False)

    def _draw_until_closed(self) -> None:
        while True:
            self._has_news.wait(1.0 / REDRAWS_PER_S)
            is_last = self._is_closing.is_set()
            self._has_news.clear()
            with self._drawing:
                is_drawn = self._draw_if_new()
            if is_last:
                return
            if is_drawn:
                self._is_closing.wait(1.0 / REDRAWS_PER_S)

    def _draw_if_new(self) -> bool:
        """Whether there was something to draw."""
        if self._current_view is None or self._is_suspended:
            return False
        view, size = self._current_view(), self._console.size
        if (view, size) == self._drawn:
            return False
        self._rows.draw(lines_from_view(view, *size), size)
        self._note_shown(view)
        self.n_redraws += 1
        self._drawn = view, size
        return True

    def _note_shown(self, view: View) -> None:
        step = view.step
        # What is drawn again, because something else on the screen has changed, was shown before.
        if view.frame is not None and step is not None and step is not self._last_shown:
            self._last_shown = step
            self._shown.append(Shown(step.captured_s, step.decided_s, time.perf_counter()))


class TerminalSink(Sink):
    """Keeps the view of one session up to date; showing a step is quick, because drawing happens elsewhere.

    Args:
        screen: follows this sink from now on; it is left open.
        facts: about the session.
        controls: whether it is paused, and the display muted; None: never.
        has_keys: whether somebody may press keys.
        clock_s: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        screen: Screen,
        facts: Facts,
        controls: Controls | None = None,
        *,
        has_keys: bool = False,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._screen = screen
        self._clock_s = clock_s
        self._controls = controls or Controls()
        self._view = View(facts, has_keys=has_keys)
        self._shown_at_s = clock_s()
        self._clipped_until = 0
        # Once a gap has emptied the window it takes a second to the next answer.
        self._stale_after_s = max(0.8, 3 * facts.hop_samples / RATE_HZ)
        screen.follow(self.view)

    def view(self) -> View:
        """What is to be seen now; safe to call from any thread."""
        view = self._view
        if self._controls.is_muted:
            # Nothing that changes: so nothing is drawn again and again.
            return View(view.facts, has_keys=view.has_keys, is_muted=True)
        is_paused = self._controls.is_paused
        is_stale = view.facts.is_live and self._clock_s() - self._shown_at_s > self._stale_after_s
        return replace(view, is_paused=is_paused, frame=None if is_stale or is_paused else view.frame)

    def show(self, step: Step, status: Status) -> None:
        """See `Sink`."""
        view = self._view
        self._shown_at_s = self._clock_s()
        # Longer than the clipping itself, which may be over before anybody looks.
        if np.abs(step.newest).max(initial=0.0) >= FULL_SCALE:
            self._clipped_until = step.frame.end_sample + _CLIP_HOLD_SAMPLES
        self._view = replace(
            view,
            frame=step.frame,
            status=status,
            step=step,
            is_clipping=step.frame.end_sample < self._clipped_until,
            trace=extended(view.trace, step.frame, view.facts.hop_samples, step.newest),
        )
        self._screen.tell_news()

    def take_shown(self) -> list[Shown]:
        """See `Display`."""
        return self._screen.take_shown()

    def report(self, event: Report) -> None:
        """See `Sink`."""
        view = self._view
        match event:
            case Health():
                others = tuple(known for known in view.health if known.condition is not event.condition)
                self._view = replace(view, health=(*others, event) if event.is_beginning else others)
            case Breath():
                breaths = (*view.breaths, event)[-_MOST_BREATHS:]
                self._view = replace(view, breaths=breaths, n_breaths=event.number)
            case Apnoea():
                self._view = replace(view, apnoea=event if event.is_beginning else None)
            case Mark():
                marked_at = clock_from_seconds(seconds_from_samples(event.sample))
                self.notice(f"mark {event.number} at {marked_at}")

    def notice(self, text: str) -> None:
        """See `Sink`."""
        self._screen.keep_notice(text)
        self._view = replace(self._view, notices=(*self._view.notices[-9:], text))
