"""Single keys while a run goes on, read where standard input is a terminal in front of somebody."""

import atexit
import contextlib
import os
import re
import select
import sys
import threading
from collections.abc import Callable
from typing import Self

# What arrows, function keys and letters with Alt send (ECMA-48, 5.4; xterm's "SS3").
_SEQUENCE = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|O.|.|$)", re.DOTALL)

_BACKGROUND_S = 0.2


class Keys:
    """Calls `on_key` with each key, on a thread of its own; the terminal's mode is given back by `close`.

    The mode is also given back when the interpreter ends without `close`. Ctrl-C stays an interruption.
    Keys that send several bytes, such as arrows, are passed over.

    Args:
        descriptor: of the terminal.
        on_key: gets one letter, in lower case.

    Raises:
        OSError: it is no terminal, or not in a mode that can be changed.
    """

    def __init__(self, descriptor: int, on_key: Callable[[str], None]) -> None:
        import termios

        self._descriptor = descriptor
        self._on_key = on_key
        try:
            self._mode = termios.tcgetattr(descriptor)
        except termios.error as error:
            raise OSError(f"the terminal tells no mode ({error})") from error
        self._wake_reader, self._wake_writer = os.pipe()
        self._is_closed = False
        self._thread = threading.Thread(target=self._read_until_closed, name="keys", daemon=True)
        atexit.register(self.close)
        self.resume()
        self._thread.start()

    @classmethod
    def of_standard_input(cls, on_key: Callable[[str], None]) -> Self | None:
        """The keys of standard input; None where it is no terminal, or one that others are using."""
        with contextlib.suppress(ImportError, OSError, ValueError, AttributeError):
            descriptor = sys.stdin.fileno()
            # Changing the mode from the background would stop the program.
            if os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp():
                return cls(descriptor, on_key)
        return None

    def resume(self) -> None:
        """Ask the terminal for single keys, unseen; again after `give_back`, unless others use it now."""
        import termios

        if self._is_in_background():
            return
        mode = termios.tcgetattr(self._descriptor)
        mode[3] &= ~(termios.ICANON | termios.ECHO)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._descriptor, termios.TCSANOW, mode)

    def give_back(self) -> None:
        """Give the terminal its mode back; keys that nobody has read are forgotten.

        In the background it was given back before, and whoever uses it now may have changed it.
        """
        import termios

        with contextlib.suppress(termios.error, OSError):
            if self._is_in_background():
                return
            termios.tcsetattr(self._descriptor, termios.TCSANOW, self._mode)
            termios.tcflush(self._descriptor, termios.TCIFLUSH)

    def close(self) -> None:
        """Stop reading and give the terminal's mode back; closing twice is fine."""
        if self._is_closed:
            return
        self._is_closed = True
        atexit.unregister(self.close)
        try:
            os.write(self._wake_writer, b"!")
            self._thread.join()
            os.close(self._wake_reader)
            os.close(self._wake_writer)
        finally:
            self.give_back()

    def _is_in_background(self) -> bool:
        """Whether reading, or changing the mode, would stop the program.

        Raises:
            OSError: the terminal is gone.
        """
        return os.tcgetpgrp(self._descriptor) != os.getpgrp()

    def _read_until_closed(self) -> None:
        while True:
            ready, _, _ = select.select([self._descriptor, self._wake_reader], [], [])
            if self._wake_reader in ready:
                return
            try:
                if self._is_in_background():
                    # Reading in the background would stop the program; the keys are for somebody else.
                    if select.select([self._wake_reader], [], [], _BACKGROUND_S)[0]:
                        return
                    continue
                typed = os.read(self._descriptor, 64)
            except OSError:
                return
            if not typed:
                return
            for key in _SEQUENCE.sub(b"", typed).decode("ascii", "ignore").lower():
                self._on_key(key)
