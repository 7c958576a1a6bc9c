import pytest

from engines.latency import LatencyMeter, LatencySummary


def test_nothing_measured_is_no_summary():
    assert LatencyMeter().summary() is None


def test_one_duration_is_every_statistic():
    meter = LatencyMeter()
    meter.add(0.25)
    assert meter.summary() == LatencySummary(1, 250.0, 250.0, 250.0, 250.0, 250.0)


def test_statistics_of_a_hundred_and_one_known_durations():
    meter = LatencyMeter()
    for ms in reversed(range(101)):
        meter.add(ms / 1e3)
    summary = meter.summary()
    assert summary.n == 101
    assert summary.mean_ms == pytest.approx(50)
    assert (summary.p50_ms, summary.p90_ms, summary.p99_ms) == pytest.approx((50, 90, 99))
    assert summary.max_ms == pytest.approx(100)


def test_only_the_latest_are_kept():
    meter = LatencyMeter(n_kept=3)
    for duration_s in (9.0, 1.0, 2.0, 3.0):
        meter.add(duration_s)
    summary = meter.summary()
    assert summary.n == 3
    assert summary.max_ms == pytest.approx(3000)
    assert summary.mean_ms == pytest.approx(2000)
