"""The flags of `breath-offline train` that say how the networks are trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from engines.ensemble import WeightMethod
from engines.errors import ConfigError
from offline.training.live_settings import KINDS, LiveSettings
from offline.training.settings import Precision, TrainSettings

_AT_LEAST_1 = click.IntRange(min=1)

_OPTIONS = (
    ("--epochs", _AT_LEAST_1, "At most this many passes over the clips."),
    ("--patience", _AT_LEAST_1, "Stop after this many epochs without a better validation AUC."),
    ("--batch-size", click.IntRange(min=2), "Clips per step, over all processes together."),
    ("--learning-rate", click.FloatRange(0, 1, min_open=True, max_open=True), "Peak of its schedule."),
    ("--warmup-epochs", click.FloatRange(min=0), "Length of the warm-up; cut to fit few epochs."),
    ("--dropout", click.FloatRange(0, 1, max_open=True), "Probability of dropout in the networks."),
    ("--cutmix-share", click.FloatRange(0, 1), "Part of the batches mixed by CutMix."),
    ("--mixup-share", click.FloatRange(0, 1), "Part of the batches mixed by MixUp."),
    ("--mixstyle-share", click.FloatRange(0, 1), "Part of the batches whose clips exchange their colour."),
    ("--opinion-share", click.FloatRange(0, 1), "Of a clip's target: what clips of other days say of it."),
    ("--precision", click.Choice(get_args(Precision)), "Of the arithmetic; auto: bf16 where it is native."),
    ("--ensemble", click.Choice(get_args(WeightMethod)), "How validation scores become weights."),
    (
        "--validation-share",
        click.FloatRange(0, TrainSettings.validation_share, min_open=True),
        "Of the clips; below the default, training gets the other validation days, and the last epoch is "
        "kept instead of the best.",
    ),
    ("--seed", click.IntRange(min=0), "Of the split, the weights, the order and the mixing."),
)


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with the flags; it is called with the values that `settings_from_flags` takes."""
    for flag, kind, words in reversed(_OPTIONS):
        default = getattr(TrainSettings, flag.removeprefix("--").replace("-", "_"))
        command = click.option(flag, type=kind, default=default, show_default=True, help=words)(command)
    return command


def live_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with the flags of live windows; it is called with what `live_from_flags` takes."""
    options = (
        click.option("--live", is_flag=True, help="Train on live windows of spliced streams, not on clips."),
        click.option("--negatives", type=click.Path(path_type=Path), help="Sounds that are not breathing."),
        click.option(
            "--windows",
            type=click.IntRange(min=1),
            default=LiveSettings.windows_per_epoch,
            show_default=True,
            help="Live windows an epoch.",
        ),
        click.option(
            "--label-lag",
            type=click.FloatRange(0, 1, max_open=True),
            default=LiveSettings.label_lag_s,
            show_default=True,
            help="A live window is labelled by what goes on this many seconds before its end.",
        ),
        click.option(
            "--shares",
            metavar=",".join(kind.upper() for kind in KINDS),
            default=",".join(f"{share:g}" for share in LiveSettings.shares),
            show_default=True,
            help="Parts of the live windows that are cut from each kind of stream, or are clips.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def live_from_flags(
    live: bool, negatives: Path | None, windows: int, label_lag: float, shares: str
) -> "tuple[Path, LiveSettings] | None":
    """Folder of negatives and settings of live windows; None without `--live`.

    Raises:
        ConfigError: there is no folder of negatives, a value cannot be used, or a flag of live windows is
            given without `--live`.
    """
    try:
        one, two, three, four, five = (float(share) for share in shares.split(","))
    except ValueError as error:
        raise ConfigError(f"--shares {shares}: five numbers with commas, for {', '.join(KINDS)}") from error
    settings = LiveSettings(
        windows_per_epoch=windows, label_lag_s=label_lag, shares=(one, two, three, four, five)
    )
    if not live:
        if negatives or settings != LiveSettings():
            raise ConfigError(
                "--negatives, --windows, --label-lag and --shares are about live windows: add --live"
            )
        return None
    if negatives is None:
        raise ConfigError("--live needs --negatives FOLDER, of sounds that are not breathing")
    return negatives, settings


def settings_from_flags(epochs: int, warmup_epochs: float, **chosen: Any) -> TrainSettings:
    """Settings of a training; the warm-up is cut to fit where there are few epochs.

    Raises:
        ConfigError: settings that cannot be used.
    """
    return TrainSettings(epochs=epochs, warmup_epochs=min(warmup_epochs, epochs - 1), **chosen)
