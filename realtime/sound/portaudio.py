"""PortAudio: the only file that imports sounddevice, and the one place where its errors become ours."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engines.contract import RATE_HZ
from engines.errors import AudioError, BreathError, ConfigError, DeviceNotFoundError, RateUnsupportedError
from realtime.sound.devices import InputDevice, match_device
from realtime.sound.pulse_sources import with_sources
from realtime.telling import counted

STANDARD_RATES_HZ = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000)

# From portaudio.h; sounddevice hands the numbers on without names.
_HOST_ERROR = -9999
_INVALID_CHANNEL_COUNT = -9998
_INVALID_RATE = -9997
_INVALID_DEVICE = -9996
_DEVICE_UNAVAILABLE = -9985

# What the systems under PortAudio say: errno of ALSA, HRESULT of Windows, OSStatus of Core Audio.
_NOT_PERMITTED = {-1, -13, -2147024891}
_IN_USE = {-16, -2004287478, 560492391}

_PERMISSION_MENDS = {
    "linux": "let your user use sound cards: sudo usermod -aG audio $USER, then log in again",
    "darwin": "allow it for the terminal under System Settings > Privacy & Security > Microphone, "
    "then open the terminal anew",
    "win32": "allow desktop apps to use it under Settings > Privacy & security > Microphone",
}
_BUSY_MENDS = {
    "linux": "close that program (fuser -v /dev/snd/* tells which), or take a device of the sound server",
    "win32": "close that program, or turn off its exclusive mode in the properties of the microphone",
}


def list_devices() -> list[InputDevice]:
    """The input devices, as they were when PortAudio was started: it never looks again by itself.

    After them come the sources of the sound server, as they are now: see `with_sources`.

    Raises:
        DeviceNotFoundError: PortAudio is not installed.
        AudioError: PortAudio does not work, or nothing is shown because this user may not use sound cards, or
            because another program does: PortAudio leaves out what it cannot open.
    """
    sd = sounddevice()
    with mapped_errors("the list of devices"):
        default_index = sd.default.device[0]
        known = sd.query_devices()
        devices = [
            InputDevice(
                index=device["index"],
                name=device["name"],
                host_api=sd.query_hostapis(device["hostapi"])["name"],
                n_channels_max=device["max_input_channels"],
                rate_default_hz=device["default_samplerate"],
                is_default=device["index"] == default_index,
            )
            for device in known
            if device["max_input_channels"] > 0
        ]
    if not devices and (node := forbidden_node(Path("/dev/snd"))):
        raise AudioError(f"there is a microphone, {node}, but no permission to use it; {_permission_mend()}")
    if not devices and (name := busy_name(Path("/proc/asound"))):
        raise AudioError(
            f"there is a microphone, {name}, but another program is using it; {_BUSY_MENDS['linux']}"
        )
    return with_sources(devices, first_index=len(known))


def find_device(query: str | int | None = None) -> InputDevice:
    """The device of that number, or with that in its name; None is the system's default.

    Raises:
        DeviceNotFoundError: none, or more than one, answers to `query`; or PortAudio is not installed.
        AudioError: see `list_devices`.
    """
    return match_device(list_devices(), query)


def rates_of_device(device: InputDevice) -> tuple[int, ...]:
    """Those of `STANDARD_RATES_HZ` that the device records at, Hz; none if it cannot be asked now."""
    return tuple(rate_hz for rate_hz in STANDARD_RATES_HZ if _is_taken(device, rate_hz))


def choose_settings(device: InputDevice, rate_hz: int | None, min_channels: int) -> tuple[int, int]:
    """The first rate (Hz) and number of channels that the device takes, in our order of preference.

    Raises:
        ConfigError: the device has fewer channels.
        RateUnsupportedError: the device does not record at `rate_hz`.
        AudioError: the device cannot be asked.
    """
    if not 1 <= min_channels <= device.n_channels_max:
        n_channels = device.n_channels_max
        raise ConfigError(
            f"{device.name!r} has {counted(n_channels, 'channel')}, not {min_channels}; "
            "choose a lower --channel"
        )
    sd = sounddevice()
    rates = [RATE_HZ, round(device.rate_default_hz)] if rate_hz is None else [rate_hz]
    refusal: Exception | None = None
    for rate in rates:
        for n_channels in _channel_counts(device, min_channels):
            try:
                sd.check_input_settings(device.portaudio_index, n_channels, "float32", samplerate=rate)
            except sd.PortAudioError as error:
                refusal = error
            else:
                return rate, n_channels
    assert refusal is not None
    with mapped_errors(device.name, rates[-1]):
        raise refusal


def restart() -> None:
    """Start PortAudio anew, so that it sees what was plugged in; every stream must be closed before.

    Raises:
        AudioError: PortAudio does not start again.
    """
    sd = sounddevice()
    with mapped_errors("the sound system"):
        # A start that failed before has left nothing to end.
        while sd._initialized:
            sd._terminate()
        sd._initialize()


def abandon() -> None:
    """Leave PortAudio as it is when the program ends: a call that is stuck in it would hold up the end."""
    sd = sounddevice()
    sd._initialized = 0
    sd._last_callback = None


def sounddevice() -> Any:
    """The package sounddevice.

    Raises:
        DeviceNotFoundError: it, or the PortAudio library, is not installed.
    """
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
def mapped_errors(name: str, rate_hz: int | None = None) -> Iterator[None]:
    """Within this context PortAudio's errors are raised as ours, about the device called `name`."""
    sd = sounddevice()
    try:
        yield
    except sd.PortAudioError as error:
        text = str(error.args[0]) if error.args else "no reason given"
        code = error.args[1] if len(error.args) > 1 else None
        host_code = error.args[2][1] if len(error.args) > 2 else None
        raise error_from_refusal(name, rate_hz, text, code, host_code) from error


