"""How live windows are drawn: settings only, light to import."""

from dataclasses import dataclass
from typing import Literal, get_args

from engines.errors import ConfigError

BATCH_WINDOWS = 64
"""Windows that are drawn together: all of two streams, or all clips."""

WindowKind = Literal["fast", "slow", "mixed", "negative", "clip"]
KINDS: tuple[WindowKind, ...] = get_args(WindowKind)


@dataclass(frozen=True)
class LiveSettings:
    """How live windows are drawn.

    Attributes:
        windows_per_epoch: of each network, a multiple of `BATCH_WINDOWS`.
        validation_windows: drawn once, from the validation days.
        shares: of the batches that are cut from each kind of stream, or are clips, in the order of `KINDS`.
        label_lag_s: the label is what goes on this long before a window's end.
        bare_share: part of the streams to which nothing is added, and of the clips that stay as they are.
        snr_db: breath over noise of those that get noise, dB, drawn evenly.
        tempo: streams and the other clips are played this much faster, drawn evenly in octaves: another
            body, another pitch.
        stream_s: length of a stream, of which a batch takes two.
    """

    windows_per_epoch: int = 20_032
    validation_windows: int = 4_096
    shares: tuple[float, float, float, float, float] = (0.5, 0.25, 0.1, 0.15, 0.0)
    label_lag_s: float = 0.0
    bare_share: float = 0.3
    snr_db: tuple[float, float] = (2.0, 25.0)
    tempo: tuple[float, float] = (0.88, 1.14)
    stream_s: float = 40.0

    def __post_init__(self) -> None:
        for name in ("windows_per_epoch", "validation_windows"):
            if getattr(self, name) < BATCH_WINDOWS or getattr(self, name) % BATCH_WINDOWS:
                raise ConfigError(f"live windows: {name} must be a multiple of {BATCH_WINDOWS}, above 0")
        if len(self.shares) != len(KINDS) or not min(self.shares) >= 0 or not 0 < sum(self.shares) < 1e6:
            raise ConfigError(f"live windows: shares are a number, 0 or more, for each of {', '.join(KINDS)}")
        if not 0 <= self.label_lag_s < 1 or not 0 <= self.bare_share <= 1 or self.stream_s < 5:
            raise ConfigError(
                "live windows: label_lag_s must lie between 0 and 1, bare_share too, stream_s be 5 or more"
            )
        if not -20 <= self.snr_db[0] <= self.snr_db[1] <= 60:
            raise ConfigError("live windows: snr_db is a range (lowest, highest) between -20 and 60 dB")
        if not 0.5 <= self.tempo[0] <= self.tempo[1] <= 2:
            raise ConfigError("live windows: tempo is a range (slowest, fastest) between 0.5 and 2")
