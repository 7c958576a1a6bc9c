"""What is counted in a replayed stream, and the measures that come from the counts of one or many."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from engines.contract import RATE_HZ
from offline.streams.breath_agreement import breaths_from_truth
from realtime import metrics
from realtime.events import Breath, Phase
from realtime.labels import PhaseInterval
from realtime.metrics import BREATH_PHASES, CODES, ratio
from realtime.replay import Replay
from realtime.variability import rate_per_min

Counts = NDArray[np.float64]

# Collars of an onset: how early and how late it may be shown, samples.
EARLY_S, LATE_S = 0.3, 1.0
COLLARS_S: dict[str, tuple[float, float]] = {
    "": (EARLY_S, LATE_S),
    "_200ms": (0.2, 0.2),
    "_500ms": (0.5, 0.5),
}
LONG_PAUSE_S = 3.0

# What another version might do otherwise; it belongs to the signature of the figures.
RULES = {
    "instants_s": metrics.GRID_SAMPLES / RATE_HZ,
    "segments_s": metrics.SEGMENT_SAMPLES / RATE_HZ,
    "onset_early_s": EARLY_S,
    "onset_late_s": LATE_S,
    "long_pause_s": LONG_PAUSE_S,
    # 1: from the first inhalation shown to the last; 2: of the complete breaths; 3: without one whose
    # inhalation was under way at the first answer; 4: what is taken back leaves no trace around it.
    "rate_definition": 4,
}


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts that add up over streams; every field may have further axes in front.

    Attributes:
        seconds: () length of the sound.
        confusion: (3, 3) instants of 10 ms, see `metrics.confusion_from_codes`.
        forgiven: (3, 3) likewise, each answer held against the moment that it is about.
        segments: (2, 3) see `metrics.segment_counts`.
        onsets: (3, 2, 3) per entry of `COLLARS_S`, per phase: hits, false alarms, misses.
        phases: (2,) inhalations and exhalations: true, shown.
        rate: (2,) sum of the absolute errors of the breathing rate, breaths/min, and number of streams.
        exhale_bins: (3, 15) see `metrics.confidence_bins`: phase decided by P(exhale), within true phases.
        brier: (2,) sum of squared errors of P(exhale) within true phases, and number of frames.
        shown_bins: (3, 15) likewise, of the shown phase (none too) and its confidence, everywhere.
        false: (3,) phases and inhalations shown where there is no breath, and seconds without breath.
    """

    seconds: Counts
    confusion: Counts
    forgiven: Counts
    segments: Counts
    onsets: Counts
    phases: Counts
    rate: Counts
    exhale_bins: Counts
    brier: Counts
    shown_bins: Counts
    false: Counts


def tally_from_replay(
    replay: Replay, truth: Sequence[PhaseInterval], ahead_samples: int = 0
) -> tuple[Tally, NDArray[np.float64]]:
    """Count one stream; also the delays, s, from each true onset to its being shown, of the matched ones.

    A phase counts as shown from the sample at which it was reported, never from where it is believed to have
    begun. Where nothing breathes (a stream without a true phase, or a pause of at least 3 s between two, from
    1 s after its start to 0.3 s before its end) every phase shown is a false one. `ahead_samples` is the
    lookahead, in samples: so long before it was given is the moment that an answer is about.
    """
    n_samples = replay.n_samples
    shown = metrics.intervals_from_events(replay.events, n_samples)
    true_codes = metrics.codes_from_intervals(truth, n_samples)
    shown_codes = metrics.codes_from_frames(replay.frames, n_samples)
    onsets, delays_s = _onsets(truth, shown)
    exhale_bins, brier, shown_bins = _calibration(replay, truth)
    tally = Tally(
        seconds=np.array(n_samples / RATE_HZ),
        confusion=metrics.confusion_from_codes(true_codes, shown_codes).astype(np.float64),
        forgiven=_forgiven(replay, true_codes, ahead_samples),
        segments=metrics.segment_counts(truth, shown, n_samples).astype(np.float64),
        onsets=onsets,
        phases=np.array([len(truth), len(shown)], np.float64),
        rate=_rate(replay, truth),
        exhale_bins=exhale_bins,
        brier=brier,
        shown_bins=shown_bins,
        false=_false_alarms(truth, shown, n_samples),
    )
    return tally, delays_s


