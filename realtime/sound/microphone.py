"""One opened microphone as a source of sound, until it is closed or lost; `reconnect` outlives the loss."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.closing import Closing
from engines.errors import ConfigError, DeviceLostError
from realtime.sound import portaudio
from realtime.sound.devices import InputDevice, match_device, match_same_device
from realtime.sound.moved_stream import MovedStream, can_be_moved
from realtime.sound.pulse_sources import recording_from
from realtime.sound.sound_queue import SoundQueue
from realtime.sound.sources import STALL_S, Block, finite_from_samples
from realtime.sound.stream_clock import now

_ROOM_S = 10.0
_TICK_S = 0.2
_SETTLE_S = 0.2


class MicrophoneSource(Closing):
    """A microphone as an `AudioSource`.

    Created opened but not running: `start`, or `blocks`, starts it, so nothing piles up before. A consumer
    that is late gets all that waits as one block; of more than 10 s the oldest is lost, which is counted.
    When it stops delivering, empty blocks say so after 0.8 s and from then on every 0.2 s.

    Args:
        device: an `InputDevice`, or what `find_device` takes.
        rate_hz: sampling rate, Hz; None is 16000 where the device can do it, else the device's own.
        min_channels: as many channels at least; more are opened only if the device insists.
        block_s: how much sound the driver collects before it hands it over, seconds.
        stall_s: without sound from the driver for so long, the device counts as lost, seconds.
        start_s: the same before the first sound: some devices wake up slowly, seconds.
        latency_s: asked of the driver. Its own defaults deliver blocks in bursts.

    Raises:
        DeviceNotFoundError: see `find_device`.
        RateUnsupportedError: the device cannot do `rate_hz`.
        ConfigError: the device has fewer than `min_channels`, or a duration is not positive.
        AudioError: the device is busy, not permitted, or cannot be opened.
    """

    is_live = True

    def __init__(
        self,
        device: InputDevice | str | int | None = None,
        *,
        rate_hz: int | None = None,
        min_channels: int = 1,
        block_s: float = 0.02,
        stall_s: float = 2.0,
        start_s: float = 5.0,
        latency_s: float = 0.02,
    ) -> None:
        if min(block_s, stall_s, start_s, latency_s) <= 0:
            raise ConfigError(
                "block_s, stall_s, start_s and latency_s are durations in seconds and must be positive"
            )
        self.device = device if isinstance(device, InputDevice) else portaudio.find_device(device)
        self.name = self.device.name
        self.rate_hz, self.n_channels = portaudio.choose_settings(self.device, rate_hz, min_channels)
        self._stall_s = stall_s
        self._start_s = start_s
        self._is_closed = False
        self._is_started = False
        self._moved: MovedStream | None = None
        self._closing = threading.Lock()
        self._queue = SoundQueue(round(_ROOM_S * self.rate_hz))
        with portaudio.mapped_errors(self.name, self.rate_hz), recording_from(self.device.chosen_source):
            self._stream = portaudio.sounddevice().InputStream(
                device=self.device.portaudio_index,
                samplerate=self.rate_hz,
                blocksize=max(1, round(block_s * self.rate_hz)),
                channels=self.n_channels,
                dtype="float32",
                latency=latency_s,
                callback=self._hear,
                finished_callback=self._queue.end,
            )

    @property
    def lost_samples(self) -> int:
        """See `AudioSource`. Where only the driver knows that sound was lost, a lower bound."""
        return self._queue.lost_samples

    def take_notices(self) -> list[str]:
        """See `AudioSource`."""
        return [] if self._moved is None else self._moved.take_notices()

    def start(self) -> None:
        """Let the sound come; again is fine.

        Raises:
            AudioError: the device cannot be started.
        """
        if not self._is_started:
            with portaudio.mapped_errors(self.name, self.rate_hz):
                self._stream.start()
            self._is_started = True
            # Another thread may have closed it meanwhile.
            with self._closing:
                if not self._is_closed and self.device.is_source:
                    is_chosen = not self.device.follows_default
                    self._moved = MovedStream(self.device.source_name, is_chosen=is_chosen)
                elif not self._is_closed and can_be_moved(self.name):
                    self._moved = MovedStream()

    def blocks(self) -> Iterator[Block]:
        """See `AudioSource`.

        Raises:
            DeviceLostError: the device stopped delivering, or the sound server delivers another's sound.
            AudioError: the device cannot be started.
        """
        if self._is_closed:
            return
        self.start()
        end = 0
        n_quiet = 0
        heard_at_s = now().steady_s
        while not self._is_closed and not self._is_elsewhere:
            # Quiet is counted in waits and not by a clock, on which a suspended machine leaves a hole.
            if not self._queue.wait(_TICK_S):
                n_quiet += 1
                limit_s = self._stall_s if end else self._start_s
                if self._queue.has_ended or n_quiet >= round(limit_s / _TICK_S):
                    break
                if n_quiet >= round(STALL_S / _TICK_S):
                    yield Block(end, self._no_sound())
                continue
            if now().steady_s - heard_at_s > STALL_S:
                # A driver that was held up may hand over all at once what it has kept meanwhile.
                time.sleep(_SETTLE_S)
            block = self._queue.take(0)
            if block is None:
                continue
            end, n_quiet, heard_at_s = block.end, 0, now().steady_s
            yield replace(block, samples=finite_from_samples(block.samples)[0])
        if self._is_elsewhere and not self._is_closed:
            raise DeviceLostError(
                f"{self.name!r} is not heard any more: the sound server has put another microphone in its "
                "place; plug it in again, or choose that one with --device"
            )
        if not self._is_closed:
            raise DeviceLostError(
                f"{self.name!r} has stopped delivering sound; "
                "check its plug and its sound server, then start again"
            )

    def close(self) -> None:
        """See `AudioSource`. Waits for the sound system, which may be stuck."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            self._queue.end()
            if self._moved is not None:
                self._moved.close()
            self._stream.close()

    def _hear(self, heard: NDArray[np.float32], n_samples: int, time: Any, status: Any) -> None:
        self._queue.put(heard, has_lost_before=bool(status.input_overflow))

    @property
    def _is_elsewhere(self) -> bool:
        """Whether the sound is that of another microphone than the one that was chosen."""
        return self._moved is not None and self._moved.has_left_chosen

    def _no_sound(self) -> NDArray[np.float32]:
        return np.zeros((0, self.n_channels), np.float32)


