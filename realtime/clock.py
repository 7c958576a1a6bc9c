"""Sample index <-> seconds: the only place that converts.

Time is an integer sample index everywhere inside; seconds exist at the edge, for people and files.
"""

from engines.contract import RATE_HZ


def seconds_from_samples(samples: int, rate_hz: int = RATE_HZ) -> float:
    """Seconds that `samples` last at `rate_hz`, rounded to the microsecond so that files stay readable."""
    return round(samples / rate_hz, 6)


def live_sample_from_source(sample: int, rate_hz: int) -> int:
    """The index at 16 kHz nearest to index `sample` at a source's `rate_hz`; halves go up."""
    return (2 * sample * RATE_HZ + rate_hz) // (2 * rate_hz)


def samples_from_seconds(seconds: float, rate_hz: int = RATE_HZ) -> int:
    """The whole number of samples nearest to `seconds` at `rate_hz`."""
    return round(seconds * rate_hz)
