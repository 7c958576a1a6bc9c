"""Microphones: the only file that imports sounddevice."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engines.contract import RATE_HZ
from engines.errors import (
    AudioError,
    ConfigError,
    DeviceLostError,
    DeviceNotFoundError,
    RateUnsupportedError,
)
from realtime.devices import InputDevice, match_device
from realtime.sound_queue import SoundQueue
from realtime.sources import Block, finite_from_samples

_ROOM_S = 10.0

# From portaudio.h; sounddevice hands the numbers on without names.
_INVALID_CHANNEL_COUNT = -9998
_INVALID_RATE = -9997
_INVALID_DEVICE = -9996
_DEVICE_UNAVAILABLE = -9985


def list_devices() -> list[InputDevice]:
    """The input devices, as they were when the program first asked: PortAudio never looks again.

    Raises:
        DeviceNotFoundError: PortAudio is not installed.
        AudioError: PortAudio does not work.
    """
    sd = _sounddevice()
    with _mapped_errors(sd, "the list of devices"):
        default_index = sd.default.device[0]
        return [
            InputDevice(
                index=device["index"],
                name=device["name"],
                host_api=sd.query_hostapis(device["hostapi"])["name"],
                n_channels_max=device["max_input_channels"],
                rate_default_hz=device["default_samplerate"],
                is_default=device["index"] == default_index,
            )
            for device in sd.query_devices()
            if device["max_input_channels"] > 0
        ]


def find_device(query: str | int | None = None) -> InputDevice:
    """The device of that number, or with that in its name; None is the system's default.

    Raises:
        DeviceNotFoundError: none, or more than one, answers to `query`; or PortAudio is not installed.
    """
    return match_device(list_devices(), query)


class MicrophoneSource:
    """A microphone as an `AudioSource`.

    Created opened but not running: `blocks` starts it, so nothing piles up before. A consumer that is late
    gets all that waits as one block; of more than 10 s the oldest is lost, which is counted.

    Args:
        device: an `InputDevice`, or what `find_device` takes.
        rate_hz: sampling rate, Hz; None is 16000 where the device can do it, else the device's own.
        min_channels: as many channels at least; more are opened only if the device insists.
        block_s: how much sound the driver collects before it hands it over, seconds.
        stall_s: without sound from the driver for so long, the device counts as lost, seconds.
        latency_s: asked of the driver. Its own defaults deliver blocks in bursts.

    Raises:
        DeviceNotFoundError: see `find_device`.
        RateUnsupportedError: the device cannot do `rate_hz`.
        ConfigError: the device has fewer than `min_channels`, or a duration is not positive.
        AudioError: the device is busy or cannot be opened.
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
        latency_s: float = 0.02,
    ) -> None:
        if min(block_s, stall_s, latency_s) <= 0:
            raise ConfigError("block_s, stall_s and latency_s are durations in seconds and must be positive")
        found = device if isinstance(device, InputDevice) else find_device(device)
        sd = _sounddevice()
        self.name = found.name
        self.rate_hz, self.n_channels = _settings(sd, found, rate_hz, min_channels)
        self._stall_s = stall_s
        self._is_closed = False
        self._notices: list[str] = []
        self._queue = SoundQueue(round(_ROOM_S * self.rate_hz))
        with _mapped_errors(sd, self.name, self.rate_hz):
            self._stream = sd.InputStream(
                device=found.index,
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
        notices, self._notices = self._notices, []
        return notices

    def blocks(self) -> Iterator[Block]:
        """See `AudioSource`.

        Raises:
            DeviceLostError: the device stopped delivering.
            AudioError: the device cannot be started.
        """
        if self._is_closed:
            return
        with _mapped_errors(_sounddevice(), self.name, self.rate_hz):
            self._stream.start()
        has_warned = False
        end = 0
        while (block := self._queue.take(self._stall_s)) is not None and not self._is_closed:
            if block.start > end and not has_warned:
                has_warned = True
                self._notices.append(
                    f"{self.name!r}: sound was lost, because this machine was too busy to fetch it in time; "
                    "close other programs if this goes on"
                )
            end = block.end
            yield Block(block.start, finite_from_samples(block.samples)[0])
        if not self._is_closed:
            raise DeviceLostError(
                f"{self.name!r} has stopped delivering sound (waited {self._stall_s:g} s); "
                "check its plug and its sound server, then start again"
            )

    def close(self) -> None:
        """See `AudioSource`."""
        self._is_closed = True
        self._queue.end()
        self._stream.close()

    def __enter__(self) -> Self:
        """Return the source itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _hear(self, heard: NDArray[np.float32], n_samples: int, time: Any, status: Any) -> None:
        self._queue.put(heard, has_lost_before=bool(status.input_overflow))


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise DeviceNotFoundError(
            f"no microphone without sounddevice ({error}): pip install sounddevice"
        ) from error
    except OSError as error:
        mend = (
            "apt-get install libportaudio2" if sys.platform == "linux" else "pip install --force sounddevice"
        )
        raise DeviceNotFoundError(
            f"no microphone without the PortAudio library, which is not on this machine: {mend} "
            "(on other Linux systems the package is called portaudio); recordings and the demo work without"
        ) from error
    return sounddevice


@contextmanager
def _mapped_errors(sd: Any, name: str, rate_hz: int | None = None) -> Iterator[None]:
    """The one place where PortAudio's errors become ours."""
    try:
        yield
    except sd.PortAudioError as error:
        text = str(error.args[0]) if error.args else "no reason given"
        code = error.args[1] if len(error.args) > 1 else None
        if code == _INVALID_RATE:
            raise RateUnsupportedError(
                f"{name!r} does not record at {rate_hz} Hz; ask for no rate, then it gets one that it does"
            ) from error
        if code == _INVALID_CHANNEL_COUNT:
            raise ConfigError(f"{name!r} has not that many channels; choose a lower --channel") from error
        if code == _INVALID_DEVICE:
            raise DeviceNotFoundError(
                f"{name!r} is not there any more; list what is: breath-live devices"
            ) from error
        if code == _DEVICE_UNAVAILABLE:
            raise AudioError(
                f"{name!r} is in use by another program or was unplugged; "
                "close that program, or choose another with --device"
            ) from error
        raise AudioError(
            f"{name!r}: the sound system says: {text}; try another with --device, see breath-live devices"
        ) from error


def _settings(sd: Any, device: InputDevice, rate_hz: int | None, min_channels: int) -> tuple[int, int]:
    """The first rate and number of channels that the device takes, in our order of preference."""
    if not 1 <= min_channels <= device.n_channels_max:
        raise ConfigError(
            f"{device.name!r} has {device.n_channels_max} channels, not {min_channels}; "
            "choose a lower --channel"
        )
    rates = [RATE_HZ, round(device.rate_default_hz)] if rate_hz is None else [rate_hz]
    counts = sorted({min_channels, max(2, min_channels), device.n_channels_max})
    refusal: Exception | None = None
    for rate in rates:
        for n_channels in counts:
            if n_channels > device.n_channels_max:
                continue
            try:
                sd.check_input_settings(device.index, n_channels, "float32", samplerate=rate)
            except sd.PortAudioError as error:
                refusal = error
            else:
                return rate, n_channels
    assert refusal is not None
    with _mapped_errors(sd, device.name, rates[-1]):
        raise refusal
