"""Scores of P(exhale) against labels, and how far they can be trusted."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import sklearn
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as scores

from engines.contract import LABEL_EXHALE, LABEL_INHALE
from realtime.metrics import calibration_error, confidence_bins

_ROUNDING = 1e-6

Interval = tuple[float, float]


@dataclass(frozen=True)
class BinaryMetrics:
    """Scores over N clips; exhale is the positive class, decided at P(exhale) >= 0.5; all but `n` are 0-1.

    Attributes:
        n: number of clips.
        accuracy: share of clips decided as labelled.
        auc: area under the ROC curve; NaN where only one class is there.
        precision: share of exhalations among the clips decided as such; 0 where there are none.
        recall: share of the exhalations that were found; 0 where there are none.
        f1: harmonic mean of the two.
        calibration_error: see `expected_calibration_error`.
        brier: mean squared difference of P(exhale) and label.
        confusion: number of clips, ((inhale as inhale, inhale as exhale), (exhale as inhale, as exhale)).
    """

    n: int
    accuracy: float
    auc: float
    precision: float
    recall: float
    f1: float
    calibration_error: float
    brier: float
    confusion: tuple[tuple[int, int], tuple[int, int]]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers; null where a score does not exist."""
        return {
            name: None if isinstance(value, float) and np.isnan(value) else value
            for name, value in asdict(self).items()
        }


SCORE_NAMES: tuple[str, ...] = tuple(
    field.name for field in fields(BinaryMetrics) if field.name not in ("n", "confusion")
)


def binary_metrics(labels: ArrayLike, prob_exhale: ArrayLike) -> BinaryMetrics:
    """Score N probabilities.

    Args:
        labels: (N,), 1 = exhale, 0 = inhale.
        prob_exhale: (N,), 0-1.

    Raises:
        ValueError: nothing to score, lengths that differ, or values out of range.
    """
    truth, probs = _checked(labels, prob_exhale)
    decided = (probs >= 0.5).astype(np.int64)
    # The arrays are checked once above; a bootstrap scores thousands of them.
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        confusion = scores.confusion_matrix(truth, decided, labels=[LABEL_INHALE, LABEL_EXHALE])
        precision, recall, f1, _ = scores.precision_recall_fscore_support(
            truth, decided, average="binary", pos_label=LABEL_EXHALE, zero_division=0.0
        )
        has_both = 0 < int(truth.sum()) < len(truth)
        auc = float(scores.roc_auc_score(truth, probs)) if has_both else float("nan")
        return BinaryMetrics(
            n=len(truth),
            accuracy=float(scores.accuracy_score(truth, decided)),
            auc=auc,
            precision=float(precision),
            recall=float(recall),
            f1=float(f1),
            calibration_error=expected_calibration_error(truth, probs),
            brier=float(scores.brier_score_loss(truth, probs, pos_label=LABEL_EXHALE)),
            confusion=(
                (int(confusion[0, 0]), int(confusion[0, 1])),
                (int(confusion[1, 0]), int(confusion[1, 1])),
            ),
        )


def expected_calibration_error(labels: ArrayLike, prob_exhale: ArrayLike) -> float:
    """Mean over the clips of |accuracy - confidence| of the clip's bin, 0-1.

    Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017, equations 3 and 5:
    confidence is the probability of the class decided for, in 15 bins of equal width over (0, 1]. With two
    classes it is at least 0.5, so that only the upper eight bins are in use.

    Args:
        labels: (N,), 1 = exhale, 0 = inhale.
        prob_exhale: (N,), 0-1.

    Raises:
        ValueError: as `binary_metrics`.
    """
    truth, probs = _checked(labels, prob_exhale)
    decided = probs >= 0.5
    confidence = np.where(decided, probs, 1 - probs)
    is_right = decided == (truth == LABEL_EXHALE)
    return float(calibration_error(confidence_bins(confidence, is_right)))


def bootstrap_scores(
    labels: ArrayLike, prob_exhale: ArrayLike, days: ArrayLike, n: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """The 95 % percentile interval of every score of `BinaryMetrics` when days are drawn again.

    Whole days, with replacement: clips of a day resemble each other, and drawing single clips would make the
    interval too narrow. Draws in which a score does not exist (NaN) are left out; (NaN, NaN) where there is
    only one day.

    Args:
        labels: (N,), 1 = exhale, 0 = inhale.
        prob_exhale: (N,), 0-1.
        days: (N,), the day of each clip.
        n: number of draws.
        seed: another seed, other draws.
    """
    truth, probs = _checked(labels, prob_exhale)
    drawn = [binary_metrics(truth[rows], probs[rows]) for rows in _draws(days, n, seed)]
    return {name: interval_95(np.array([getattr(one, name) for one in drawn])) for name in SCORE_NAMES}


def _draws(days: ArrayLike, n: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Row numbers of `n` draws of as many days as there are; none where there is only one."""
    names, day_of_row = np.unique(np.asarray(days), return_inverse=True)
    if len(names) < 2:
        return
    rows_of_day = [np.flatnonzero(day_of_row == day) for day in range(len(names))]
    for drawn in drawn_days(len(names), n, seed):
        yield np.concatenate([rows_of_day[day] for day in drawn])


def drawn_days(n_days: int, n: int, seed: int) -> NDArray[np.int64]:
    """(n, n_days) int64: `n` draws, with replacement, of as many days as there are."""
    return np.random.default_rng(seed).integers(n_days, size=(n, n_days))


def interval_95(draws: NDArray[np.float64]) -> Interval:
    """2.5th and 97.5th percentile of the draws that are not NaN; (NaN, NaN) where all are."""
    known = draws[~np.isnan(draws)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def _checked(labels: ArrayLike, prob_exhale: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    truth = np.asarray(labels, dtype=np.int64)
    probs = np.asarray(prob_exhale, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != probs.shape or not len(truth):
        raise ValueError(f"as many labels as probabilities, and at least one: {truth.shape}, {probs.shape}")
    if not np.isin(truth, (LABEL_INHALE, LABEL_EXHALE)).all():
        raise ValueError("labels are 0 or 1")
    # Written so that NaN fails too; float32 weights may add up to a little more than 1.
    if not ((probs >= -_ROUNDING) & (probs <= 1 + _ROUNDING)).all():
        raise ValueError("probabilities lie between 0 and 1")
    return truth, np.clip(probs, 0.0, 1.0)
