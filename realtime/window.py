"""Sound to overlapping windows: one second of it, every hop."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.contract import WINDOW_SAMPLES
from engines.errors import ConfigError

_TAPE_SAMPLES = 4 * WINDOW_SAMPLES


@dataclass(frozen=True, eq=False)
class Window:
    """One second of sound.

    Attributes:
        end_sample: index, at 16 kHz, just after its newest sample.
        samples: (16000,) float32, oldest first. A read-only view shared with the neighbouring windows;
            it never changes. Copy it before writing.
    """

    end_sample: int
    samples: NDArray[np.float32]


class _Tape:
    """Room for samples. What is written is never written again, so views of it stay true."""

    def __init__(self, room_samples: int) -> None:
        self.samples = np.zeros(room_samples, np.float32)
        self.n_written = 0


@dataclass(frozen=True, eq=False)
class SavedWindows:
    """What of a `WindowState` matters for what comes.

    Attributes:
        hop_samples: see `WindowState`.
        next_sample: see `WindowState`.
        stretch_start: see `WindowState`.
        recent: (n,) float32, the newest sound, one second at most.
    """

    hop_samples: int
    next_sample: int
    stretch_start: int
    recent: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class WindowState:
    """What windowing knows. A value: an old state can be kept and continued from as often as wanted.

    Attributes:
        hop_samples: distance of the windows' ends, samples at 16 kHz, at least 1.
        next_sample: index of the sample that will be heard next.
        stretch_start: index of the first sample heard since the start or the last gap.
    """

    hop_samples: int
    next_sample: int = 0
    stretch_start: int = 0
    _tape: _Tape = field(default_factory=lambda: _Tape(_TAPE_SAMPLES), repr=False)
    _tape_start: int = field(default=0, repr=False)

    @classmethod
    def initial(cls, hop_samples: int) -> Self:
        """Nothing heard yet.

        Raises:
            ConfigError: `hop_samples` is less than 1.
        """
        if hop_samples < 1:
            raise ConfigError(f"a hop of {hop_samples} samples is impossible; use 1 or more (0.1 s is 1600)")
        return cls(hop_samples)

    @property
    def is_warm(self) -> bool:
        """Whether a whole second without a gap has been heard."""
        return self.next_sample - self.stretch_start >= WINDOW_SAMPLES

    def saved(self) -> SavedWindows:
        """A state that goes on exactly as this one is `from_saved` of it."""
        end = self.next_sample - self._tape_start
        recent = self._tape.samples[max(0, end - WINDOW_SAMPLES) : end]
        return SavedWindows(self.hop_samples, self.next_sample, self.stretch_start, recent)

    @classmethod
    def from_saved(cls, saved: SavedWindows) -> Self:
        """The state that was saved.

        Raises:
            ValueError: it contradicts itself.
        """
        n_recent = len(saved.recent)
        if n_recent != min(WINDOW_SAMPLES, saved.next_sample - saved.stretch_start):
            raise ValueError(f"{n_recent} samples are not those of the last second")
        tape = _Tape(_TAPE_SAMPLES)
        tape.samples[:n_recent] = saved.recent
        tape.n_written = n_recent
        return cls(
            saved.hop_samples, saved.next_sample, saved.stretch_start, tape, saved.next_sample - n_recent
        )


def advance(state: WindowState, samples: NDArray[np.float32]) -> tuple[WindowState, list[Window]]:
    """Hear `samples`, (n,) float32 at 16 kHz, any n; give the windows that they complete, oldest first.

    The windows of a stretch end 16000 + k * hop after its start. Each sample is copied once, and now and
    then the last second is copied to a fresh tape; the windows themselves are views.
    """
    n_new = len(samples)
    if n_new == 0:
        return state, []
    tape, tape_start = _tape_with_room(state, n_new)
    at = state.next_sample - tape_start
    tape.samples[at : at + n_new] = samples
    tape.n_written = at + n_new
    after = replace(state, next_sample=state.next_sample + n_new, _tape=tape, _tape_start=tape_start)
    windows = []
    for k in range(_n_windows(state), _n_windows(after)):
        end_sample = state.stretch_start + WINDOW_SAMPLES + k * state.hop_samples
        end = end_sample - tape_start
        view = tape.samples[end - WINDOW_SAMPLES : end]
        view.flags.writeable = False
        windows.append(Window(end_sample, view))
    return after, windows


def gap(state: WindowState, n_lost: int) -> WindowState:
    """After `n_lost` >= 0 samples were lost: the index goes on behind them, and a new stretch begins.

    Sound from before the gap never shares a window with sound from after it, so the state is not warm.
    """
    if n_lost < 0:
        raise ValueError(f"a gap of {n_lost} samples")
    resume_at = state.next_sample + n_lost
    return WindowState(
        state.hop_samples, next_sample=resume_at, stretch_start=resume_at, _tape_start=resume_at
    )


def _n_windows(state: WindowState) -> int:
    """Windows given so far in this stretch."""
    if not state.is_warm:
        return 0
    return (state.next_sample - state.stretch_start - WINDOW_SAMPLES) // state.hop_samples + 1


def _tape_with_room(state: WindowState, n_new: int) -> tuple[_Tape, int]:
    """A tape that can be written on from `next_sample`, and the index of its first sample."""
    filled = state.next_sample - state._tape_start
    # Somebody may have gone on from this very state before: then the rest of the tape is theirs.
    if state._tape.n_written == filled and filled + n_new <= len(state._tape.samples):
        return state._tape, state._tape_start
    n_kept = min(filled, WINDOW_SAMPLES)
    tape = _Tape(max(_TAPE_SAMPLES, n_kept + n_new))
    tape.samples[:n_kept] = state._tape.samples[filled - n_kept : filled]
    tape.n_written = n_kept
    return tape, state.next_sample - n_kept
