"""How much of a level meter is full, in the display and for programs."""

_LOWEST_DBFS = -80.0


def share_from_dbfs(level_dbfs: float) -> float:
    """0 at -80 dB re full scale or less, 1 at full scale or more, linear in dB between."""
    return min(1.0, max(0.0, 1.0 - level_dbfs / _LOWEST_DBFS))
