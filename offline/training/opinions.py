"""What clips of other days say of a clip: softer targets, for unclear clips and labels that are wrong.

A network that must say *exhale* of a clip that sounds like everybody's inhalations learns that clip by heart.
So part of its target may be an opinion: the calibrated P(exhale) of a support vector machine that has heard
neither the clip nor anything else of its day.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.contract import CHANNELS, N_SCALARS
from offline.clips import ClipSet
from offline.store import FeatureStore

_MEL, _MODULATION = CHANNELS.index("mel"), CHANNELS.index("modulation")
_BANDS, _PARTS = 32, 3
_MODULATION_ROWS, _MODULATION_COLUMNS = 10, 8
_N_NUMBERS = _BANDS * (_PARTS + 1) + _MODULATION_ROWS * _MODULATION_COLUMNS + N_SCALARS
_PENALTY, _WIDTH = 2.0, 0.5
_GROUPS = 6
_BATCH = 256


@dataclass(frozen=True)
class Opinions:
    """What is thought of clips, by `ClipSet.name_of` them.

    Attributes:
        share: of a target that is the opinion, 0-1; the rest is the label.
        prob_exhale: opinion of each clip, 0-1, by its name.
    """

    share: float
    prob_exhale: dict[str, float]

    def target(self, name: str, label: float) -> float:
        """What a network is to say of a clip, 0-1; its label, if nobody has an opinion of it."""
        return label + self.share * (self.prob_exhale.get(name, label) - label)


def opinions_of_other_days(
    store: FeatureStore, clips: ClipSet, rows: NDArray[np.int64], share: float, seed: int = 0
) -> Opinions:
    """Opinions of some clips of a store, each from those of these clips that are of other days.

    The days are dealt out to six groups; a support vector machine with radial basis functions learns of five,
    from a coarse picture of each clip (see `coarse_pictures`), and judges the sixth. A logistic regression
    makes probabilities of all its distances (Platt 1999). Where the days are too few for that, there is no
    opinion, and the label stands.

    Args:
        store: features of the clips.
        clips: those of the store, in its order.
        rows: which of them; nothing else of the store is looked at.
        share: of the targets, see `Opinions`.
        seed: of the groups.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold

    labels, days = store.labels[rows], store.days[rows]
    if share == 0 or len(np.unique(days)) < _GROUPS or np.bincount(labels, minlength=2).min() < _GROUPS:
        return Opinions(share, {})
    pictures = coarse_pictures(store, rows)
    distances = np.full(len(rows), np.nan)
    groups = StratifiedGroupKFold(_GROUPS, shuffle=True, random_state=seed % 2**32)
    for others, judged in groups.split(pictures, labels, days):
        if len(np.unique(labels[others])) < 2:
            continue
        machine = support_vector_machine().fit(pictures[others], labels[others])
        distances[judged] = machine.decision_function(pictures[judged])
    is_judged = np.isfinite(distances)
    if len(np.unique(labels[is_judged])) < 2:
        return Opinions(share, {})
    found = distances[is_judged, None]
    calibrated = LogisticRegression().fit(found, labels[is_judged]).predict_proba(found)[:, 1]
    names = [clips.name_of(clips.clips[row]) for row in rows[is_judged]]
    return Opinions(share, dict(zip(names, calibrated.round(4).tolist(), strict=True)))


def support_vector_machine() -> Any:
    """One that has learned nothing yet; `fit` it to coarse pictures and labels."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return make_pipeline(StandardScaler(), SVC(C=_PENALTY, gamma=_WIDTH / _N_NUMBERS))


def coarse_pictures(store: FeatureStore, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """What the support vector machine sees of some clips: (n, 247) float32.

    The mel image in 32 bands and thirds of the second, and its deviation over time; the first 10 x 8
    coefficients of the modulation image; the scalars.
    """
    parts: list[NDArray[np.float32]] = []
    for first in range(0, len(rows), _BATCH):
        chosen = rows[first : first + _BATCH]
        images = store.images[chosen].astype(np.float32)
        mel, n = images[:, _MEL], len(chosen)
        bands = mel.reshape(n, _BANDS, -1, mel.shape[2]).mean(axis=2)
        thirds = bands.reshape(n, _BANDS, _PARTS, -1).mean(axis=3)
        spread = mel.std(axis=2).reshape(n, _BANDS, -1).mean(axis=2)
        modulation = images[:, _MODULATION, :_MODULATION_ROWS, :_MODULATION_COLUMNS]
        parts.append(
            np.concatenate(
                [thirds.reshape(n, -1), modulation.reshape(n, -1), store.scalars[chosen], spread], axis=1
            )
        )
    return np.concatenate(parts)
