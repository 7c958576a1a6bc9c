"""Statistics, conditions of the machine, and the warnings in words."""

from dataclasses import replace

import numpy as np
import pytest

from offline.benchmark.idle import IdleCost
from offline.benchmark.machine import (
    Conditions,
    Machine,
    Reading,
    conditions_from_readings,
    read_system,
    resident_mb,
    this_machine,
)
from offline.benchmark.result import EngineResult
from offline.benchmark.stages import successive
from offline.benchmark.statistics import distribution_from_durations, drift_from_durations
from offline.benchmark.streams import StreamTrial
from offline.benchmark.warnings import (
    warnings_from_conditions,
    warnings_from_hops,
    warnings_from_idle,
    warnings_from_stages,
)

QUIET = Conditions(load_before=0.1, other_cores=0.0, stolen_cores=0.0, slowest_mhz=2900, fastest_mhz=3000)
MACHINE = Machine(cpu="test", cores=4, usable_cores=2, memory_mb=1024, os="test", gpu=None)


def steady(ms, n=1024):
    return distribution_from_durations(np.full(n, ms / 1e3))


def test_the_statistics_are_those_of_the_durations():
    found = distribution_from_durations([0.001 * k for k in range(1, 102)])
    assert (found.n, found.min, found.max) == (101, pytest.approx(1), pytest.approx(101))
    assert [found.mean, found.p50] == pytest.approx([51, 51])
    assert [found.p90, found.p95, found.p99] == pytest.approx([91, 96, 100])
    assert found.per_s == pytest.approx(1000 / 51)
    assert found.cv == pytest.approx(np.std(np.arange(1, 102)) / 51)


def test_durations_of_zero_are_no_division_by_zero():
    found = distribution_from_durations([0.0, 0.0])
    assert found.cv == 0
    assert found.to_json()["per_s"] is None


def test_drift_is_the_second_half_against_the_first():
    assert drift_from_durations([1.0, 1.0, 1.5, 1.5]) == pytest.approx(0.5)
    assert drift_from_durations([1.0]) == 0


def test_this_machine_has_a_name_and_cores():
    machine = this_machine()
    assert machine.cpu
    assert 1 <= machine.usable_cores <= machine.cores


def test_a_reading_counts_the_work_of_this_process():
    before = read_system()
    np.linalg.svd(np.random.default_rng(0).standard_normal((150, 150)))
    after = read_system()
    assert after.own_cpu_s > before.own_cpu_s
    memory_mb = resident_mb()
    assert memory_mb is None or 10 < memory_mb < 100_000


def test_what_others_used_is_what_was_busy_without_ourselves():
    first = Reading(0.0, 1.0, 100.0, 5.0, 0.3, (2000.0, 2100.0))
    last = Reading(10.0, 4.0, 108.0, 5.5, 2.0, (2500.0, 2050.0))
    found = conditions_from_readings([first, replace(first, clocks_mhz=(1900.0,)), last])
    assert found.load_before == 0.3
    assert found.other_cores == pytest.approx(0.5)
    assert found.stolen_cores == pytest.approx(0.05)
    assert (found.slowest_mhz, found.fastest_mhz) == (1900, 2500)


def test_a_system_that_says_nothing_is_unknown_and_no_reason_to_warn():
    silent = Reading(0.0, 1.0, None, None, None, ())
    found = conditions_from_readings([silent, replace(silent, wall_s=5.0)])
    assert found == Conditions(None, None, None, None, None)
    assert warnings_from_conditions(found, MACHINE, None) == []


def test_an_idle_machine_needs_no_warning():
    assert warnings_from_conditions(QUIET, MACHINE, 2) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"load_before": 1.5}, "idle machine"),
        ({"other_cores": 0.7}, "0.70 cores busy"),
        ({"stolen_cores": 0.1}, "steal"),
        ({"slowest_mhz": 1200.0}, "from 1200 to 3000 MHz"),
    ],
)
def test_a_machine_that_is_not_idle_is_told_of(change, word):
    (warning,) = warnings_from_conditions(replace(QUIET, **change), MACHINE, None)
    assert word in warning


def test_more_threads_than_cores_are_told_of():
    (warning,) = warnings_from_conditions(QUIET, MACHINE, 3)
    assert "--threads 2" in warning


def test_steady_durations_need_no_warning_and_few_of_them_do():
    hops_s = [0.01, 0.0101] * 512
    assert warnings_from_hops(hops_s, distribution_from_durations(hops_s), 1024) == []
    (warning,) = warnings_from_hops(hops_s, distribution_from_durations(hops_s), 2000)
    assert "only 1024 windows" in warning


