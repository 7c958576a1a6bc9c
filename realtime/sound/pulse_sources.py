"""The sources of a PulseAudio server, or of PipeWire in its place: PortAudio shows one device for all."""

import logging
import os
import queue
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from realtime.sound.devices import InputDevice

SOUND_SYSTEM = "PulseAudio"

# PortAudio's name for the device through which every source is recorded, and for its own default.
_PULSE, _PIPEWIRE, _DEFAULT = "pulse", "pipewire", "default"
_VARIABLE = "PULSE_SOURCE"
_ANSWER_LIMIT_S = 2.0
# Those of ALSA, in its order.
_USUAL_POSITIONS = (
    *("front-left", "front-right", "rear-left", "rear-right"),
    *("front-center", "lfe", "side-left", "side-right"),
)
_USUAL_COUNTS = (2, 4, 5, 6, 8)
_NO_INDEX = 2**32 - 1
_LOGGER = logging.getLogger(__name__)

# The environment belongs to the whole process.
_OPENING = threading.Lock()


@dataclass(frozen=True)
class PulseSource:
    """What a sound server lets be recorded.

    Attributes:
        name: the server's own, the same whenever this source is there.
        description: what people call it.
        n_channels: channels it has that can be told apart, at least 1.
        rate_hz: its own sampling rate, Hz; None: not known.
        is_monitor: it is what an output plays.
        is_default: heard by whoever chooses none: that of PULSE_SOURCE, or else the server's default.
    """

    name: str
    description: str
    n_channels: int
    rate_hz: float | None
    is_monitor: bool
    is_default: bool


def with_sources(devices: Sequence[InputDevice], first_index: int) -> list[InputDevice]:
    """PortAudio's devices and, after them, the sources of the sound server behind its device `pulse`.

    The numbers of PortAudio's devices stay what they are, and `pulse` stays: it is whatever source the server
    chooses. Where PortAudio's default device leads to the server, the server's default source is the default
    in its place. What an output plays is shown only where it is the default, or where there is nothing else.

    Without a server that answers within 2 s, or without its library, these are PortAudio's devices as they
    are. A server is never started.

    Args:
        devices: PortAudio's.
        first_index: number of the first source; the numbers below it are PortAudio's.
    """
    by_name = {device.name: device for device in devices if device.host_api == "ALSA"}
    # A PortAudio that knows the server's sources by itself calls their sound system by this name.
    if sys.platform != "linux" or _PULSE not in by_name or any(d.host_api == SOUND_SYSTEM for d in devices):
        return list(devices)
    sources = read_sources()
    has_microphone = any(not source.is_monitor for source in sources)
    shown = [source for source in sources if source.is_default or not (source.is_monitor and has_microphone)]
    default = next((source for source in shown if source.is_default), None)
    known = list(devices)
    if default is not None:
        leading = [device for device in devices if _leads_to_server(device, by_name)]
        known = [
            replace(device, source_name=default.name, is_default=False) if device in leading else device
            for device in devices
        ]
    has_default = any(device.is_default for device in known)
    n_of_description = Counter(source.description for source in shown)
    return known + [
        InputDevice(
            index=index,
            # Of two of one make, their own names tell which is which.
            name=one.description
            if n_of_description[one.description] == 1
            else f"{one.description} ({one.name})",
            host_api=SOUND_SYSTEM,
            n_channels_max=min(one.n_channels, by_name[_PULSE].n_channels_max),
            rate_default_hz=one.rate_hz or by_name[_PULSE].rate_default_hz,
            is_default=one.is_default and not has_default,
            source_name=one.name,
            stream_index=by_name[_PULSE].index,
        )
        for index, one in enumerate(shown, first_index)
    ]


