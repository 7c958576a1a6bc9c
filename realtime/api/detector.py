"""Breath phases in five lines of Python: the way in for programs."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from engines.closing import Closing
from engines.errors import ConfigError
from engines.pack import load_pack
from engines.paths import path_from_text
from realtime.api.listening import Listening
from realtime.api.pushing import Stream
from realtime.api.shared_engine import SharedEngine
from realtime.config import Given, LiveConfig, resolve
from realtime.engine import open_engine
from realtime.pipeline import Pipeline, PipelineSettings
from realtime.session import Session
from realtime.sinks.collector import Callback, Collector, check_callback
from realtime.sound.channels import meant_channel
from realtime.sound.sources import AudioSource

T = TypeVar("T")

# What to hear, and where to write it.
_OF_THE_COMMAND_LINE = {
    *("seconds", "pace", "seed", "profile", "display"),
    *("frames", "events", "breaths", "record", "osc", "osc_prefix", "lsl"),
}


class Detector(Closing):
    """Tells inhalation from exhalation: the live path of `breath-live`, for programs.

        with Detector() as detector:
            for event in detector.microphone():
                print(event)

    Created ready: the pack is loaded, the engine open and warm. One detector can hear any number of sources
    and streams, each on one thread at a time; they wait for each other at the engine. Notices (a lost
    microphone, a recording that is cut off) are logged as warnings below the logger `realtime`.

    Args:
        pack: folder of a model pack, or the name of a shipped one, `default` or `clips`; None: that of
            `config_file`, or `default`.
        engine: `auto`, `onnxruntime`, `openvino`, `torch`, `tensorrt` or `tensorrt-rtx`; None: that of
            `config_file`, or `auto`.
        hop_s: distance of two answers, seconds, 0.01 to 1.
        channel: of the sound that is listened to, counted from 0; None: that of `config_file` where there are
            several, or the mean of all.
        n_threads: threads of one inference; None: the engine's own choice.
        settings: any other setting of `breath-live --print-config` by its dotted name, such as
            `{"presence.gate_dbfs": -50}`; they go before those of `config_file`.
        config_file: a TOML file as for `breath-live --config`. None: none is read; nor are `BREATH_...`
            variables, so a program is not changed by what its user has set for the command.

    Attributes:
        choice: which engine runs, and why.

    Raises:
        ConfigError: a setting that is none, or out of its range.
        PackError, EngineError: the networks cannot be run.
    """

    def __init__(
        self,
        *,
        pack: str | PathLike[str] | None = None,
        engine: str | None = None,
        hop_s: float | None = None,
        channel: int | None = None,
        n_threads: int | None = None,
        settings: Mapping[str, object] | None = None,
        config_file: str | PathLike[str] | None = None,
    ) -> None:
        if not isinstance(pack, str | PathLike | None):
            raise ConfigError(f"pack must be a folder or the name of a shipped pack, not {pack!r}")
        if settings is not None and not isinstance(settings, Mapping):
            raise ConfigError(f"settings must be a dictionary by dotted names, not {settings!r}")
        # A path is always that of a folder, also if it reads like the name of a shipped pack.
        location = pack if isinstance(pack, str | None) else str(path_from_text(pack).absolute())
        wanted: dict[str, object] = {
            "pack": location,
            "engine": engine,
            "hop_s": hop_s,
            "channel": channel,
            "n_threads": n_threads,
        }
        if foreign := sorted(_OF_THE_COMMAND_LINE & (settings or {}).keys()):
            raise ConfigError(
                f"settings: {', '.join(foreign)} can be told to breath-live only; here your own loop, and "
                "the arguments of microphone, file and stream, take their place"
            )
        given = {
            key: Given(_plain(value), f"settings of the detector, {key}")
            for key, value in (settings or {}).items()
        }
        given |= {
            key: Given(_plain(value), f"Detector({key}=...)")
            for key, value in wanted.items()
            if value is not None
        }
        self._is_channel_asked_for = "channel" in given
        file = os.devnull if config_file is None else Path(config_file)
        self._config = resolve(given, file, environment={}).config
        self._pack = load_pack(self._config.pack)
        opened, self.choice = open_engine(self._pack, self._config.engine, self._config.n_threads)
        self._engine = SharedEngine(opened)
        self._callbacks: list[tuple[type[Any], Callback]] = []
        self._listenings: list[Listening] = []
        try:
            self._engine.warm_up()
        except BaseException:
            self._engine.close()
            raise

    @property
    def config(self) -> LiveConfig:
        """Every setting that is in force."""
        return self._config

    def microphone(
        self,
        device: int | str | None = None,
        *,
        seconds: float | None = None,
        reconnect_s: float | None = None,
        with_frames: bool = False,
    ) -> Listening:
        """Listen to a microphone, until it is stopped; one that is unplugged is heard again when it is back.

        Where the consumer falls behind, windows are skipped, never delayed; by more than a second, that is a
        `Gap`.

        Args:
            device: its number or a part of its name; None: the setting `device`, or the system's default.
            seconds: end after so much sound, seconds; None: never.
            reconnect_s: wait so long for a microphone that is lost, seconds; 0: not at all; None: the setting
                `reconnect_s`, or for ever.
            with_frames: give the frames too, one a hop, each before the event that it brings.

        Raises:
            DeviceNotFoundError: there is none, or PortAudio is missing.
            AudioError: it is busy, not permitted, or cannot be opened.
        """
        from realtime.sound.microphone import MicrophoneOpener
        from realtime.sound.reconnect import LastingSource

        query = self._config.device if device is None else device
        wait_s = self._config.reconnect_s if reconnect_s is None else reconnect_s
        opener = MicrophoneOpener(query, min_channels=(self._config.channel or 0) + 1)
        return self._listening(LastingSource(opener, wait_s), seconds, with_frames)

    def file(
        self,
        path: str | PathLike[str],
        *,
        seconds: float | None = None,
        pace: float | None = None,
        with_frames: bool = False,
    ) -> Listening:
        """Hear a recording as if it were live: what `breath-live replay` hears.

        Args:
            path: WAV, FLAC, OGG, MP3 and whatever else libsndfile reads, any rate, any channels.
            seconds: end after so much sound, seconds; None: at its end.
            pace: stream seconds per second; 1 is real time; None or 0: as fast as possible.
            with_frames: see `microphone`.

        Raises:
            AudioFileError: it is missing, unreadable, or holds no sound.
            ConfigError: there is no such channel, or the pace is impossible.
            RateUnsupportedError: its rate cannot be used.
        """
        from realtime.sound.files import FileSource

        if not isinstance(path, str | PathLike):
            raise ConfigError(f"path must be that of a recording, not {path!r}")
        if pace is not None:
            _check_number("pace", pace)
        block_samples = self._config.block_samples
        source = FileSource(path_from_text(path), block_samples=block_samples, pace=pace)
        return self._listening(source, seconds, with_frames)

    def demo(
        self,
        seconds: float | None = None,
        *,
        seed: int = 0,
        pace: float = 1.0,
        with_frames: bool = False,
    ) -> Listening:
        """Listen to a synthetic breather, to try a program without a microphone.

        Args:
            seconds: how long; None: for ever.
            seed: another number, another breather.
            pace: see `file`.
            with_frames: see `microphone`.

        Raises:
            ConfigError: an argument cannot be used.
        """
        from realtime.sound.demo import DemoSource

        _check_seconds(seconds)
        if pace is not None:
            _check_number("pace", pace)
        if not isinstance(_plain(seed), int) or seed < 0:
            raise ConfigError(f"seed must be a whole number, 0 or more, not {seed!r}")
        return self._listening(DemoSource(seconds, seed=seed, pace=pace), None, with_frames)

    def stream(self, rate_hz: int, n_channels: int = 1, *, with_frames: bool = False) -> Stream:
        """A stream whose sound the program hands over, as arrays of any length.

        Args:
            rate_hz: sampling rate of the arrays, Hz, 4000 to 384000.
            n_channels: channels of the arrays.
            with_frames: see `microphone`.

        Raises:
            ConfigError: there is no such channel.
            RateUnsupportedError: the rate cannot be used.
        """
        collector = Collector(self._callbacks, with_frames=with_frames)
        settings = self._settings_for(n_channels)
        return Stream(self._engine, self._pack, settings, rate_hz, n_channels, collector)

    def on(self, kind: type[T], callback: Callable[[T], object]) -> Callable[[], None]:
        """Call back with every object of a kind, from whatever is heard, at the moment it is known.

        Called on the thread that listens, before the iteration gives the object; it must be quick. Its
        exceptions end the listening and reach the caller.

        Args:
            kind: `PhaseEvent`, `Breath`, `Apnoea`, `Health`, `Gap`, or `Frame`, asked for or not.
            callback: called with the object.

        Returns:
            A function that ends it.
        """
        check_callback(kind, callback)
        entry = (kind, callback)
        self._callbacks.append(entry)

        def end() -> None:
            if entry in self._callbacks:
                self._callbacks.remove(entry)

        return end

    def close(self) -> None:
        """Close the engine and every source that is still open; again is fine."""
        for listening in tuple(self._listenings):
            listening.close()
        self._engine.close()

    def _settings_for(self, n_channels: int) -> PipelineSettings:
        """With the channel that is meant, see `meant_channel`."""
        is_asked_for = self._is_channel_asked_for
        channel = meant_channel(self._config.channel, n_channels, is_asked_for=is_asked_for)
        return replace(self._config.pipeline, channel=channel)

    def _listening(self, source: AudioSource, seconds: float | None, with_frames: bool) -> Listening:
        collector = Collector(self._callbacks, with_frames=with_frames)
        try:
            _check_seconds(seconds)
            settings = self._settings_for(source.n_channels)
            pipeline = Pipeline(source, self._engine, self._pack.manifest, settings)
        except BaseException:
            source.close()
            raise
        session = Session(source, pipeline, [collector], seconds, settings.channel)
        listening = Listening(source, session, collector, self._listenings.remove)
        self._listenings.append(listening)
        return listening


def _check_seconds(seconds: float | None) -> None:
    if seconds is None:
        return
    _check_number("seconds", seconds)
    if not (math.isfinite(seconds) and seconds > 0):
        raise ConfigError(f"seconds must be a number above 0, or None, not {seconds}")


def _check_number(name: str, value: object) -> None:
    if not isinstance(_plain(value), int | float):
        raise ConfigError(f"{name} must be a number, not {value!r}")


def _plain(value: object) -> object:
    """A number of numpy's as Python's own; without importing numpy, which may not be there yet."""
    return value.item() if hasattr(value, "item") else value