def error_from_refusal(
    name: str,
    rate_hz: int | None,
    text: str,
    code: int | None,
    host_code: int | None,
    platform: str = sys.platform,
) -> BreathError:
    """What to tell the user when PortAudio refuses.

    Args:
        name: of the device.
        rate_hz: that was asked for.
        text: what PortAudio says.
        code: a PaErrorCode.
        host_code: what the system below says, with a host error.
        platform: as `sys.platform`.
    """
    if code == _INVALID_RATE:
        return RateUnsupportedError(
            f"{name!r} does not record at {rate_hz} Hz; ask for no rate, then it gets one that it does"
        )
    if code == _INVALID_CHANNEL_COUNT:
        return ConfigError(f"{name!r} has not that many channels; choose a lower --channel")
    if code == _INVALID_DEVICE:
        return DeviceNotFoundError(f"{name!r} is not there any more; list what is: breath-live devices")
    if code == _HOST_ERROR and host_code in _NOT_PERMITTED:
        return AudioError(f"{name!r}: no permission to use it; {_permission_mend(platform)}")
    if code == _DEVICE_UNAVAILABLE or (code == _HOST_ERROR and host_code in _IN_USE):
        mend = _BUSY_MENDS.get(platform, "close that program")
        return AudioError(
            f"{name!r} is in use by another program or was unplugged; {mend}, or choose another with --device"
        )
    # Core Audio and Windows do not say it when permission is what is missing.
    is_silent = code == _HOST_ERROR and platform in ("darwin", "win32")
    hint = f"; if it should work, {_permission_mend(platform)}" if is_silent else ""
    return AudioError(
        f"{name!r}: the sound system says: {text}; try another with --device, see breath-live devices{hint}"
    )


def forbidden_node(folder: Path) -> Path | None:
    """A recording device file of ALSA in `folder` that this user may not open; None: there is none."""
    for node in sorted(folder.glob("pcmC*D*c")):
        if not os.access(node, os.R_OK | os.W_OK):
            return node
    return None


def busy_name(folder: Path) -> str | None:
    """ALSA's name of a recording device that is open, such as `hw:0,0`; None: all are closed.

    Args:
        folder: `/proc/asound`, or one like it.
    """
    for status in sorted(folder.glob("card[0-9]*/pcm[0-9]*c/sub[0-9]*/status")):
        try:
            is_open = status.read_text(encoding="utf-8").strip() != "closed"
        except (OSError, UnicodeDecodeError):
            continue
        if is_open:
            card, device = status.parents[2].name, status.parents[1].name
            return f"hw:{card.removeprefix('card')},{device.removeprefix('pcm').removesuffix('c')}"
    return None


def _permission_mend(platform: str = sys.platform) -> str:
    return _PERMISSION_MENDS.get(platform, _PERMISSION_MENDS["linux"])


def _is_taken(device: InputDevice, rate_hz: int) -> bool:
    sd = sounddevice()
    for n_channels in _channel_counts(device, 1):
        try:
            sd.check_input_settings(device.portaudio_index, n_channels, "float32", samplerate=rate_hz)
        except sd.PortAudioError:
            continue
        return True
    return False


def _channel_counts(device: InputDevice, min_channels: int) -> list[int]:
    if device.is_source:
        # Of fewer, the server would make mixtures.
        return [device.n_channels_max]
    counts = {min_channels, max(2, min_channels), device.n_channels_max}
    return [n_channels for n_channels in sorted(counts) if n_channels <= device.n_channels_max]
