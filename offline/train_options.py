"""The flags of `breath-offline train` that say how the networks are trained."""

from collections.abc import Callable
from typing import Any, get_args

import click

from engines.ensemble import WeightMethod
from offline.settings import Precision, TrainSettings

_AT_LEAST_1 = click.IntRange(min=1)

_OPTIONS = (
    ("--epochs", _AT_LEAST_1, "At most this many passes over the clips."),
    ("--patience", _AT_LEAST_1, "Stop after this many epochs without a better validation AUC."),
    ("--batch-size", click.IntRange(min=2), "Clips per step, over all processes together."),
    ("--learning-rate", click.FloatRange(0, 1, min_open=True, max_open=True), "Peak of its schedule."),
    ("--dropout", click.FloatRange(0, 1, max_open=True), "Probability of dropout in the networks."),
    ("--precision", click.Choice(get_args(Precision)), "Of the arithmetic; auto: bf16 where it is native."),
    ("--ensemble", click.Choice(get_args(WeightMethod)), "How validation scores become weights."),
    ("--seed", click.IntRange(min=0), "Of the split, the weights, the order and the mixing."),
)


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with the flags; it is called with the values that `settings_from_flags` takes."""
    for flag, kind, words in reversed(_OPTIONS):
        default = getattr(TrainSettings, flag.removeprefix("--").replace("-", "_"))
        command = click.option(flag, type=kind, default=default, show_default=True, help=words)(command)
    return command


def settings_from_flags(epochs: int, **chosen: Any) -> TrainSettings:
    """Settings of a training; the warm-up is cut to fit where there are few epochs.

    Raises:
        ConfigError: settings that cannot be used.
    """
    warmup_epochs = min(TrainSettings.warmup_epochs, epochs - 1)
    return TrainSettings(epochs=epochs, warmup_epochs=warmup_epochs, **chosen)