def stacked(tallies: Sequence[Tally]) -> Tally:
    """Tallies along a new first axis."""
    return Tally(
        **{one.name: np.stack([getattr(tally, one.name) for tally in tallies]) for one in fields(Tally)}
    )


def weighted_sum(stack: Tally, weights: NDArray[np.float64]) -> Tally:
    """Sums over the first axis: weights (..., n) of the n tallies of the stack -> a tally with axes (...)."""
    return Tally(
        **{one.name: np.tensordot(weights, getattr(stack, one.name), axes=1) for one in fields(Tally)}
    )


def measures_from_tally(tally: Tally) -> dict[str, Counts]:
    """Every measure but the delays by its name, each with the tally's further axes; NaN where undefined."""
    live = metrics.f1_from_confusion(tally.confusion)
    segments = metrics.f1_from_counts(tally.segments)
    found = {
        "macro_f1_live": metrics.mean_of_known(live),
        "macro_f1_forgiven": metrics.mean_of_known(metrics.f1_from_confusion(tally.forgiven)),
        **{f"f1_live_{phase}": live[..., code] for phase, code in CODES.items()},
        "segment_f1": metrics.mean_of_known(segments),
        **{f"segment_f1_{phase}": segments[..., row] for row, phase in enumerate(BREATH_PHASES)},
    }
    for collar, suffix in enumerate(COLLARS_S):
        counts = tally.onsets[..., collar, :, :]
        found[f"onset_f1{suffix}"] = metrics.f1_from_counts(counts.sum(axis=-2))
        for row, phase in enumerate(BREATH_PHASES):
            found[f"onset_f1{suffix}_{phase}"] = metrics.f1_from_counts(counts[..., row, :])
    hits, false_alarms, misses = np.moveaxis(tally.onsets[..., 0, :, :].sum(axis=-2), -1, 0)
    found["onset_precision"] = ratio(hits, hits + false_alarms)
    found["onset_recall"] = ratio(hits, hits + misses)
    found["phases_per_true"] = ratio(tally.phases[..., 1], tally.phases[..., 0])
    found["rate_error_per_min"] = ratio(tally.rate[..., 0], tally.rate[..., 1])
    found["phase_calibration_error"] = metrics.calibration_error(tally.exhale_bins)
    found["phase_brier"] = ratio(tally.brier[..., 0], tally.brier[..., 1])
    found["shown_calibration_error"] = metrics.calibration_error(tally.shown_bins)
    found["false_phases_per_min"] = 60 * ratio(tally.false[..., 0], tally.false[..., 2])
    found["false_breaths_per_min"] = 60 * ratio(tally.false[..., 1], tally.false[..., 2])
    return found


def delay_measures(delays_s: NDArray[np.float64]) -> dict[str, float]:
    """Percentiles and mean of onset delays, s; negative is early; NaN where nothing was matched."""
    if not len(delays_s):
        return dict.fromkeys(("onset_delay_p50_s", "onset_delay_p90_s", "onset_delay_mean_s"), float("nan"))
    p50, p90 = np.percentile(delays_s, [50, 90])
    return {
        "onset_delay_p50_s": float(p50),
        "onset_delay_p90_s": float(p90),
        "onset_delay_mean_s": float(delays_s.mean()),
    }


def all_measures(tally: Tally, delays_s: NDArray[np.float64]) -> dict[str, float]:
    """Every measure by its name, of a tally without further axes and the delays, s, that belong to it."""
    single = {name: float(value) for name, value in measures_from_tally(tally).items()}
    return single | delay_measures(delays_s)


def plain_measures(measures: dict[str, float]) -> dict[str, float | None]:
    """None in place of NaN, which JSON does not know."""
    return {name: None if np.isnan(value) else value for name, value in measures.items()}


def _forgiven(replay: Replay, true_codes: metrics.Codes, ahead_samples: int) -> Counts:
    """As if there were no lookahead to wait for; the end, about which no answer came, is left out."""
    frames = replay.frames
    # Until so much has been heard beyond it, every answer is about the first window.
    moved = [
        replace(frame, end_sample=frame.end_sample - ahead_samples)
        for frame in frames
        if frame.end_sample - ahead_samples >= frames[0].end_sample
    ]
    shown_codes = metrics.codes_from_frames(moved, max(0, replay.n_samples - ahead_samples))
    return metrics.confusion_from_codes(true_codes[: len(shown_codes)], shown_codes).astype(np.float64)


