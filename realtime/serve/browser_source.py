"""A browser's microphone as a source of sound: what a page sends is heard like any other microphone."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from engines.closing import Closing
from engines.errors import ConfigError, RateUnsupportedError
from realtime.resample import check_rate
from realtime.sound.sound_queue import SoundQueue
from realtime.sound.sources import STALL_S, Block, finite_from_samples

SampleFormat = Literal["float32", "int16"]

_ROOM_S = 10.0
_TICK_S = 0.2
_MOST_LOST_S = 24 * 3600.0
_LOST = "lost on the way from the browser"


class BrowserSource(Closing):
    """An `AudioSource` that one WebSocket feeds, mono.

    `hear`, `skip` and `end` are for the thread of the server and never wait; the rest is for the live path.
    When nothing comes, empty blocks say so after 0.8 s and from then on every 0.2 s; not before the first
    sound, which begins the stream: until then `is_run_over` is asked whether to wait any longer. What is
    late is not lost: the sound goes on with the next sample, unless the page says that some are missing.

    Args:
        name: for people.
        rate_hz: sampling rate of the page, Hz.
        sample_format: of the bytes that come: `float32`, or `int16` with full scale 32768; little-endian.

    Raises:
        RateUnsupportedError: the rate cannot be used.
        ConfigError: the format is unknown.
    """

    is_live = True
    n_channels = 1

    def __init__(self, name: str, rate_hz: int, sample_format: SampleFormat = "float32") -> None:
        if sample_format not in get_args(SampleFormat):
            raise ConfigError(f"{name}: samples of {sample_format!r} are unknown; send float32 or int16")
        if rate_hz != int(rate_hz):
            raise RateUnsupportedError(f"{name}: a rate of {rate_hz} Hz is not whole; send a whole number")
        # Its check is the one that the pipeline would fail by later.
        check_rate(rate_hz, name)
        self.name = name
        self.rate_hz = int(rate_hz)
        self._format = sample_format
        self._queue = SoundQueue(round(_ROOM_S * rate_hz))
        self._n_skipped = 0
        self._is_closed = False
        self.is_run_over: Callable[[], bool] = lambda: False

    @property
    def lost_samples(self) -> int:
        """See `AudioSource`."""
        return self._queue.lost_samples

    @property
    def is_over(self) -> bool:
        """Whether nobody listens any more, or nothing more will come."""
        return self._is_closed or self._queue.has_ended

    def hear(self, content: bytes) -> None:
        """Take in what came.

        Raises:
            ConfigError: it is no whole number of samples.
        """
        samples = _samples_from_bytes(content, self._format)
        if len(samples):
            self._queue.put(samples.reshape(-1, 1))

    def skip(self, n_samples: int) -> None:
        """The page has lost `n_samples` before what it sends next.

        Raises:
            ConfigError: more than a day is missing in all.
        """
        if self._n_skipped + n_samples > _MOST_LOST_S * self.rate_hz:
            raise ConfigError(f"{self.name}: more than a day of sound is missing; open the microphone again")
        self._n_skipped += n_samples
        self._queue.skip(n_samples, _LOST)

    def end(self) -> None:
        """Nothing more will come; what waits is still heard."""
        self._queue.end()

    def take_notices(self) -> list[str]:
        """See `AudioSource`."""
        return []

    def blocks(self) -> Iterator[Block]:
        """See `AudioSource`. Ends when the page stops, or goes away."""
        end = 0
        n_quiet = 0
        while not self._is_closed:
            block = self._queue.take(_TICK_S)
            if block is not None:
                end, n_quiet = block.end, 0
                yield replace(block, samples=finite_from_samples(block.samples)[0])
                continue
            if self._queue.has_ended:
                return
            n_quiet += 1
            if end and n_quiet >= round(STALL_S / _TICK_S):
                yield Block(end, np.zeros((0, 1), np.float32))
            elif not end and self.is_run_over():
                return

    def close(self) -> None:
        """See `AudioSource`."""
        self._is_closed = True
        self._queue.end()


def _samples_from_bytes(content: bytes, sample_format: SampleFormat) -> NDArray[np.float32]:
    kind = np.dtype("<f4" if sample_format == "float32" else "<i2")
    if len(content) % kind.itemsize:
        raise ConfigError(f"{len(content)} bytes are no whole number of {sample_format} samples")
    raw = np.frombuffer(content, kind)
    if sample_format == "int16":
        return raw.astype(np.float32) / np.float32(32768)
    return raw.astype(np.float32)
