"""Lab Streaming Layer: a regular stream of what is heard, and one of markers, stamped at the sample."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engines.contract import RATE_HZ
from engines.errors import ConfigError
from engines.installing import install_extra
from realtime.events import Gap, Mark, Report
from realtime.intake import Heard
from realtime.pipeline import UNHEARD, Step
from realtime.sinks import arrival_clock
from realtime.sinks.arrival_clock import ArrivalClock
from realtime.sinks.base import Sink, Status
from realtime.sinks.queued import QueuedOutlet

CHANNELS = (("prob_exhale", "0..1"), ("confidence", "0..1"), ("level", "dBFS"))
MARKERS_SUFFIX = "Markers"
GAP_MARKER = "gap"
MARK_MARKER = "mark"
_STAMPS = (
    "LSL clock when the newest sample of the window reached this program; the delay of the sound card and "
    "its driver is not taken off"
)


@dataclass(frozen=True)
class Stamped:
    """One sample of one of the two streams: the three values, or a marker; seconds on LSL's clock."""

    content: tuple[float, float, float] | str
    time_s: float


class LslSender:
    """The two streams, which the network finds by `name`, and by `name` + `Markers`.

    Their source ids depend on the name and this machine alone: receivers find them again after a restart.

    Args:
        name: of the stream.
        hop_samples: distance of two answers, samples at 16 kHz.

    Raises:
        ConfigError: pylsl or the library it needs is not there, or the streams cannot be opened.
    """

    def __init__(self, name: str, hop_samples: int) -> None:
        lsl = lsl_library()
        self.name = f"lsl {name}"
        source_id = f"breath:{socket.gethostname()}:{name}"
        signal = lsl.StreamInfo(
            name, "Breath", len(CHANNELS), RATE_HZ / hop_samples, lsl.cf_float32, f"{source_id}:signal"
        )
        signal.set_channel_labels([label for label, _ in CHANNELS])
        signal.set_channel_units([unit for _, unit in CHANNELS])
        markers_name = name + MARKERS_SUFFIX
        markers = lsl.StreamInfo(
            markers_name, "Markers", 1, lsl.IRREGULAR_RATE, lsl.cf_string, f"{source_id}:markers"
        )
        for info in (signal, markers):
            about = info.desc().append_child("synchronization")
            about.append_child_value("stamps", _STAMPS)
        try:
            self._signal = lsl.StreamOutlet(signal)
            self._markers = lsl.StreamOutlet(markers)
        except RuntimeError as error:
            raise ConfigError(
                f"lsl: the streams of {name!r} cannot be opened ({error}); does this machine have a network?"
            ) from error

    def send(self, item: Stamped) -> None:
        """Hand a sample to LSL."""
        if isinstance(item.content, str):
            self._markers.push_sample([item.content], item.time_s)
        else:
            self._signal.push_sample(list(item.content), item.time_s)

    def close(self) -> None:
        """Let the streams disappear from the network."""
        del self._signal, self._markers


class LslSink(Sink):
    """Sends every answer, and a marker where each phase began: `inhale`, `exhale`, `none`.

    `gap` stands where sound began to be missing, `mark` where somebody pressed the key for it.

    An answer is stamped with the time of the newest sample it is made from, a marker with that of its onset,
    which lies before the moment of sending; see `ArrivalClock` for how, and how well, time is known. Sound
    that is lost leaves a hole in the regular stream: no values are made up for it. A recording that is
    replayed faster than real time is stamped with the times of its reading.

    Args:
        outlet: where to; it is left open, so that several sessions can send to it.
        clock_s: LSL's clock.
    """

    def __init__(self, outlet: QueuedOutlet[Stamped], clock_s: Callable[[], float]) -> None:
        self._outlet = outlet
        self._clock_s = clock_s
        self._clock = ArrivalClock.initial()

    def hear(self, heard: Heard) -> None:
        """See `Sink`."""
        self._clock = arrival_clock.advance(self._clock, heard.newest_sample, self._clock_s())

    def show(self, step: Step, status: Status) -> None:
        """See `Sink`."""
        frame = step.frame
        values = (frame.prob_exhale, frame.confidence, frame.level_dbfs)
        self._outlet.put(Stamped(values, self._clock.time_s(frame.end_sample)))
        if step.event is not None:
            self._outlet.put(Stamped(step.event.phase.value, self._clock.time_s(step.event.onset_sample)))

    def report(self, event: Report) -> None:
        """See `Sink`. After sound that never came the two clocks may stand differently: time begins anew."""
        if isinstance(event, Mark) and self._clock.smallest:
            self._outlet.put(Stamped(MARK_MARKER, self._clock.time_s(event.sample)))
        if isinstance(event, Gap):
            if self._clock.smallest:
                self._outlet.put(Stamped(GAP_MARKER, self._clock.time_s(event.from_sample)))
            # Of sound that came too late to be looked at, the time is known.
            if event.reason != UNHEARD:
                self._clock = ArrivalClock.initial()

    def take_notices(self) -> list[str]:
        """What people should know about the streams."""
        return self._outlet.take_notices()


def lsl_library() -> Any:
    """The module pylsl.

    Raises:
        ConfigError: it is not installed, or does not find the library it is made for.
    """
    try:
        import pylsl
    except ImportError as error:
        raise ConfigError(f"lsl needs the package pylsl: {install_extra('lsl')}") from error
    except (RuntimeError, OSError) as error:
        raise ConfigError(
            "lsl: pylsl is installed, but not liblsl, the library behind it; get it with "
            "'conda install -c conda-forge liblsl', with 'brew install labstreaminglayer/tap/lsl', or from "
            "https://github.com/sccn/liblsl/releases and name the file in the variable PYLSL_LIB"
        ) from error
    return pylsl
