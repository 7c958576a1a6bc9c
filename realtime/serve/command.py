"""A run of `breath-live serve`: the server beside a live path like any other."""

from dataclasses import replace
from typing import TYPE_CHECKING

from engines.errors import ConfigError
from engines.installing import install_extra
from realtime import live
from realtime.config import LiveConfig
from realtime.controls import Controls
from realtime.onlooker import Onlooker
from realtime.serve.desk import Desk
from realtime.serve.doorkeeper import doorkeeper_for
from realtime.serve.host import Host
from realtime.serve.hub import Hub
from realtime.serve.hub_sink import HubSink
from realtime.serve.options import BROWSER, DEMO, MICROPHONE, ServeOptions
from realtime.telling import tell

if TYPE_CHECKING:
    from realtime.serve.server import Server


def run_server(config: LiveConfig, options: ServeOptions) -> None:
    """Serve until the sound ends, or for ever.

    Raises:
        ConfigError: the port is taken, the token cannot be used, or aiohttp is not installed.
        BreathError: see `live.run`.
    """
    try:
        from realtime.serve.server import Server
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        raise ConfigError(f"serve needs aiohttp, which is not installed: {install_extra('serve')}") from error

    if options.source not in (MICROPHONE, BROWSER, DEMO):
        from realtime.sound.files import FileSource

        # Nobody should be given an address that shows a file which cannot be heard.
        FileSource(options.source).close()
    if options.source == BROWSER and config.record:
        raise ConfigError(
            "--record and --source browser do not go together: one session may follow another; record in the "
            "browser, or on the machine with the microphone"
        )
    doorkeeper = doorkeeper_for(options.host, options.token, options.allowed_hosts, options.allowed_origins)
    desk = Desk() if options.source == BROWSER else None
    is_made_up = options.source == MICROPHONE and live.why_no_microphone(config) != ""
    listens_to = _words_for(DEMO if is_made_up else options.source)
    hub = Hub(_about(config, options, listens_to))
    onlooker = Onlooker(
        lambda facts, beginning: [HubSink(hub, facts, beginning)], Controls(), brings_sound=desk is not None
    )
    host = Host(hub, doorkeeper, desk, listens_to, onlooker.controls)
    server = Server(host, options.host, options.port)
    with server:
        _print_address(server, listens_to)
        if desk is not None:
            sources = desk.sources(lambda: onlooker.controls.is_quitting)
            live.run(config, sources, onlooker=onlooker, tells_start=True)
        elif options.source == MICROPHONE:
            live.listen(config, onlooker=onlooker)
        elif options.source == DEMO:
            live.demo(config, onlooker=onlooker)
        else:
            recording = replace(config, pace=1.0 if config.pace is None else config.pace)
            is_asked_for = options.is_channel_asked_for
            live.replay(recording, [options.source], onlooker, is_channel_asked_for=is_asked_for)


def _print_address(server: "Server", listens_to: str) -> None:
    tell(f"breath-live: {server.url} shows {listens_to}; Ctrl-C ends")
    if server.url_by_number:
        tell(f"breath-live: where that name is not known: {server.url_by_number}")
    if not server.is_for_this_machine_only:
        tell(
            "breath-live: other machines can connect, with the token; nothing is encrypted, and browsers "
            "lend their microphone only to https or to this machine itself"
        )


def _about(config: LiveConfig, options: ServeOptions, listens_to: str) -> dict[str, object]:
    from importlib.metadata import PackageNotFoundError, version

    from engines.contract import RATE_HZ
    from realtime.serve import bands
    from realtime.wire import SCHEMA_VERSION

    try:
        own_version = version("breath")
    except PackageNotFoundError:
        own_version = ""
    kind = options.source if options.source in (MICROPHONE, BROWSER, DEMO) else "file"
    return {
        "version": own_version,
        "schema_version": SCHEMA_VERSION,
        "source_kind": kind,
        "listens_to": listens_to,
        "rate_hz": RATE_HZ,
        "settings": {
            "hop_s": config.hop_s,
            "wave_pair_s": bands.PAIR_S,
            "spectrum_bands": bands.N_BANDS,
            "spectrum_low_hz": bands.LOWEST_HZ,
            "spectrum_high_hz": bands.HIGHEST_HZ,
        },
    }


def _words_for(source: str) -> str:
    words = {MICROPHONE: "the microphone", BROWSER: "a browser's microphone", DEMO: "the demo breather"}
    return words.get(source, source)
