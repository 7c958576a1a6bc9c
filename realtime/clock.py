"""Sample index <-> seconds: the only place that converts.

Time is an integer sample index everywhere inside; seconds exist at the edge, for people and files.
"""

from engines.contract import RATE_HZ


def seconds_from_samples(samples: int, rate_hz: int = RATE_HZ) -> float:
    """Seconds that `samples` last at `rate_hz`, rounded to the microsecond so that files stay readable."""
    return round(samples / rate_hz, 6)


def samples_from_seconds(seconds: float, rate_hz: int = RATE_HZ) -> int:
    """The whole number of samples nearest to `seconds` at `rate_hz`."""
    return round(seconds * rate_hz)
