"""When numbers cannot be trusted, in words."""

from collections.abc import Mapping, Sequence

from offline.benchmark.idle import IdleCost
from offline.benchmark.machine import Conditions, Machine
from offline.benchmark.stages import TRANSFERS, successive
from offline.benchmark.statistics import Distribution, drift_from_durations

TRUSTED_WINDOWS = 1024
TRUSTED_SECONDS = 10.0
_OUTSIDE = ("window", "fusion", "decision")

_MOST_DRIFT = 0.1
_MOST_CV = 0.25
_MOST_CLOCK_SPREAD = 0.1
_MOST_LOAD_BEFORE = 0.5
_MOST_OTHER_CORES = 0.1
_MOST_STOLEN_CORES = 0.02
_MOST_HIDDEN = 0.1
_MOST_HIDDEN_MS = 0.2


def warnings_from_conditions(conditions: Conditions, machine: Machine, n_threads: int | None) -> list[str]:
    """What was wrong with the machine while it measured."""
    found: list[str] = []
    if conditions.load_before is not None and conditions.load_before > _MOST_LOAD_BEFORE:
        found.append(
            f"in the minute before, {conditions.load_before:.1f} programs wanted to run on average: "
            "measure on an idle machine"
        )
    if conditions.other_cores is not None and conditions.other_cores > _MOST_OTHER_CORES:
        found.append(
            f"other programs kept {conditions.other_cores:.2f} cores busy meanwhile: every number is too "
            "large, the high percentiles most"
        )
    if conditions.stolen_cores is not None and conditions.stolen_cores > _MOST_STOLEN_CORES:
        found.append(
            f"the host gave {conditions.stolen_cores:.2f} cores to other virtual machines (steal): every "
            "number is too large, and nothing on this machine can mend that"
        )
    # A core that has nothing to do may be as slow as it likes.
    slowest, fastest = conditions.slowest_mhz, conditions.fastest_mhz
    if slowest and fastest and fastest / slowest - 1 > _MOST_CLOCK_SPREAD:
        found.append(
            f"the clock of the fastest core varied from {slowest:.0f} to {fastest:.0f} MHz: fix it (cpupower "
            "frequency-set), or compare only what was measured in one run"
        )
    if n_threads is not None and n_threads > machine.usable_cores:
        found.append(
            f"{n_threads} threads share {machine.usable_cores} cores and wait for one another; "
            f"use --threads {machine.usable_cores} or fewer"
        )
    return found


def warnings_from_hops(hops_s: Sequence[float], hop: Distribution, n_wanted: int) -> list[str]:
    """What is wrong with the durations of the whole hops themselves.

    Args:
        hops_s: seconds, in the order of measurement.
        hop: their statistics.
        n_wanted: fewer than that need saying.
    """
    found: list[str] = []
    if hop.n < n_wanted:
        found.append(
            f"only {hop.n} windows: enough for a median, but the 99th percentile rests on {-(-hop.n // 100)} "
            "of them"
        )
    drift = drift_from_durations(hops_s)
    if abs(drift) > _MOST_DRIFT:
        found.append(
            f"the second half of the windows was {abs(drift):.0%} {'slower' if drift > 0 else 'faster'} than "
            "the first: the clock or the load of the machine changed meanwhile"
        )
    if hop.cv > _MOST_CV:
        found.append(
            f"the durations scatter by {hop.cv:.0%} of their mean (coefficient of variation): the clock "
            "varies, or something else runs; trust the median, not the mean"
        )
    return found


def warnings_from_idle(idle: IdleCost) -> list[str]:
    """What is wrong with the cost of a live session."""
    found = [f"{notice}: the live session is of both" for notice in idle.notices]
    if not idle.skipped_windows:
        return found
    return [
        *found,
        f"{idle.skipped_windows} windows of the live session were skipped, {idle.hop.n} were answered: it "
        "could not keep up, and its cost would be higher if it had",
    ]


def warnings_from_stages(stages: Mapping[str, Distribution], hop: Distribution) -> list[str]:
    """What the stages say of one another; `hop` is the whole hop of the run that they were measured in."""
    found: list[str] = []
    one_by_one = {name: stage.p50 for name, stage in successive(stages).items()}
    hidden_ms = hop.p50 - sum(one_by_one.values())
    if hidden_ms > max(_MOST_HIDDEN * hop.p50, _MOST_HIDDEN_MS):
        found.append(
            f"{hidden_ms:.1f} ms of a hop of {hop.p50:.1f} ms belong to no stage: work is enqueued in one "
            "stage and waited for outside of it, so compute is hidden and the stages cannot be trusted; the "
            "whole hop can"
        )
    transfer_ms = sum(ms for name, ms in one_by_one.items() if name in TRANSFERS)
    compute_ms = sum(ms for name, ms in one_by_one.items() if name not in (*TRANSFERS, *_OUTSIDE))
    if transfer_ms > compute_ms > 0:
        found.append(
            f"moving data takes {transfer_ms:.2f} ms, computing {compute_ms:.2f} ms: a faster GPU changes "
            "nothing; larger batches would"
        )
    return found
