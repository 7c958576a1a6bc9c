"""breath-live: breath phases from a microphone, a recording or the demo breather."""

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engines.paths import is_there
from realtime.cli_errors import BreathGroup
from realtime.cli_examples import LIVE_EXAMPLES, add_examples
from realtime.cli_options import (
    EPILOG,
    channel_option,
    config_option,
    config_unless_printed,
    is_channel_asked_for,
    listening_options,
    live_options,
    microphone_options,
    pack_option,
    resolved_from_params,
)
from realtime.completion import completion_command
from realtime.doctor.command import doctor
from realtime.serve.options import serve

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


DEFAULT_COMMAND = "listen"
_GROUP_OPTIONS = ("--help", "-h", "--version")


class ListeningGroup(BreathGroup):
    """Listens when no command is named: options without a command are those of `listen`."""

    # So that the terminal is given back and files are closed.
    signals = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command where none is named."""
        # While a shell completes, no word at all may still become a command.
        is_unnamed = not ctx.resilient_parsing if not args else args[0].startswith("-")
        if is_unnamed and not set(args[:1]) & set(_GROUP_OPTIONS):
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
        """Commands, and the options of listening too, as they need no command."""
        listening = self.commands[DEFAULT_COMMAND]
        with click.Context(listening, parent=ctx, resilient_parsing=True) as below:
            options = listening.shell_complete(below, incomplete) if incomplete.startswith("-") else []
        own = super().shell_complete(ctx, incomplete)
        return own + [item for item in options if item.value not in {known.value for known in own}]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say what may have been meant."""
        name = args[0]
        if self.get_command(ctx, name) is None:
            hint = ""
            if is_there(Path(name)):
                hint = f" To hear a recording: breath-live replay {name}"
            elif close := difflib.get_close_matches(name, self.commands, n=1):
                hint = f" Did you mean {close[0]!r}?"
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the options of listening too, as they need no command."""
        super().format_options(ctx, formatter)
        listening = self.commands[DEFAULT_COMMAND]
        with click.Context(listening, parent=ctx) as below:
            records = [option.get_help_record(below) for option in listening.get_params(below)]
        with formatter.section("Options of listening"):
            formatter.write_dl([record for record in records if record and "--help" not in record[0]])


def _print_version(ctx: click.Context, parameter: click.Parameter, is_wanted: bool) -> None:
    if not is_wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"breath-live {version('breath')}")
    except PackageNotFoundError:
        click.echo("breath-live, not installed: run from its source")
    ctx.exit()


@click.group(
    "breath-live",
    cls=ListeningGroup,
    subcommand_metavar="[COMMAND] [OPTIONS] [ARGS]...",
    options_metavar="",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and end.",
)
def cli() -> None:
    """Hear a breath, and tell inhalation from exhalation while it happens.

    Without a command it listens to the microphone, draws what it hears, and ends with Ctrl-C and a
    summary. Where there is no microphone it says so and plays a synthetic breather instead, unless that
    would be recorded or sent (--record, --osc, --lsl), or written where nothing says so (--frames,
    --breaths).

    Where the output is not a terminal there is one line per change of phase; --frames and --events write
    for programs. The first answer comes after one second of sound.
    """


cli.add_command(doctor)
cli.add_command(serve)
cli.add_command(completion_command(cli, "breath-live"))


@cli.command(short_help="Listen to a microphone (what happens without a command).")
@listening_options
@live_options
def listen(**params: Any) -> None:
    """Listen to a microphone (this is what happens without a command)."""
    if (resolved := config_unless_printed(params, has_profile=True)) is not None:
        from realtime import live

        live.listen(resolved.config)


@cli.command(short_help="Hear recordings as if they were live.")
@click.argument("files", metavar="FILE...", type=click.Path(), nargs=-1)
@click.option("--pace", metavar="X", help="1 is real time, 0 as fast as possible.  [0]")
@click.option("--block-samples", metavar="N", help="Samples read at a time; changes no result.  [20 ms]")
@channel_option
@live_options
def replay(files: tuple[str, ...], **params: Any) -> None:
    """Hear recordings as if they were live, one after another.

    WAV, FLAC, OGG, MP3 and whatever else libsndfile reads, any rate, any channels; a file that was cut
    off is heard as far as it goes. With several files, each starts anew, and the rows of --frames and the
    objects of --events name theirs in a further column or key, file.
    """
    if not files and not params["print_config"]:
        raise click.UsageError("missing argument 'FILE...'")

    if (resolved := config_unless_printed(params)) is not None:
        from realtime import live

        live.replay(resolved.config, files, is_channel_asked_for=is_channel_asked_for(resolved))


@cli.command(short_help="Listen to a synthetic breather.")
@click.option("--seed", metavar="N", help="Another number, another breather.  [0]")
@click.option("--pace", metavar="X", help="1 is real time, 0 as fast as possible.  [1]")
@live_options
def demo(**params: Any) -> None:
    """Listen to a synthetic breather, to see everything work without a microphone."""
    if (resolved := config_unless_printed(params)) is not None:
        from realtime import live

        live.demo(resolved.config)


@cli.command(short_help="Fit the levels to a microphone, in ten seconds.")
@microphone_options
@pack_option
@config_option
def calibrate(**params: Any) -> None:
    """Fit the levels to a microphone: four quiet seconds, then six of breathing.

    Measures the noise and the breath, sets the level at which breath begins (presence.gate_dbfs) between
    the two, and keeps it in a profile under the name of the device. Listening to that device uses it,
    unless a flag, a variable or the configuration file says something else; --no-profile passes it by.
    """
    from realtime.calibration.command import calibrate_microphone

    calibrate_microphone(resolved_from_params({**params, "assignments": ()}))


@cli.command(short_help="List the microphones.")
def devices() -> None:
    """List the microphones; --device takes their numbers, or parts of their names."""
    from realtime.sound.device_table import print_devices
    from realtime.sound.portaudio import list_devices, rates_of_device
    from realtime.sound.quiet_libraries import quiet_libraries

    with quiet_libraries():
        found = list_devices()
        rates_hz = {device.index: rates_of_device(device) for device in found}
    print_devices(found, rates_hz)


add_examples(cli, LIVE_EXAMPLES)


def main() -> None:
    """Entry point of the console script."""
    cli(prog_name="breath-live")


if __name__ == "__main__":
    main()
