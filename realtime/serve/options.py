"""The command `serve` of breath-live. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Any

import click

from realtime.cli_options import (
    config_unless_printed,
    is_channel_asked_for,
    listening_options,
    live_options,
)

DEFAULT_PORT = 8765
MICROPHONE = "microphone"
BROWSER = "browser"
DEMO = "demo"


@dataclass(frozen=True)
class ServeOptions:
    """What `serve` is told beside the settings of the live path.

    Attributes:
        host: name or address to listen at.
        port: 0: any free one.
        token: clients have to give it; None: one is made where other machines can connect.
        source: `microphone`, `browser`, `demo`, or the path of a recording.
        allowed_hosts: further names under which browsers may call the server.
        allowed_origins: of pages of other sites that may call it.
        is_channel_asked_for: see `live.replay`.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    token: str | None = None
    source: str = MICROPHONE
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    is_channel_asked_for: bool = False


@click.command("serve", short_help="Show everything on a web page, and to programs over HTTP.")
@click.option("--host", default=ServeOptions.host, metavar="HOST", help="Listen here.  [127.0.0.1]")
@click.option(
    "--port",
    default=DEFAULT_PORT,
    type=click.IntRange(0, 65535),
    metavar="N",
    help=f"Listen at this port; 0: any free one.  [{DEFAULT_PORT}]",
)
@click.option(
    "--token",
    envvar="BREATH_SERVE_TOKEN",
    metavar="TOKEN",
    help="Who connects has to give it.  [none on 127.0.0.1; elsewhere one is made and printed]",
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    help="A further name of this server, such as that of a proxy, whose https pages are then taken for its "
    "own; may be repeated.",
)
@click.option(
    "--allow-origin",
    "allowed_origins",
    metavar="ORIGIN",
    multiple=True,
    help="Pages from there may connect too, such as http://localhost:5173; may be repeated.",
)
@click.option(
    "--source",
    default=MICROPHONE,
    metavar="SOURCE",
    help="microphone, browser (the page's own microphone), demo, or a recording.  [microphone]",
)
@listening_options
@click.option("--seed", metavar="N", help="Of the demo breather.  [0]")
@click.option("--pace", metavar="X", help="Of demo and recordings: 1 is real time.  [1]")
@click.option("--block-samples", metavar="N", help="Samples read at a time; changes no result.  [20 ms]")
@live_options
def serve(
    host: str,
    port: int,
    token: str | None,
    allowed_hosts: tuple[str, ...],
    allowed_origins: tuple[str, ...],
    source: str,
    **params: Any,
) -> None:
    """Show everything on a web page, and to programs over HTTP.

    The address is printed; open it in a browser. The page shows phase, sound and breaths as they come, and
    with --source browser it listens with the microphone of whoever opens it. Programs read /api/status,
    /api/events (a JSON object a line) and the WebSocket /ws.

    Only this machine can connect, unless --host says otherwise; then a token is needed, which stands in the
    printed address. There is no encryption: elsewhere than in a network you trust, put a proxy before it.
    """
    if params["display"] is None:
        # The page is the display; a line per change of phase stays.
        params["display"] = False
    resolved = config_unless_printed(params, has_profile=source == MICROPHONE)
    if resolved is None:
        return
    from realtime.serve.command import run_server

    is_asked_for = is_channel_asked_for(resolved)
    options = ServeOptions(host, port, token, source, allowed_hosts, allowed_origins, is_asked_for)
    run_server(resolved.config, options)
