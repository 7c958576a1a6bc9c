"""A run of breath-live, from the configuration to the summary."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

from engines.backend import Choice
from engines.errors import ConfigError, DeviceNotFoundError
from engines.pack import Pack, load_pack
from engines.paths import path_from_text
from realtime.audience import open_audience
from realtime.clock import samples_from_seconds
from realtime.config import LiveConfig
from realtime.engine import open_engine
from realtime.facts import Facts
from realtime.onlooker import Onlooker
from realtime.outlets import Outlets, check_recording_stays_apart
from realtime.pipeline import Pipeline
from realtime.resample import check_rate
from realtime.session import Session
from realtime.sinks.base import tap_from_sinks
from realtime.sinks.beginning import Beginning
from realtime.sound.channels import check_channel, meant_channel
from realtime.sound.sources import AudioSource
from realtime.summary import Summary, text_from_summary
from realtime.telling import tell
from realtime.wire import StartMessage
from realtime.writers import Writers, check_targets, is_same_file


def listen(config: LiveConfig, onlooker: Onlooker | None = None) -> None:
    """Listen to the microphone; where there is none, see `why_no_microphone`, to the demo breather.

    Raises:
        BreathError: see `run`; the device is not there, not permitted, or was lost and did not come back.
    """
    from realtime.sound.microphone import MicrophoneOpener
    from realtime.sound.quiet_libraries import quiet_libraries
    from realtime.sound.reconnect import LastingSource

    if reason := why_no_microphone(config):
        demo(config, f"{reason}. Playing the demo breather instead", onlooker)
        return
    opener = MicrophoneOpener(config.device, min_channels=(config.channel or 0) + 1)
    with quiet_libraries():
        source = LastingSource(opener, config.reconnect_s)
        run(config, iter([source]), onlooker=onlooker, tells_start=True)


def why_no_microphone(config: LiveConfig) -> str:
    """Why the demo breather has to be heard instead of a microphone; empty: there is one.

    Raises:
        DeviceNotFoundError: there is none, and what is made up is no substitute: a device was asked for, or
            sound is to be recorded, or phases go to those who cannot know where they come from. (The events
            say it.)
    """
    from realtime.sound.devices import match_device
    from realtime.sound.portaudio import list_devices

    try:
        devices = list_devices()
        if not devices:
            match_device(devices, None)
    except DeviceNotFoundError as error:
        if config.device is not None:
            raise
        outlets = {
            "--frames": config.frames,
            "--breaths": config.breaths,
            "--record": config.record,
            "--osc": config.osc,
            "--lsl": config.lsl,
        }
        taken = [flag for flag, target in outlets.items() if target is not None]
        if taken:
            raise DeviceNotFoundError(
                f"{error}. With {' and '.join(taken)} the demo breather does not take its place unasked; "
                "ask for it with: breath-live demo"
            ) from error
        return str(error)
    return ""


def demo(config: LiveConfig, notice: str = "", onlooker: Onlooker | None = None) -> None:
    """Listen to the demo breather, after telling people the `notice`.

    Raises:
        BreathError: see `run`.
    """
    from realtime.sound.demo import DemoSource

    pace = 1.0 if config.pace is None else config.pace
    source = DemoSource(config.seconds, seed=config.seed, block_samples=config.block_samples, pace=pace)
    # Where a microphone was expected, the events tell that there was none.
    run(config, iter([source]), notice=notice, onlooker=onlooker, tells_start=bool(notice))


def replay(
    config: LiveConfig,
    paths: Sequence[str],
    onlooker: Onlooker | None = None,
    *,
    is_channel_asked_for: bool = False,
) -> None:
    """Hear recordings, one after another, each as if nothing had been heard before.

    Args:
        config: what the user wants.
        paths: of the recordings.
        onlooker: see `run`.
        is_channel_asked_for: whether the channel of `config` was chosen for these recordings. One that was
            chosen for a microphone, in a file or a variable, does not matter to a recording with only one.

    Raises:
        BreathError: see `run`; a file is missing, or holds no sound.
    """
    from realtime.labels import are_labels
    from realtime.sinks.recording import files_of_recording

    for target in filter(None, (config.frames, config.events, config.breaths)):
        for path in paths:
            if is_same_file(target, path):
                raise ConfigError(f"{target} is one of the recordings; writing there would destroy it")
            sound = path_from_text(path)
            # What has no name, such as this folder, is refused when it is opened.
            labels = files_of_recording(sound)[1:] if sound.name else ()
            if any(is_same_file(target, str(file)) and are_labels(file) for file in labels):
                raise ConfigError(
                    f"{target} holds the labels of the recording {path}; name another file, such as "
                    f"{sound.stem}-frames.csv"
                )
    recordings = _recordings(config, paths, is_channel_asked_for=is_channel_asked_for)
    run(config, recordings, paths, onlooker=onlooker)


def run(
    config: LiveConfig,
    sources: Iterator[AudioSource],
    file_names: Sequence[str] = (),
    notice: str = "",
    onlooker: Onlooker | None = None,
    *,
    tells_start: bool = False,
) -> None:
    """Hear each source to its end, and print a summary of each on standard error, however the run ends.

    Args:
        config: what the user wants.
        sources: opened one at a time.
        file_names: of the sources, if they are files; with several, rows and objects name theirs.
        notice: people are told this first.
        onlooker: looks on, beside whoever is in front of the terminal.
        tells_start: whether the events of each source begin with what is heard, and since when.

    Raises:
        ConfigError: a setting that cannot be used.
        AudioError: a source failed.
        EngineError, PackError: the networks cannot be run.
        OutputError: a result could not be written.
        BrokenPipeError: whoever read standard output has left.
    """
    # Of a session that is over only its summary is kept: a server may have any number of them.
    sessions: list[tuple[str, Session | Summary]] = []
    outlets: Outlets | None = None
    asked_for = (config.frames, config.events, config.breaths, config.record, config.osc, config.lsl)
    is_told_elsewhere = onlooker is not None or any(target is not None for target in asked_for)
    onlooker = onlooker or Onlooker()
    controls = onlooker.controls
    try:
        with ExitStack() as stack:
            opened = [] if onlooker.brings_sound else [next(sources)]
            for source in opened:
                stack.callback(source.close)
            check_recording_stays_apart(config)
            is_single = len(file_names) < 2 and not onlooker.brings_sound
            outlets = Outlets(config, stack, is_single=is_single)
            # A recording can wait for whoever reads what is written; live sound cannot.
            is_patient = not all(source.is_live for source in opened)
            check_targets(config, is_heard_once=tells_start)
            pack = load_pack(config.pack)
            notices = [text for text in (notice, why_not_for_live_sound(pack)) if text]
            engine, choice = open_engine(pack, config.engine, config.n_threads)
            stack.enter_context(engine)
            # Opening empties the files: what they held should not be lost for nothing.
            writers = Writers(
                config,
                stack,
                has_file=len(file_names) > 1,
                has_session=onlooker.brings_sound,
                is_patient=is_patient,
            )
            engine.warm_up()
            audience = stack.enter_context(
                open_audience(
                    wants_display=config.display,
                    is_output_taken=writers.has_standard_output,
                    controls=controls,
                    is_patient=is_patient,
                    is_needed=not is_told_elsewhere,
                )
            )
            for source in itertools.chain(opened, sources):
                with source:
                    if controls.is_quitting:
                        break
                    if onlooker.brings_sound:
                        # Asked for before this session, when nobody was heard.
                        controls.take_marks()
                        controls.take_calibration()
                    number = len(sessions) + 1 if onlooker.brings_sound else None
                    facts = _facts(source, config, pack, choice, number)
                    # Written first, then shown: a crash between the two loses nothing that was seen.
                    beginning = Beginning(_start(facts, config, pack, choice)) if tells_start else None
                    sinks = [*writers.sinks(source, number, beginning), audience.sink(facts)]
                    sinks += [*outlets.sinks(), *onlooker.sinks(facts, beginning)]
                    tap = tap_from_sinks(sinks)
                    channel = meant_channel(config.channel, source.n_channels, is_asked_for=False)
                    settings = replace(config.pipeline, channel=channel)
                    pipeline = Pipeline(source, engine, pack.manifest, settings, tap)
                    if not sessions:
                        for text, sink in itertools.product(notices, sinks):
                            sink.notice(text)
                    session = Session(source, pipeline, sinks, config.seconds, channel, controls)
                    sessions.append((source.name, session))
                    sessions[-1] = (source.name, session.run())
    except BrokenPipeError:
        raise
    except BaseException:
        _print_summaries(sessions, outlets)
        raise
    _print_summaries(sessions, outlets)


def why_not_for_live_sound(pack: Pack) -> str:
    """What is to be expected of a pack of clips where sound goes on; empty: it is one for live sound."""
    if any(network.n_outputs > 1 for network in pack.manifest.networks):
        return ""
    return (
        f"pack {pack.manifest.name} has only learned clips that each hold one phase: in a stream it may take "
        "each phase for the other. Leave --pack out, or train one for live sound: breath-offline train --live"
    )


def _facts(source: AudioSource, config: LiveConfig, pack: Pack, choice: Choice, session: int | None) -> Facts:
    return Facts(
        source=source.name,
        engine=choice.name,
        engine_reason=choice.reason,
        pack=pack.manifest.name,
        hop_samples=samples_from_seconds(config.hop_s),
        is_live=source.is_live,
        session=session,
    )


def _start(facts: Facts, config: LiveConfig, pack: Pack, choice: Choice) -> StartMessage:
    return StartMessage(
        source=facts.source,
        started_at="",
        pack=facts.pack,
        pack_sha256=pack.sha256,
        engine=choice.name,
        hop_s=config.hop_s,
        lookahead_s=config.pipeline.lookahead_s,
    )


def _recordings(
    config: LiveConfig, paths: Sequence[str], *, is_channel_asked_for: bool
) -> Iterator[AudioSource]:
    from realtime.sound.files import FileSource

    # A slip in the last of many names should not wait until its turn comes.
    for path in paths:
        with FileSource(path) as source:
            check_rate(source.rate_hz, source.name)
            channel = meant_channel(config.channel, source.n_channels, is_asked_for=is_channel_asked_for)
            check_channel(channel, source.n_channels, source.name)
    for path in paths:
        yield FileSource(path, block_samples=config.block_samples, pace=config.pace)


def _print_summaries(sessions: Sequence[tuple[str, Session | Summary]], outlets: Outlets | None) -> None:
    for name, said in sessions:
        summary = said.summary() if isinstance(said, Session) else said
        tell(text_from_summary(name, summary))
    for line in outlets.losses() if outlets else ():
        tell(line)
