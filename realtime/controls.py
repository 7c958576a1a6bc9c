"""What a person may ask of a run: asked on any thread, obeyed between two blocks of sound."""

import threading

PAUSED = "paused"
_LOOK_S = 0.1


class Controls:
    """Wishes, handed from the thread that reads keys (or serves a page) to the one that hears.

    Asking never waits; whoever hears looks here between two blocks of sound.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_paused = False
        self._n_marks = 0
        self._is_muted = False
        self._wants_calibration = False
        self._is_quitting = threading.Event()

    @property
    def is_paused(self) -> bool:
        """Whether nothing is to be heard at present."""
        return self._is_paused

    @property
    def is_quitting(self) -> bool:
        """Whether the run is to end, as if the sound had ended."""
        return self._is_quitting.is_set()

    @property
    def is_muted(self) -> bool:
        """Whether the display is to show nothing of what is heard."""
        return self._is_muted

    def toggle_pause(self) -> None:
        """Pause, or go on."""
        with self._lock:
            self._is_paused = not self._is_paused

    def toggle_mute(self) -> None:
        """Mute the display, or show everything again."""
        with self._lock:
            self._is_muted = not self._is_muted

    def mark(self) -> None:
        """Mark this moment."""
        with self._lock:
            self._n_marks += 1

    def take_marks(self) -> int:
        """How often a moment was marked since the last call."""
        with self._lock:
            n_marks, self._n_marks = self._n_marks, 0
        return n_marks

    def calibrate(self) -> None:
        """Measure the room and the breath from now on, and set the gate by them."""
        with self._lock:
            self._wants_calibration = True

    def take_calibration(self) -> bool:
        """Whether that was asked for since the last call."""
        with self._lock:
            wanted, self._wants_calibration = self._wants_calibration, False
        return wanted

    def quit(self) -> None:
        """End the run."""
        self._is_quitting.set()

    def wait_while_paused(self) -> None:
        """For a source that can wait: return when the pause, or the run, is over."""
        while self._is_paused and not self._is_quitting.wait(_LOOK_S):
            pass
