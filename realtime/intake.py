"""Blocks of any rate, size and channel count in; windows at 16 kHz out."""

from realtime.channels import check_channel, mono_from_samples
from realtime.clock import live_sample_from_source
from realtime.resample import Resampler
from realtime.sources import AudioSource, Block
from realtime.window import Window, WindowState, advance, gap


class Intake:
    """From a source's blocks to windows: choice of channel, resampling, windowing, and gaps.

    Where samples were lost, what was heard before is brought to its end, the resampler starts anew, and
    the index at 16 kHz goes on from the time of the new sound, so several gaps do not add up to a shift.

    Args:
        source: whose blocks these are; only its name, rate and channel count are used.
        hop_samples: distance of the windows' ends, samples at 16 kHz.
        channel: counted from 0; None is the mean of all.

    Raises:
        ConfigError: there is no such channel, or the hop is impossible.
        RateUnsupportedError: the source's rate cannot be used.
    """

    def __init__(self, source: AudioSource, hop_samples: int, channel: int | None = None) -> None:
        check_channel(channel, source.n_channels, source.name)
        self._rate_hz = source.rate_hz
        self._channel = channel
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
        self._state, completed = advance(self._state, self._resampler.push(mono))
        return windows + completed

    def finish(self) -> list[Window]:
        """The windows completed by what the resampler held back. Call it when the sound has ended."""
        self._state, windows = advance(self._state, self._resampler.finish())
        return windows