@contextmanager
def recording_from(source_name: str | None) -> Iterator[None]:
    """A device `pulse` that is opened within this context records from that source, until it is closed.

    Args:
        source_name: the server's own name of it; None: the server chooses, as ever.
    """
    with _OPENING:
        if source_name is None:
            yield
            return
        # ALSA's device asks libpulse, which asks the environment of C whenever a device is opened. That of
        # Python keeps what the user has set, for whoever looks there meanwhile.
        os.putenv(_VARIABLE, source_name)
        try:
            yield
        finally:
            if _VARIABLE in os.environ:
                os.putenv(_VARIABLE, os.environ[_VARIABLE])
            else:
                os.unsetenv(_VARIABLE)


def read_sources() -> list[PulseSource]:
    """The sources of the sound server; none without one that answers within 2 s, or without its library."""
    try:
        import pulsectl
    except (ImportError, OSError):  # OSError: libpulse is not installed.
        return []
    answers: queue.SimpleQueue[list[PulseSource]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            with pulsectl.Pulse("breath", connect=False) as server:
                server.connect(autospawn=False)
                answers.put(_sources(server, pulsectl))
        except Exception as error:
            # In the words of libpulse or in the library's own.
            _LOGGER.debug("the sound server does not tell its sources: %s", error)
            answers.put([])

    # A server that is stuck holds up this thread, which nobody waits for.
    threading.Thread(target=ask, name="pulse sources", daemon=True).start()
    try:
        return answers.get(timeout=_ANSWER_LIMIT_S)
    except queue.Empty:
        _LOGGER.debug("the sound server does not answer")
        return []


def _sources(server: Any, pulsectl: Any) -> list[PulseSource]:
    server_default = server.server_info().default_source_name
    wanted = os.environ.get(_VARIABLE, "")
    if wanted in ("", "@DEFAULT_SOURCE@"):
        wanted = server_default
    return [
        PulseSource(
            name=one.name,
            description=one.description or one.name,
            n_channels=_n_channels_apart(one.channel_list),
            rate_hz=getattr(one, "rate_hz", None),
            is_monitor=one.monitor_of_sink != _NO_INDEX,
            is_default=wanted in (one.name, str(one.index)),
        )
        for one in _described(server, pulsectl)
    ]


def _n_channels_apart(positions: Sequence[str]) -> int:
    """How many channels ALSA's device hands over one by one, of a source whose channels have these positions.

    It asks for the usual positions. Where a source has others, such as the numbered channels of an interface
    for studios, the server finds nothing to put there, but makes one channel of all on request.
    """
    n_channels = len(positions)
    is_usual = n_channels in _USUAL_COUNTS and set(positions) == set(_USUAL_POSITIONS[:n_channels])
    return n_channels if is_usual else 1


def _described(server: Any, pulsectl: Any) -> list[Any]:
    """The library's list of sources, each with its rate as `rate_hz`, Hz, where that can be had.

    What the library hands on as `sample_spec` lies in memory that libpulse has already taken back. The rate
    has to be copied before, and there is no public way to do so.
    """
    try:
        bindings = pulsectl.pulsectl.c
        rated = type("RatedSource", (pulsectl.PulseSourceInfo,), {"_init_from_struct": _copy_rate})
        listing = pulsectl.Pulse._pulse_get_list(
            bindings.PA_SOURCE_INFO_CB_T, bindings.pa.context_get_source_info_list, rated
        )
    except (AttributeError, TypeError):
        _LOGGER.debug("this pulsectl does not tell the rates of sources")
        return list(server.source_list())
    return list(listing(server))


def _copy_rate(source: Any, struct: Any) -> None:
    source.rate_hz = float(struct.sample_spec.rate)


def _leads_to_server(device: InputDevice, by_name: dict[str, InputDevice]) -> bool:
    """Whether what is heard through a device of PortAudio's is the server's choice.

    What ALSA's settings make its default device stand for is not told, but it has the limits of that.
    """
    if device.host_api != "ALSA":
        return False
    limits = (device.n_channels_max, device.rate_default_hz)
    servers = [by_name[name] for name in (_PULSE, _PIPEWIRE) if name in by_name]
    return device in servers or (
        device.name == _DEFAULT and limits in [(one.n_channels_max, one.rate_default_hz) for one in servers]
    )
