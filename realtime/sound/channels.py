"""Which channel is listened to."""

import numpy as np
from numpy.typing import NDArray

from engines.errors import ConfigError


def check_channel(channel: int | None, n_channels: int, name: str = "the sound") -> None:
    """Refuse a channel that is not there.

    Args:
        channel: counted from 0; None is the mean of all.
        n_channels: how many there are.
        name: of the source, for the message.

    Raises:
        ConfigError: `channel` is not in 0 ... `n_channels` - 1.
    """
    if channel is None or 0 <= channel < n_channels:
        return
    have = (
        "1 channel, number 0" if n_channels == 1 else f"{n_channels} channels, numbered 0 to {n_channels - 1}"
    )
    raise ConfigError(
        f"there is no channel {channel}: {name} has {have}; choose one, or leave it to the mean"
    )


def meant_channel(channel: int | None, n_channels: int, *, is_asked_for: bool) -> int | None:
    """The channel to listen to, given how many there are.

    One that was chosen for a microphone, in a file or a variable, does not matter to sound that has only one.

    Args:
        channel: counted from 0; None is the mean of all.
        n_channels: how many there are.
        is_asked_for: whether it was chosen for this very sound.
    """
    return channel if is_asked_for or n_channels > 1 else None


def mono_from_samples(samples: NDArray[np.float32], channel: int | None) -> NDArray[np.float32]:
    """One channel of (n, channels) float32, or the mean of all for None; (n,) float32.

    Every output sample depends on its own row only, bit for bit, so blocks of any length give the same.

    Raises:
        ConfigError: there is no such channel.
    """
    n_channels = samples.shape[1]
    check_channel(channel, n_channels)
    if channel is not None or n_channels == 1:
        return np.ascontiguousarray(samples[:, channel or 0])
    # Added one by one: numpy's own mean may group the channels differently for other memory layouts.
    total = samples[:, 0].astype(np.float32)
    for i in range(1, n_channels):
        total += samples[:, i]
    return total / np.float32(n_channels)
