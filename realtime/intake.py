"""Blocks of any rate, size and channel count in; windows at 16 kHz out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtime.clock import live_sample_from_source
from realtime.resample import Resampler
from realtime.sound.channels import check_channel, mono_from_samples
from realtime.sound.sources import AudioSource, Block
from realtime.window import Window, WindowState, advance, gap


@dataclass(frozen=True, eq=False)
class Heard:
    """A piece of sound, as all that follows hears it.

    Attributes:
        start_sample: index, at 16 kHz, of its first sample. Larger than where the piece before ended: the
            sound between is missing.
        samples: (n,) float32 at 16 kHz, one channel; n may be 0.
        newest_sample: index, at 16 kHz, just after the newest sample that had come; resampling holds back
            those between the end of this piece and it.
    """

    start_sample: int
    samples: NDArray[np.float32]
    newest_sample: int


class Intake:
    """From a source's blocks to windows: choice of channel, resampling, windowing, and gaps.

    Where samples were lost, what was heard before is brought to its end, the resampler starts anew, and
    the index at 16 kHz goes on from the time of the new sound, so several gaps do not add up to a shift.

    Args:
        source: whose blocks these are; only its name, rate and channel count are used.
        hop_samples: distance of the windows' ends, samples at 16 kHz.
        channel: counted from 0; None is the mean of all.
        tap: called with every piece of sound, before the windows that it completes are given.

    Raises:
        ConfigError: there is no such channel, or the hop is impossible.
        RateUnsupportedError: the source's rate cannot be used.
    """

    def __init__(
        self,
        source: AudioSource,
        hop_samples: int,
        channel: int | None = None,
        tap: Callable[[Heard], None] | None = None,
    ) -> None:
        check_channel(channel, source.n_channels, source.name)
        self._rate_hz = source.rate_hz
        self._channel = channel
        self._tap = tap
        self._resampler = Resampler(source.rate_hz)
        self._state = WindowState.initial(hop_samples)
        self._expected_start = 0

    @property
    def is_warm(self) -> bool:
        """Whether a whole second without a gap has been heard."""
        return self._state.is_warm

    @property
    def next_sample(self) -> int:
        """Index, at 16 kHz, just after the newest sample that is settled."""
        return self._state.next_sample

    def push(self, block: Block) -> list[Window]:
        """The windows that `block` completes, oldest first. An empty block may still let time go on."""
        windows: list[Window] = []
        if block.start != self._expected_start:
            windows = self.finish()
            heard_at = live_sample_from_source(block.start, self._rate_hz)
            # The flushed rest may be one sample longer than the stretch it came from.
            self._state = gap(self._state, max(0, heard_at - self._state.next_sample))
        self._expected_start = block.end
        mono = mono_from_samples(block.samples, self._channel)
        newest_sample = live_sample_from_source(block.end, self._rate_hz)
        return windows + self._advanced(self._resampler.push(mono), newest_sample)

    def finish(self) -> list[Window]:
        """The windows completed by what the resampler held back. Call it when the sound has ended."""
        return self._advanced(self._resampler.finish(), self._state.next_sample)

    def _advanced(self, samples: NDArray[np.float32], newest_sample: int) -> list[Window]:
        start_sample = self._state.next_sample
        self._state, windows = advance(self._state, samples)
        if self._tap is not None:
            self._tap(Heard(start_sample, samples, max(newest_sample, self._state.next_sample)))
        return windows