class MicrophoneOpener:
    """Opens the same microphone again and again.

    Args:
        query: what `find_device` takes. None is the system's default, whichever that is at the time.
        min_channels: see `MicrophoneSource`.
    """

    def __init__(self, query: str | int | None = None, min_channels: int = 1) -> None:
        self._query = query
        self._min_channels = min_channels
        self._device: InputDevice | None = None
        self._rate_hz: int | None = None
        self._n_channels: int | None = None

    def open(self) -> MicrophoneSource:
        """Open it for the first time.

        Raises:
            AudioError, ConfigError: see `MicrophoneSource`.
        """
        return self._opened(portaudio.find_device(self._query))

    def reopen(self) -> MicrophoneSource:
        """Start PortAudio anew, look the device up by its name, open it at the same rate and start it.

        Raises:
            AudioError: it is not there, or not ready yet.
            ConfigError: it has fewer channels now.
        """
        portaudio.restart()
        devices = portaudio.list_devices()
        if self._query is None or self._device is None:
            device = match_device(devices, self._query)
            if device.is_source and self._n_channels is not None:
                # Whoever listens counts on as many channels as before; the server makes them of those there.
                device = replace(device, n_channels_max=self._n_channels)
            return self._opened(device, is_started=True)
        device = match_same_device(devices, self._device)
        if device.is_source:
            # Its own name may be beside that, or be left away, because a twin of it has come or gone.
            device = replace(device, name=self._device.name)
        return self._opened(device, is_started=True)

    def abandon(self) -> None:
        """A call is stuck in PortAudio: see `portaudio.abandon`."""
        portaudio.abandon()

    def _opened(self, device: InputDevice, *, is_started: bool = False) -> MicrophoneSource:
        source = MicrophoneSource(device, rate_hz=self._rate_hz, min_channels=self._min_channels)
        if is_started:
            try:
                source.start()
            except BaseException:
                source.close()
                raise
        self._device, self._rate_hz, self._n_channels = device, source.rate_hz, source.n_channels
        return source
