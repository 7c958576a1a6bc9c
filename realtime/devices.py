"""Input devices as plain facts, and the choice of one by number or name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engines.errors import DeviceNotFoundError


@dataclass(frozen=True)
class InputDevice:
    """A device that sound can come from.

    Attributes:
        index: the sound system's number for it; another one after PortAudio was started anew.
        name: as the system calls it.
        host_api: the sound system it belongs to (ALSA, Core Audio, WASAPI, ...).
        n_channels_max: channels it has, at least 1.
        rate_default_hz: its own sampling rate, Hz.
        is_default: the one taken when none is asked for.
    """

    index: int
    name: str
    host_api: str
    n_channels_max: int
    rate_default_hz: float
    is_default: bool


def match_device(devices: Sequence[InputDevice], query: str | int | None) -> InputDevice:
    """The device of that number, or with that in its name; None is the default one.

    A number is tried before a name; case does not matter; a full name beats a part of one.

    Raises:
        DeviceNotFoundError: none, or more than one, answers to `query`; the message lists the candidates.
    """
    if not devices:
        raise DeviceNotFoundError(
            "this machine shows no microphone; plug one in or start its sound server and try again, "
            "or use a recording or the demo"
        )
    if query is None:
        for device in devices:
            if device.is_default:
                return device
        raise DeviceNotFoundError(
            f"no microphone is the default; choose one with --device:\n{_listed(devices)}"
        )
    wanted = str(query).strip().lower()
    by_number = [device for device in devices if str(device.index) == wanted]
    by_full_name: list[InputDevice] = []
    by_part: list[InputDevice] = []
    if wanted and not isinstance(query, int):
        by_full_name = [device for device in devices if device.name.lower() == wanted]
        by_part = [device for device in devices if wanted in device.name.lower()]
    for found in (by_number, by_full_name, by_part):
        if len(found) == 1:
            return found[0]
    if by_part:
        raise DeviceNotFoundError(
            f"{len(by_part)} microphones have {wanted!r} in their names; "
            f"choose one with --device and its number:\n{_listed(by_part)}"
        )
    raise DeviceNotFoundError(f"no microphone answers to {str(query)!r}; choose one of:\n{_listed(devices)}")


def match_same_device(devices: Sequence[InputDevice], known: InputDevice) -> InputDevice:
    """The device that is `known` from before PortAudio was started anew, by its name and sound system.

    ALSA puts the number of the card into the name, `(hw:2,0)`, and that may be another one after plugging
    in again: it counts only where several devices differ in nothing else.

    Raises:
        DeviceNotFoundError: it is not there.
    """
    same_system = [device for device in devices if device.host_api == known.host_api]
    same_name = [device for device in same_system if device.name == known.name]
    same_model = [device for device in same_system if _without_card(device.name) == _without_card(known.name)]
    for found in (same_name, same_model):
        if len(found) == 1:
            return found[0]
    raise DeviceNotFoundError(f"{known.name!r} is not there; plug it in again")


def _without_card(name: str) -> str:
    return re.sub(r"\s*\(hw:\d+,\d+\)$", "", name)


def _listed(devices: Sequence[InputDevice]) -> str:
    return "\n".join(f"  {device.index}: {device.name} ({device.host_api})" for device in devices)