def _onsets(
    truth: Sequence[PhaseInterval], shown: Sequence[PhaseInterval]
) -> tuple[Counts, NDArray[np.float64]]:
    counts = np.zeros((len(COLLARS_S), len(BREATH_PHASES), 3))
    delays: list[int] = []
    for row, phase in enumerate(BREATH_PHASES):
        true_onsets, shown_onsets = _starts(truth, phase), _starts(shown, phase)
        for collar, (early_s, late_s) in enumerate(COLLARS_S.values()):
            early, late = round(early_s * RATE_HZ), round(late_s * RATE_HZ)
            pairs = metrics.matched_onsets(true_onsets, shown_onsets, early, late)
            counts[collar, row] = metrics.onset_counts(len(pairs), len(true_onsets), len(shown_onsets))
            if collar == 0:
                delays += [shown_onsets[j] - true_onsets[i] for i, j in pairs]
    return counts, np.array(delays, np.float64) / RATE_HZ


def _calibration(replay: Replay, truth: Sequence[PhaseInterval]) -> tuple[Counts, Counts, Counts]:
    """Each frame is held against the truth at its newest sample."""
    newest = np.array([frame.end_sample - 1 for frame in replay.frames], np.int64)
    codes = metrics.codes_from_intervals(truth, replay.n_samples, 1)[newest]
    probs = np.array([frame.prob_exhale for frame in replay.frames], np.float64)
    shown = np.array([CODES[frame.phase] for frame in replay.frames], np.int8)
    confidence = np.array([frame.confidence for frame in replay.frames], np.float64)
    is_phase = codes != CODES[Phase.NONE]
    is_exhale, said = (codes == CODES[Phase.EXHALE])[is_phase], probs[is_phase]
    decided = said >= 0.5
    exhale_bins = metrics.confidence_bins(np.where(decided, said, 1 - said), decided == is_exhale)
    brier = np.array([((said - is_exhale) ** 2).sum(), len(said)], np.float64)
    return exhale_bins, brier, metrics.confidence_bins(confidence, shown == codes)


def _rate(replay: Replay, truth: Sequence[PhaseInterval]) -> Counts:
    true_breaths = breaths_from_truth(truth)
    if not true_breaths:
        return np.zeros(2)
    # No complete breath shown is a rate of zero.
    shown_rate = _rate_of(replay.breaths) if replay.breaths else 0.0
    return np.array([abs(shown_rate - _rate_of(true_breaths)), 1.0])


def _rate_of(breaths: Sequence[Breath]) -> float:
    return rate_per_min([(breath.inhale_onset_sample, breath.end_sample) for breath in breaths])


def _false_alarms(truth: Sequence[PhaseInterval], shown: Sequence[PhaseInterval], n_samples: int) -> Counts:
    quiet = [(0, n_samples)]
    if truth:
        pauses = metrics.stretches_without_breath(truth, n_samples, round(LONG_PAUSE_S * RATE_HZ))
        early, late = round(EARLY_S * RATE_HZ), round(LATE_S * RATE_HZ)
        # What is shown just after a phase, or just before one, belongs to that phase.
        quiet = [
            (start + (late if start else 0), end - (early if end < n_samples else 0)) for start, end in pauses
        ]
    starts = np.array([one.start_sample for one in shown], np.int64)
    is_false = np.zeros(len(shown), np.bool_)
    for start, end in quiet:
        is_false |= (starts >= start) & (starts < end)
    n_inhale = sum(one.phase is Phase.INHALE for one, wrong in zip(shown, is_false, strict=True) if wrong)
    seconds = sum(end - start for start, end in quiet) / RATE_HZ
    return np.array([is_false.sum(), n_inhale, seconds], np.float64)


def _starts(intervals: Sequence[PhaseInterval], phase: Phase) -> list[int]:
    return [interval.start_sample for interval in intervals if interval.phase is phase]