def test_a_clock_that_falls_half_way_is_told_of():
    hops_s = [0.010] * 600 + [0.012] * 600
    (warning,) = warnings_from_hops(hops_s, distribution_from_durations(hops_s), 1024)
    assert "20% slower" in warning


def test_durations_that_scatter_are_told_of():
    hops_s = [0.001, 0.1] * 600
    (warning,) = warnings_from_hops(hops_s, distribution_from_durations(hops_s), 1024)
    assert "coefficient of variation" in warning


def test_a_session_that_could_not_keep_up_is_told_of():
    idle = IdleCost(
        seconds=5.0,
        hop=steady(20.0, n=50),
        skipped_windows=0,
        cpu_s_per_s=0.1,
        cpu_s_per_s_between_hops=0.0,
        resident_mb=None,
    )
    assert warnings_from_idle(idle) == []
    (warning,) = warnings_from_idle(replace(idle, hop=steady(20.0, n=30), skipped_windows=20))
    assert "20 windows of the live session were skipped" in warning


def test_stages_that_add_up_need_no_warning():
    stages = {"window": steady(0.1), "features": steady(4), "cnn8": steady(3), "vgg": steady(4)}
    assert warnings_from_stages(stages, steady(11.3)) == []


def test_networks_that_run_side_by_side_hide_nothing_and_nothing_else_behind_them():
    stages = {"features": steady(4), "cnn8": steady(9), "vgg": steady(8), "inference": steady(13.5)}
    assert list(successive({"window": 0, **stages, "fusion": 0})) == [
        "window",
        "inference",
        "fusion",
    ]
    assert warnings_from_stages(stages, steady(13.6)) == []
    (warning,) = warnings_from_stages(stages, steady(20))
    assert "6.5 ms of a hop of 20.0 ms belong to no stage" in warning


def test_compute_hidden_by_enqueue_is_told_of():
    stages = {"window": steady(0.1), "features": steady(0.2), "cnn8": steady(0.1), "vgg": steady(0.1)}
    (warning,) = warnings_from_stages(stages, steady(8))
    assert "7.5 ms of a hop of 8.0 ms belong to no stage" in warning


def test_transfer_longer_than_compute_is_told_of():
    stages = {"upload": steady(2), "features": steady(0.5), "cnn8": steady(0.5), "download": steady(1)}
    (warning,) = warnings_from_stages(stages, steady(4.1))
    assert "moving data takes 3.00 ms, computing 1.00 ms" in warning


def test_the_whole_of_a_gpu_is_not_counted_beside_its_parts():
    parts = {"window": steady(0.1), "upload": steady(0.5), "features": steady(1), "cnn8": steady(0.5)}
    whole = steady(9)
    assert warnings_from_stages({**parts, "gpu": whole}, steady(2.2)) == []
    (warning,) = warnings_from_stages({**parts, "gpu": whole}, steady(9))
    assert "belong to no stage" in warning
    assert warnings_from_stages({"window": steady(0.1), "gpu": steady(2)}, steady(2.2)) == []


def test_idle_cores_may_be_slow():
    reading = Reading(0.0, 1.0, 100.0, 5.0, 0.3, (3000.0, 800.0))
    found = conditions_from_readings([reading, replace(reading, wall_s=5.0, clocks_mhz=(800.0, 2990.0))])
    assert (found.slowest_mhz, found.fastest_mhz) == (2990, 3000)


def test_a_session_that_went_on_with_another_engine_is_told_of():
    idle = IdleCost(5.0, steady(20.0, n=50), 0, 0.1, 0.0, None, notices=("tensorrt failed",))
    assert warnings_from_idle(idle) == ["tensorrt failed: the live session is of both"]
    assert "notices" not in idle.to_json()


@pytest.mark.parametrize(("n_streams", "n_dropped", "carried"), [(50, 0, 50), (50, 3, None), (1, 2, 0)])
def test_how_many_streams_are_carried_is_known_where_one_was_or_not_even_one(n_streams, n_dropped, carried):
    trial = StreamTrial(n_streams, 9, n_dropped, steady(20.0, n=9))
    result = EngineResult("onnxruntime", "", steady(20.0), {}, [0.02], streams=[trial])
    assert result.n_streams == carried
    assert result.to_json()["streams"]["carried"] == carried
