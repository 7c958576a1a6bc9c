"""How much one-second clips tell of their phase, on days that were not learned from.

python tests/bench/clip_ceiling.py --data DIR [--spec reference] [--store STORE] [--groups 5] [--seed 1]

A support vector machine on a coarse picture of each clip (`offline.training.opinions`) takes seconds to train
and is about as good as the networks, so that it shows what more days, or other splits, would bring. Only
training and validation days of the split are used. As a table in Markdown: by the share of the days that are
learned from, and with the clips of a day on both sides, which is what figures from random splits have.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from engines.spec import NARROWBAND, FeatureSpec
from offline.clips import ClipSet
from offline.metrics import binary_metrics
from offline.precompute import precompute
from offline.split import Split, split_by_day
from offline.store import FeatureStore, open_store
from offline.training.opinions import coarse_pictures, support_vector_machine
from offline.training.trained_pack import rows_of

SPECS = {"narrowband": NARROWBAND, "reference": FeatureSpec()}
SHARES = (0.125, 0.25, 0.5, 0.75, 1.0)
DRAWS = 3
Rows = NDArray[np.int64]
Parts = tuple[Rows, Rows]


def parts(store: FeatureStore, rows: Rows, chosen: argparse.Namespace, *, by_day: bool) -> Iterator[Parts]:
    """Places within `rows` to learn from and to judge."""
    labels, days = store.labels[rows], store.days[rows]
    kind = StratifiedGroupKFold if by_day else StratifiedKFold
    divided = kind(chosen.groups, shuffle=True, random_state=chosen.seed)
    yield from divided.split(labels, labels, days if by_day else None)


def some_days(days: NDArray[np.str_], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which clips are of a drawn share of the days."""
    names = np.unique(days)
    return np.isin(days, rng.choice(names, max(1, round(share * len(names))), replace=False))


def score(
    store: FeatureStore, rows: Rows, chosen: argparse.Namespace, share: float = 1.0, *, by_day: bool = True
) -> str:
    """Mean over the groups, and over the draws of days: accuracy | AUC."""
    pictures, labels, days = coarse_pictures(store, rows), store.labels[rows], store.days[rows]
    found = []
    for draw in range(1 if share == 1 else DRAWS):
        rng = np.random.default_rng((chosen.seed, draw))
        for learned, judged in parts(store, rows, chosen, by_day=by_day):
            kept = learned[some_days(days[learned], share, rng)] if share < 1 else learned
            if len(np.unique(labels[kept])) < 2:
                continue
            machine = support_vector_machine().fit(pictures[kept], labels[kept])
            distance = machine.decision_function(pictures[judged])
            metrics = binary_metrics(labels[judged], 1 / (1 + np.exp(-distance)))
            found.append((metrics.accuracy, metrics.auc))
    accuracy, auc = np.mean(found, axis=0)
    return f"{accuracy:.3f} | {auc:.3f}"


def split_score(store: FeatureStore, split: Split) -> str:
    """What the networks are chosen by: accuracy | AUC on the validation days."""
    learned, judged = rows_of(store, split, "train"), rows_of(store, split, "validation")
    machine = support_vector_machine().fit(coarse_pictures(store, learned), store.labels[learned])
    distance = machine.decision_function(coarse_pictures(store, judged))
    metrics = binary_metrics(store.labels[judged], 1 / (1 + np.exp(-distance)))
    return f"{metrics.accuracy:.3f} | {metrics.auc:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of a labelled clip set")
    parser.add_argument(
        "--spec", choices=list(SPECS), default="narrowband", help="parameters of the features"
    )
    parser.add_argument("--store", type=Path, help="feature store; made, and deleted, if not given")
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    clips = ClipSet.read(chosen.data)
    with tempfile.TemporaryDirectory() as folder:
        place = chosen.store or Path(folder)
        precompute(clips, place, SPECS[chosen.spec])
        store = open_store(place)
        split = split_by_day(clips)
        rows = np.flatnonzero(~np.isin(store.days, split.test))
        print(f"{len(rows)} clips of {len(np.unique(store.days[rows]))} days, {chosen.groups} groups of days")
        print(f"\n| {chosen.spec}: learned from | accuracy | AUC |\n|---|---|---|")
        for share in SHARES:
            scores = score(store, rows, chosen, share)
            print(f"| {share:.0%} of the days of the other groups | {scores} |", flush=True)
        print(f"| training days of the split, judged on its validation days | {split_score(store, split)} |")
        print(f"| as many clips as with 100%, but of all days | {score(store, rows, chosen, by_day=False)} |")


if __name__ == "__main__":
    main()
