"""Input devices as plain facts, and the choice of one by number or name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from engines.errors import DeviceNotFoundError

# So long is a name that Windows' oldest sound system has cut.
_SHORTEST_CUT = 31


@dataclass(frozen=True)
class InputDevice:
    """A device that sound can come from, or a source of a sound server, which one device records all of.

    Attributes:
        index: the sound system's number for it; another one after PortAudio was started anew.
        name: as the system calls it.
        host_api: the sound system it belongs to (ALSA, Core Audio, WASAPI, ...).
        n_channels_max: channels it has, at least 1.
        rate_default_hz: its own sampling rate, Hz.
        is_default: the one taken when none is asked for.
        source_name: the sound server's own name of the source that is heard; None: it is not known, or there
            is no server.
        stream_index: PortAudio's number of the device that a source is recorded through; None: no source.
        follows_default: nobody has chosen this source: the server passes on to another when that becomes the
            default.
    """

    index: int
    name: str
    host_api: str
    n_channels_max: int
    rate_default_hz: float
    is_default: bool
    source_name: str | None = None
    stream_index: int | None = None
    follows_default: bool = False

    @property
    def portaudio_index(self) -> int:
        """PortAudio's number of what has to be opened."""
        return self.index if self.stream_index is None else self.stream_index

    @property
    def is_source(self) -> bool:
        """Whether it is a source of a sound server, and no device of PortAudio's."""
        return self.stream_index is not None

    @property
    def chosen_source(self) -> str | None:
        """The sound server's name of the source that somebody has chosen; None: the server chooses."""
        return self.source_name if self.is_source and not self.follows_default else None


def match_device(devices: Sequence[InputDevice], query: str | int | None) -> InputDevice:
    """The device of that number, or with that in its name; None is the default one.

    A number is tried before a name; case does not matter; a full name beats a part of one, and a device of
    PortAudio's a source of the sound server, which may be the same microphone. A source answers to the
    server's own name for it, too. At last come devices that have every word of the query in their names or
    sound systems. Of a microphone that several sound systems list, the one of the default device's counts.

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
                return replace(device, follows_default=device.is_source)
        raise DeviceNotFoundError(
            f"no microphone is the default; choose one with --device:\n{_listed(devices)}"
        )
    wanted = str(query).strip().lower()
    candidates = [[device for device in devices if str(device.index) == wanted]]
    if wanted and not isinstance(query, int):
        own = [device for device in devices if not device.is_source]
        sources = [device for device in devices if device.is_source]
        candidates += [
            [device for device in own if wanted == device.name.lower()],
            [device for device in sources if wanted in _names(device)],
            [device for device in own if wanted in device.name.lower()],
            [device for device in sources if wanted in device.name.lower()],
            [device for device in sources if any(wanted in name for name in _names(device))],
            [device for device in devices if _has_words(device, wanted)],
        ]
    found = next(filter(None, candidates), [])
    if len(found) > 1 and _are_one_microphone(found):
        usual = {device.host_api for device in devices if device.is_default}
        found = [device for device in found if device.host_api in usual] or found[:1]
    if len(found) == 1:
        return found[0]
    if found:
        raise DeviceNotFoundError(
            f"{len(found)} microphones have {wanted!r} in their names; "
            f"choose one with --device and its number:\n{_listed(found)}"
        )
    raise DeviceNotFoundError(f"no microphone answers to {str(query)!r}; choose one of:\n{_listed(devices)}")


def match_same_device(devices: Sequence[InputDevice], known: InputDevice) -> InputDevice:
    """The device that is `known` from before PortAudio was started anew, by its name and sound system.

    ALSA puts the number of the card into the name, `(hw:2,0)`, and that may be another one after plugging
    in again: it counts only where several devices differ in nothing else. A source of a sound server is
    known by the server's own name for it.

    Raises:
        DeviceNotFoundError: it is not there.
    """
    same_system = [device for device in devices if device.host_api == known.host_api]
    same_name = [device for device in same_system if device.name == known.name]
    same_model = [device for device in same_system if _without_card(device.name) == _without_card(known.name)]
    same_source = [device for device in same_system if device.source_name == known.source_name]
    for found in (same_source,) if known.is_source else (same_name, same_model):
        if len(found) == 1:
            return found[0]
    raise DeviceNotFoundError(f"{known.name!r} is not there; plug it in again")


def _has_words(device: InputDevice, wanted: str) -> bool:
    text = f"{device.name} {device.host_api}".lower()
    words = re.findall(r"[^\s,]+", wanted)
    return bool(words) and all(word in text for word in words)


def _are_one_microphone(devices: Sequence[InputDevice]) -> bool:
    """Whether these are one device that several sound systems list, as on Windows; one of them cuts names."""
    names = {device.name.lower()[:_SHORTEST_CUT] for device in devices}
    return len(names) == 1 and len({device.host_api for device in devices}) == len(devices)


def _names(source: InputDevice) -> tuple[str, str]:
    return source.name.lower(), (source.source_name or "").lower()


def _without_card(name: str) -> str:
    return re.sub(r"\s*\(hw:\d+,\d+\)$", "", name)


def _listed(devices: Sequence[InputDevice]) -> str:
    return "\n".join(f"  {device.index}: {device.name} ({device.host_api})" for device in devices)
