"""What leaves a run beside rows and events: a recording, and the network."""

import datetime
from contextlib import ExitStack
from typing import Any

from engines.errors import ConfigError
from engines.paths import path_from_text
from realtime.clock import samples_from_seconds
from realtime.config import LiveConfig
from realtime.sinks.base import Sink
from realtime.sinks.output import STANDARD_OUTPUT
from realtime.sinks.queued import QueuedOutlet


class Outlets:
    """The outlets of a run, opened when created; they last for all its sessions.

    Args:
        config: what the user wants.
        stack: closes them.
        is_single: whether there will be one session only.

    Raises:
        ConfigError: a recording cannot be made of this, or what an outlet needs is not installed.
        OutputError: the recording cannot be written.
    """

    def __init__(self, config: LiveConfig, stack: ExitStack, *, is_single: bool) -> None:
        self._queued: list[QueuedOutlet[Any]] = []
        self._osc = self._opened_osc(config, stack) if config.osc is not None else None
        self._lsl = self._opened_lsl(config, stack) if config.lsl else None
        # Last, because nothing else should leave empty files behind.
        self._recording = _opened_recording(config, stack, is_single=is_single) if config.record else None

    def sinks(self) -> list[Sink]:
        """Sinks for one session."""
        sinks: list[Sink] = []
        if self._osc is not None:
            from realtime.sinks.osc import OscSink

            sinks.append(OscSink(self._osc))
        if self._lsl is not None:
            from realtime.sinks.lsl import LslSink, lsl_library

            sinks.append(LslSink(self._lsl, lsl_library().local_clock))
        if self._recording is not None:
            sinks.append(self._recording)
        return sinks

    def losses(self) -> list[str]:
        """A line for each outlet that could not send everything."""
        return [
            f"{queued.name}: {queued.n_dropped} updates not sent"
            for queued in self._queued
            if queued.n_dropped
        ]

    def _opened_osc(self, config: LiveConfig, stack: ExitStack) -> "QueuedOutlet[Any]":
        from realtime.sinks.osc import OscSender, OscTarget

        assert config.osc is not None
        return self._queue(OscSender(OscTarget.from_text(config.osc), config.osc_prefix), stack)

    def _opened_lsl(self, config: LiveConfig, stack: ExitStack) -> "QueuedOutlet[Any]":
        from realtime.sinks.lsl import LslSender
        from realtime.sound.quiet_libraries import quiet_libraries

        assert config.lsl is not None
        # liblsl tells of its every step on standard error.
        stack.enter_context(quiet_libraries())
        return self._queue(LslSender(config.lsl, samples_from_seconds(config.hop_s)), stack)

    def _queue(self, sender: Any, stack: ExitStack) -> "QueuedOutlet[Any]":
        queued: QueuedOutlet[Any] = QueuedOutlet(sender)
        stack.callback(queued.close)
        self._queued.append(queued)
        return queued


def check_recording_stays_apart(config: LiveConfig) -> None:
    """Refuse a recording whose files others write to as well.

    Raises:
        ConfigError: see above.
    """
    from realtime.sinks.recording import files_of_recording, recording_path

    if not config.record:
        return
    files = {file.resolve() for file in files_of_recording(recording_path(config.record, _now()))}
    for target in (config.frames, config.events, config.breaths):
        if target and target != STANDARD_OUTPUT and path_from_text(target).resolve() in files:
            raise ConfigError(f"{target} belongs to the recording {config.record}; name another file")


def _opened_recording(config: LiveConfig, stack: ExitStack, *, is_single: bool) -> Sink:
    from realtime.sinks.recording import RecordingSink, recording_path

    assert config.record is not None
    if not is_single:
        raise ConfigError(
            "record: what is heard one after another cannot be recorded as one; replay recordings one by "
            "one, and leave --record out where browsers bring their microphones"
        )
    sink = RecordingSink(recording_path(config.record, _now()))
    stack.callback(sink.close)
    return sink


def _now() -> datetime.datetime:
    return datetime.datetime.now().astimezone()
