"""The script of the soak: what it makes of what it has seen. The soak itself takes an hour."""

import importlib.util
import math
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "tests" / "bench" / "soak.py"
HOUR = [(60.0 + 10 * i, 140.0) for i in range(354)]


@pytest.fixture(scope="module")
def soak():
    spec = importlib.util.spec_from_file_location("soak", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    # A dataclass looks its module up.
    sys.modules["soak"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["soak"]
    sys.path[:] = before


def test_an_hour_without_a_fault_passes(soak):
    observed = soak.Observed(n_frames=36_000, resident_mb=HOUR, events_s=[1.0], counts=(36_000, 0, 0))
    result = soak.result_from_observed(observed)
    assert result["is_passed"]
    assert result["verdict"] == "passed"
    assert result["resident_mb_per_hour"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"counts": (9, 0, 16)}, "16 samples lost"),
        ({"counts": (9, 3, 0)}, "3 windows skipped"),
        ({"counts": None}, "no summary"),
        ({"n_frames": 0}, "no answer at all"),
        ({"late_s": [7.0, 8.0], "events_s": [6.0, 8.0]}, "2 answers later than 0.5 s, 1 events among them"),
        ({"has_ended_early": True, "exit_code": 3}, "ended early, with exit code 3"),
        ({"resident_mb": [(at, mb + at / 1200) for at, mb in HOUR]}, "grows by 3.0 MB an hour"),
        ({"resident_mb": [(at, 251.0) for at, _ in HOUR]}, "251 MB resident"),
    ],
)
def test_what_is_wrong_fails_and_is_told(soak, change, words):
    seen = {"n_frames": 9, "resident_mb": HOUR, "counts": (9, 0, 0)} | change
    result = soak.result_from_observed(soak.Observed(**seen))
    assert not result["is_passed"]
    assert words in result["verdict"]


@pytest.mark.parametrize("resident", [[], [(60.0, 140.0)], [(60.0, 140.0), (70.0, 141.0), (80.0, math.nan)]])
def test_growth_within_minutes_is_not_judged(soak, resident):
    result = soak.result_from_observed(soak.Observed(n_frames=9, resident_mb=resident, counts=(9, 0, 0)))
    assert result["is_passed"]
    assert "too short to judge" in result["verdict"]


def test_rows_are_late_by_their_stream_times(soak):
    def rows():
        yield from ("time_s,prob_exhale\n", "1.0,0.5\n", "1.25,0.5\n", "2.0,0.5\n")
        time.sleep(0.9)
        yield "2.1,0.5\n"

    observed = soak.Observed()
    soak.read_frames(rows(), observed)
    assert observed.n_frames == 4
    assert 2.1 in observed.late_s
    assert observed.worst_late_s >= 0.8
