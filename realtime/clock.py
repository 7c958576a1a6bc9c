"""Sample index <-> seconds, at the rate of the live path.

Time is an integer sample index everywhere inside; seconds exist at the edge, for people and files.
"""

from engines.contract import RATE_HZ


def seconds_from_samples(samples: int) -> float:
    """Seconds that `samples` last at 16 kHz, rounded to the microsecond so that files stay readable."""
    return round(samples / RATE_HZ, 6)


def live_sample_from_source(sample: int, rate_hz: int) -> int:
    """The index at 16 kHz nearest to index `sample` at a source's `rate_hz`; halves go up."""
    return (2 * sample * RATE_HZ + rate_hz) // (2 * rate_hz)


def samples_from_seconds(seconds: float) -> int:
    """The whole number of samples at 16 kHz nearest to `seconds`."""
    return round(seconds * RATE_HZ)
