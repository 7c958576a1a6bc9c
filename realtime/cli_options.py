"""The options and help texts that the commands of breath-live share. Imports nothing heavy."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from realtime.config import Resolved

EPILOG = """\b
Examples:
  breath-live                              watch the microphone
  breath-live --device USB --channel 1     its second channel
  breath-live devices                      list the microphones
  breath-live replay night.wav --frames night-frames.csv --events night.jsonl
  breath-live replay ward/*.flac --events - | jq .event
  breath-live --record night.flac          keep the sound and its labels
  breath-live calibrate                    fit it to this microphone
  breath-live demo --seconds 30            without any microphone

\b
Settings come from flags, then variables (BREATH_HOP_S=0.2), then a TOML file,
then the profile that calibrate made for the microphone, then defaults;
--print-config shows each with its origin, as such a file.

\b
Exit codes:
  0    the sound ended, or --seconds were over
  2    a flag, a variable or the configuration file cannot be used
  3    no such device, one that was lost for good, a file that cannot be heard
  4    the engine or the model pack
  5    labels
  6    a result could not be written
  130  interrupted with Ctrl-C
  143  terminated; 128 + the number of the signal
"""

# Name of the flag of each setting, for the origin in messages and in --print-config.
_FLAGS = {
    "device": "--device",
    "channel": "--channel",
    "reconnect_s": "--reconnect-seconds",
    "hop_s": "--hop",
    "lookahead_s": "--lookahead",
    "breathing.apnoea_s": "--apnoea",
    "engine": "--engine",
    "pack": "--pack",
    "n_threads": "--threads",
    "seconds": "--seconds",
    "pace": "--pace",
    "block_samples": "--block-samples",
    "seed": "--seed",
    "frames": "--frames",
    "events": "--events",
    "breaths": "--breaths",
    "record": "--record",
    "osc": "--osc",
    "osc_prefix": "--osc-prefix",
    "lsl": "--lsl",
    "profile": "--profile/--no-profile",
    "display": "--display/--no-display",
}

_Command = Callable[..., None]

pack_option = click.option(
    "--pack",
    metavar="PATH",
    type=click.Path(),
    help="Folder of a model pack; or one that is shipped: default, for live sound, or clips.  [default]",
)
threads_option = click.option(
    "--threads",
    "n_threads",
    metavar="N",
    help="Threads of one inference; from two on, networks run side by side on a CPU.  [at most two]",
)
channel_option = click.option("--channel", metavar="N", help="Channel, counted from 0.  [the mean of all]")
config_option = click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(),
    help="Read settings from this TOML file.  [breath.toml in the platform's configuration folder]",
)
_MICROPHONE = (
    click.option(
        "--device", metavar="N|NAME", help="Number or part of the name of a microphone.  [the system's]"
    ),
    channel_option,
)
_LISTENING = (
    *_MICROPHONE,
    click.option(
        "--reconnect-seconds",
        "reconnect_s",
        metavar="S",
        help="Wait so long for a microphone that is lost; 0: end at once.  [for ever]",
    ),
    click.option(
        "--profile/--no-profile",
        default=None,
        help="Use what calibrate measured at this microphone, or pass it by.  [use]",
    ),
)
_SHARED = (
    click.option(
        "--hop", "hop_s", metavar="S", help="Seconds from one answer to the next, 0.01 to 1.  [0.1]"
    ),
    click.option(
        "--lookahead",
        "lookahead_s",
        metavar="S",
        help="Decide later, having heard more: seconds, 0 to 1, rounded up to whole hops.  [0]",
    ),
    click.option(
        "--apnoea",
        "apnoea_s",
        metavar="S",
        help="Tell of pauses in which no breath is heard for so long, 2 to 600.  [10]",
    ),
    click.option(
        "--engine",
        type=click.Choice(["auto", "onnxruntime", "openvino", "torch", "tensorrt", "tensorrt-rtx"]),
        help="What runs the networks.  [auto]",
    ),
    pack_option,
    threads_option,
    click.option("--seconds", metavar="S", help="End after so many seconds of sound."),
    click.option(
        "--frames",
        metavar="FILE.csv",
        type=click.Path(),
        help="Write time_s,prob_exhale,phase for every answer; - is stdout.",
    ),
    click.option(
        "--events",
        metavar="FILE.jsonl",
        type=click.Path(),
        help="Write an object for every change of phase, breath, fault of the sound, gap; - is stdout.",
    ),
    click.option(
        "--breaths",
        metavar="FILE.csv",
        type=click.Path(),
        help="Write a row for every complete breath; - is stdout.",
    ),
    click.option(
        "--record",
        metavar="FILE",
        type=click.Path(),
        help="Write the sound, .wav or .flac, and labels beside it; a folder: under the time's name.",
    ),
    click.option(
        "--osc", metavar="HOST:PORT", help="Send OSC messages there; a port alone is this machine's."
    ),
    click.option("--osc-prefix", metavar="/PATH", help="Start of their addresses.  [/breath]"),
    click.option(
        "--lsl", metavar="NAME", help="Offer streams of the Lab Streaming Layer, NAME and NAMEMarkers."
    ),
    click.option(
        "--display/--no-display",
        default=None,
        help="Draw on the terminal, or write a line per change of phase.  [draw]",
    ),
    click.option(
        "--set",
        "assignments",
        metavar="KEY=VALUE",
        multiple=True,
        help="Any setting of --print-config, such as decision.margin=0.3; may be repeated.",
    ),
    config_option,
    click.option("--print-config", is_flag=True, help="Print every setting with its origin, and end."),
)


def live_options(command: _Command) -> _Command:
    """Give a command the options that listening, replaying and the demo share."""
    return _with_options(command, _SHARED)


def microphone_options(command: _Command) -> _Command:
    """Give a command the options that choose a microphone."""
    return _with_options(command, _MICROPHONE)


def listening_options(command: _Command) -> _Command:
    """Give a command `microphone_options`, and those of listening to it for long."""
    return _with_options(command, _LISTENING)


def _with_options(command: _Command, options: Sequence[Callable[[_Command], _Command]]) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command


def resolved_from_params(params: dict[str, Any]) -> "Resolved":
    """The configuration from a command's parameters; those that are None were not given.

    Raises:
        ConfigError: see `realtime.config.resolve`; or an assignment of `--set` is none.
    """
    from engines.errors import ConfigError
    from realtime.config import Given, resolve

    given = {}
    for assignment in params["assignments"]:
        key, separator, value = assignment.partition("=")
        if not separator:
            raise ConfigError(f"--set {assignment}: write KEY=VALUE, such as decision.margin=0.3")
        given[key.strip()] = Given(value.strip(), "--set", is_text=True)
    for key, flag in _FLAGS.items():
        value = params.get(key.rpartition(".")[2])
        if value is not None:
            given[key] = Given(value, flag, is_text=True)
    return resolve(given, params["config_file"])


def is_channel_asked_for(resolved: "Resolved") -> bool:
    """Whether the channel was chosen on the command line, for this very sound, and not for a microphone."""
    return resolved.origins["channel"] in ("--channel", "--set")


def config_unless_printed(params: dict[str, Any], *, has_profile: bool = False) -> "Resolved | None":
    """The configuration from a command's parameters; None: `--print-config` has printed it, and that is all.

    Args:
        params: of the command.
        has_profile: whether what was calibrated for the microphone counts.

    Raises:
        ConfigError: see `resolved_from_params`; or the profile cannot be read.
    """
    resolved = resolved_from_params(params)
    if has_profile:
        from realtime.calibration.profiles import with_profile

        resolved = with_profile(resolved)
    if not params["print_config"]:
        return resolved
    from realtime.config_text import text_from_resolved

    click.echo(text_from_resolved(resolved))
    return None
