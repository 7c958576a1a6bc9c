"""Sound that a program hands over piece by piece, and what is heard in it."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.backend import Engine
from engines.closing import Closing
from engines.errors import ConfigError
from engines.pack import Pack
from realtime.api.saved_state import (
    restore_owner,
    restore_states,
    saved_from_owner,
    saved_from_states,
    value_from_builtins,
)
from realtime.events import Frame
from realtime.pipeline import Pipeline, PipelineSettings
from realtime.session import Session
from realtime.sinks.collector import Collector, Event
from realtime.sound.sources import Block, finite_from_samples
from realtime.summary import Summary


def _whole(name: str, value: float) -> int:
    """A whole number as Python's own, as which it can be saved; sounddevice gives rates as floats.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(value, int | float | np.integer | np.floating) and float(value).is_integer():
        return int(value)
    raise ConfigError(f"{name} must be a whole number, not {value!r}")


class PushedSource(Closing):
    """The name, rate and channels of sound that is pushed: an `AudioSource` without blocks of its own.

    Args:
        rate_hz: sampling rate, Hz.
        n_channels: channels.
    """

    name = "pushed sound"
    is_live = False

    def __init__(self, rate_hz: int, n_channels: int) -> None:
        rate_hz, n_channels = _whole("rate_hz", rate_hz), _whole("n_channels", n_channels)
        if rate_hz < 1 or n_channels < 1:
            raise ConfigError(
                f"a stream of {n_channels} channels at {rate_hz} Hz is impossible; give 1 or more of both"
            )
        self.rate_hz = rate_hz
        self.n_channels = n_channels
        self.lost_samples = 0
        self._has_told_of_no_sound = False
        self._notices: list[str] = []

    def tell_of_no_sound(self, n_samples: int) -> None:
        """So many samples that were pushed are none, see `finite_from_samples`; the first time it is told."""
        if not self._has_told_of_no_sound:
            self._has_told_of_no_sound = True
            self._notices.append(
                f"{n_samples} samples that were pushed are no finite numbers, or far beyond full scale; they "
                "and all like them are heard as silence"
            )

    def take_notices(self) -> list[str]:
        """See `AudioSource`."""
        notices, self._notices = self._notices, []
        return notices

    def blocks(self) -> Iterator[Block]:
        """See `AudioSource`."""
        return iter(())

    def close(self) -> None:
        """See `AudioSource`."""


