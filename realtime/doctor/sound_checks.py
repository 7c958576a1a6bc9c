"""The checks of `breath-live doctor` on the sound system: PortAudio, the microphones, a second of sound."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from engines.errors import AudioError, BreathError, DeviceNotFoundError
from realtime import health
from realtime.config import LiveConfig
from realtime.doctor.examination import Finding, Verdict
from realtime.events import Condition
from realtime.sound import portaudio
from realtime.sound.devices import InputDevice, match_device
from realtime.sound.microphone import MicrophoneSource


def sound(config: LiveConfig) -> Iterator[Finding]:
    """Each needs the one before; a failure ends it.

    Args:
        config: which microphone, and which channel of it.
    """
    try:
        text = str(portaudio.sounddevice().get_portaudio_version()[1])
        yield Finding("portaudio", Verdict.OK, text)
    except BreathError as error:
        yield _failed("portaudio", error)
        return
    try:
        devices = portaudio.list_devices()
        if devices:
            yield Finding("microphones", Verdict.OK, _listed(devices), measures={"n_devices": len(devices)})
        device = match_device(devices, config.device)
    except BreathError as error:
        yield _failed("microphones", error)
        return
    try:
        yield _captured(device, config.channel)
    except BreathError as error:
        yield _failed("capture", error)


def _captured(device: InputDevice, channel: int | None) -> Finding:
    """A second of sound.

    Raises:
        BreathError: it cannot be had.
    """
    pieces: list[NDArray[np.float32]] = []
    with MicrophoneSource(device, min_channels=(channel or 0) + 1) as microphone:
        rate_hz, n_channels = microphone.rate_hz, microphone.n_channels
        for block in microphone.blocks():
            pieces.append(block.samples)
            if sum(map(len, pieces)) >= rate_hz:
                break
        n_lost = microphone.lost_samples
    samples = np.concatenate(pieces)
    heard = samples if channel is None else samples[:, channel : channel + 1]
    return finding_from_capture(heard, rate_hz, n_channels, n_lost, device.name)


def finding_from_capture(
    samples: NDArray[np.float32], rate_hz: int, n_channels: int, n_lost: int, name: str
) -> Finding:
    """What a second of sound says about its microphone.

    Args:
        samples: (n, channels that are listened to) float32, full scale = [-1, 1], n >= 1.
        rate_hz: of the samples, Hz.
        n_channels: that were opened.
        n_lost: samples that were lost meanwhile.
        name: of the microphone.
    """
    loudest = float(samples.std(axis=0, dtype=np.float64).max())
    level_dbfs = 20 * math.log10(loudest) if loudest > 0 else health.SILENCE_DBFS
    peak = float(np.abs(samples).max())
    clipped_percent = 100 * float((np.abs(samples) >= health.FULL_SCALE).mean(axis=0).max())
    offset_percent = 100 * float(np.abs(samples.mean(axis=0, dtype=np.float64)).max())
    text = (
        f"{name!r}: {len(samples) / rate_hz:.2f} s at {rate_hz} Hz, {n_channels} "
        f"{'channel' if n_channels == 1 else 'channels'}, level {level_dbfs:.0f} dBFS, peak {peak:.3f}"
    )
    mend = ""
    if peak == 0:
        mend = "it is silent to the last bit: unmute it, and let this program use the microphone"
    elif clipped_percent > health.RULES[Condition.CLIPPING].limit:
        mend = f"{clipped_percent:.1f} % of it is clipped: turn down the gain of the microphone"
    elif offset_percent > health.RULES[Condition.DC_OFFSET].limit:
        mend = (
            f"it is off zero by {offset_percent:.1f} % of full scale: a fault of the microphone or its cable"
        )
    elif n_lost:
        mend = f"{n_lost} samples were lost: this machine is too busy; close other programs"
    measures = {
        "rate_hz": rate_hz,
        "n_channels": n_channels,
        "level_dbfs": round(level_dbfs, 1),
        "peak": peak,
        "clipped_percent": clipped_percent,
        "dc_offset_percent": offset_percent,
        "lost_samples": n_lost,
    }
    return Finding("capture", Verdict.WARNING if mend else Verdict.OK, text, mend, measures=measures)


def _listed(devices: list[InputDevice]) -> str:
    names = [
        f"{device.index}: {device.name}{' (default)' if device.is_default else ''}" for device in devices
    ]
    return f"{len(devices)} found; {'; '.join(names)}"


def _failed(subject: str, error: BreathError) -> Finding:
    mend = ""
    if isinstance(error, DeviceNotFoundError):
        mend = "recordings (breath-live replay FILE) and the demo (breath-live demo) work without"
    elif isinstance(error, AudioError):
        mend = "look at the list: breath-live devices"
    return Finding(subject, Verdict.FAILED, str(error), mend, error.exit_code)