class Stream:
    """Hears arrays of one stream of sound, of any length: the same events, however they are cut.

    Every window is answered; nothing is skipped when the caller is late. Not thread-safe.

    Args:
        engine: runs the networks, warm; it stays the caller's.
        pack: that the engine runs.
        settings: how to listen and decide.
        rate_hz: of the sound, Hz, 4000 to 384000.
        n_channels: of the sound.
        collector: takes in what is said.

    Raises:
        ConfigError: the hop, the channel or `n_channels` cannot be used.
        RateUnsupportedError: the rate is out of its range.
    """

    _next_sample: int
    _pipeline: Pipeline
    _session: Session

    def __init__(
        self,
        engine: Engine,
        pack: Pack,
        settings: PipelineSettings,
        rate_hz: int,
        n_channels: int,
        collector: Collector,
    ) -> None:
        self._engine = engine
        self._manifest = pack.manifest
        self._pack_sha256 = pack.sha256
        self._settings = settings
        self._source = PushedSource(rate_hz, n_channels)
        self._collector = collector
        self.reset()

    @property
    def summary(self) -> Summary:
        """What has happened so far: stream time, counts, rate, latency."""
        return self._session.summary()

    def push(self, samples: NDArray[Any], n_lost: int = 0) -> list[Event | Frame]:
        """Hear what comes next in the stream.

        Args:
            samples: (n,) or (n, channels), n >= 0: floating, full scale = [-1, 1], or integers of 16 or 32
                bits, full scale = their range. NaN and what is beyond 100 times full scale is taken as zeros.
            n_lost: so many samples, at the stream's rate, are missing just before these; of none, the gap is
                told at once.

        Returns:
            What it brought, oldest first; often nothing.

        Raises:
            ConfigError: the array is no sound, or of another number of channels.
            EngineError: the engine failed.
        """
        table = _table_from_samples(samples, self._source.n_channels)
        n_lost = _whole("n_lost", n_lost)
        if n_lost < 0:
            raise ConfigError(f"{n_lost} lost samples are impossible; give 0 or more")
        self._source.lost_samples += n_lost
        self._next_sample += n_lost
        if len(table):
            sound, n_no_sound = finite_from_samples(table)
            if n_no_sound:
                self._source.tell_of_no_sound(n_no_sound)
            block = Block(self._next_sample, sound, _LOST if n_lost else "")
            self._next_sample = block.end
            self._session.hear(block)
        elif n_lost:
            self._session.skip(self._next_sample, _LOST)
        return self._collector.take()

    def finish(self) -> list[Event | Frame]:
        """The sound has ended: what the resampler held back is heard too, and the stream is reset.

        Raises:
            EngineError: the engine failed.
        """
        try:
            self._session.finish()
            return self._collector.take()
        finally:
            self.reset()

    def reset(self) -> None:
        """Forget everything heard; the next sample is the first of a new stream."""
        self._collector.clear()
        self._next_sample = 0
        self._source.lost_samples = 0
        self._pipeline = Pipeline(self._source, self._engine, self._manifest, self._settings)
        self._session = Session(
            self._source, self._pipeline, [self._collector], channel=self._settings.channel
        )

    def state(self) -> bytes:
        """All that the stream remembers, as JSON: `restore` goes on from here, in any process.

        Between two pushes. The rest of the sound then gives the events that it would have given without the
        break: exactly at 16 kHz; at other rates the resampled sound may differ by rounding, less than 1e-5 of
        full scale. The counts, rates and latency of `summary` are not kept.
        """
        content = {
            "version": _STATE_VERSION,
            "for": self._signature(),
            "next_sample": self._next_sample,
            "lost_samples": self._source.lost_samples,
            "session": saved_from_states(self._session),
            "pipeline": saved_from_owner(self._pipeline),
        }
        return json.dumps(content, allow_nan=False).encode()

    def restore(self, state: bytes) -> None:
        """Forget everything heard, and go on where a stream of the same kind was when its state was saved.

        Raises:
            ConfigError: it is no such state, or of another pack, other settings, another rate or number of
                channels. The stream is then reset.
        """
        self.reset()
        try:
            content = json.loads(state)
            if content["version"] != _STATE_VERSION:
                raise ConfigError(f"this state is of version {content['version']}, not {_STATE_VERSION}")
            if content["for"] != self._signature():
                raise ConfigError(
                    "this state is of another pack, other settings, another rate or number of channels; "
                    "make the detector and the stream as they were when it was saved"
                )
            restore_states(self._session, content["session"])
            restore_owner(self._pipeline, content["pipeline"])
            self._next_sample = value_from_builtins(int, content["next_sample"])
            self._source.lost_samples = value_from_builtins(int, content["lost_samples"])
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            self.reset()
            raise ConfigError(f"this is not the state of a stream ({error}); save it again") from error

    def _signature(self) -> dict[str, Any]:
        return {
            "pack": self._pack_sha256,
            "rate_hz": self._source.rate_hz,
            "n_channels": self._source.n_channels,
            "settings": repr(self._settings),
        }


_STATE_VERSION = 4
_LOST = "lost by the program that hands the sound over"
_INTEGERS = (np.int16, np.int32)


def _table_from_samples(samples: NDArray[Any], n_channels: int) -> NDArray[np.float32]:
    """(n, channels) float32 of what was handed over.

    Raises:
        ConfigError: it is no sound.
    """
    try:
        array = np.asarray(samples)
    except ValueError as error:
        raise ConfigError(
            f"this is no sound ({error}); give an array of shape (n,) or (n, channels)"
        ) from error
    is_integer = array.dtype.newbyteorder("=") in _INTEGERS
    table = array[:, np.newaxis] if array.ndim == 1 else array
    if table.ndim != 2 or not (is_integer or np.issubdtype(array.dtype, np.floating)):
        raise ConfigError(
            f"an array of {array.dtype} {array.shape} is no sound; give floats in [-1, 1], or integers of "
            "16 or 32 bits, of shape (n,) or (n, channels)"
        )
    if table.shape[1] != n_channels:
        raise ConfigError(
            f"these samples have {table.shape[1]} channels, the stream has {n_channels}; "
            "open it with another n_channels, or transpose the array to (n, channels)"
        )
    if is_integer:
        return (table / -float(np.iinfo(array.dtype).min)).astype(np.float32)
    # What is beyond float32 becomes an infinity, and so a zero like all others.
    with np.errstate(over="ignore"):
        return table.astype(np.float32)
