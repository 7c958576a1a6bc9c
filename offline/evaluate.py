"""A pack's phases against labelled clips: every network and the ensemble, with intervals over days."""

from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.backend import Engine
from engines.contract import contract_hash
from engines.ensemble import fuse, network_probs
from engines.errors import LabelsError
from engines.manifest import SplitDays
from engines.pack import Pack
from offline.clips import Clip, ClipSet
from offline.metrics import BinaryMetrics, Interval, binary_metrics, bootstrap_scores
from offline.naming import parse_name
from offline.predict import Progress, infer_files
from offline.versions import software_versions

PARTS: tuple[str, ...] = ("unseen", "test", "validation", "train", "all")
ENSEMBLE = "ensemble"
UNKNOWN = "unknown"

PACKAGES = ("breath", "numpy", "scipy", "scikit-learn", "soundfile", "soxr", "onnxruntime", "torch")


@dataclass(frozen=True)
class Signature:
    """Everything the figures depend on: figures with another signature are not comparable.

    Attributes:
        contract: hash of the feature contract.
        pack: the pack's name.
        pack_sha256: hash of its manifest.
        clips: fingerprint of the clips that were scored.
        part: what was asked for, one of `PARTS`.
        days_by_part: days scored, by the part of the pack's split they belong to, `unknown` for none.
        n_clips: clips scored.
        n_days_left_out: days of the clip set that `part` excluded.
        n_clips_skipped: rows of the clip set dropped because something was wrong with them.
        n_draws: draws of the bootstrap.
        seed: of the bootstrap.
        engine: name of the back end.
        versions: of the software.
    """

    contract: str
    pack: str
    pack_sha256: str
    clips: str
    part: str
    days_by_part: dict[str, int]
    n_clips: int
    n_days_left_out: int
    n_clips_skipped: int
    n_draws: int
    seed: int
    engine: str
    versions: dict[str, str]

    @property
    def n_seen_days(self) -> int:
        """Days that the pack was trained or tuned on: figures that hold any say little about new sound."""
        return self.days_by_part.get("train", 0) + self.days_by_part.get("validation", 0)


@dataclass(frozen=True)
class Score:
    """Scores of one network or the ensemble, and their 95 % intervals over days, by name of the score."""

    metrics: BinaryMetrics
    intervals: dict[str, Interval]


def words_of_seen_days(n_seen_days: int) -> str:
    """What it means that the pack knows so many of the days; empty if it knows none."""
    if not n_seen_days:
        return ""
    return (
        f"{n_seen_days} of these days were used to train or tune this pack: the figures say little about new "
        "recordings"
    )


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        signature: what the figures depend on.
        scores: by name of the network, in the pack's order, then `ensemble`.
        labels: (N,) int64; 1 = exhale.
        days: (N,) str.
        probs: (N,) float64 P(exhale) by the same names as `scores`.
    """

    signature: Signature
    scores: dict[str, Score]
    labels: NDArray[np.int64]
    days: NDArray[np.str_]
    probs: dict[str, NDArray[np.float64]]

    @property
    def warning(self) -> str:
        """What may make the figures worthless, for people; empty: nothing that is known of."""
        return words_of_seen_days(self.signature.n_seen_days)

    @property
    def accuracy_by_day(self) -> dict[str, tuple[int, int]]:
        """Clips that the ensemble decided as labelled, and clips in all, by day."""
        is_right = (self.probs[ENSEMBLE] >= 0.5) == (self.labels == 1)
        return {
            str(day): (int(is_right[self.days == day].sum()), int((self.days == day).sum()))
            for day in np.unique(self.days)
        }

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and strings; null where a figure does not exist."""
        return {
            "signature": asdict(self.signature),
            "scores": {
                name: {
                    **score.metrics.to_json(),
                    "interval_95": {
                        key: None if np.isnan(low) else [low, high]
                        for key, (low, high) in score.intervals.items()
                    },
                }
                for name, score in self.scores.items()
            },
            "days": {
                day: {"n": n_clips, "accuracy": n_right / n_clips}
                for day, (n_right, n_clips) in self.accuracy_by_day.items()
            },
        }


def evaluate(
    pack: Pack,
    clips: ClipSet,
    part: str = "unseen",
    *,
    engine: Engine,
    n_draws: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a pack on the clips of a part of its split.

    Args:
        pack: what is scored.
        clips: labelled clips, of the set it was trained on or of another.
        part: as `choose_clips`.
        engine: runs the pack.
        n_draws: draws of the bootstrap.
        seed: of the bootstrap.
        progress: called with clips done and clips in all.

    Raises:
        LabelsError: no clip belongs to `part`.
        AudioFileError: a clip cannot be read.
        EngineError: the engine failed.
    """
    manifest = pack.manifest
    chosen = choose_clips(clips, manifest.split, part)
    logits = infer_files(engine, [clip.path for clip in chosen], progress)
    names = [network.name for network in manifest.networks]
    by_network = network_probs(logits, manifest.temperature).astype(np.float64)
    probs = dict(zip(names, by_network.T, strict=True))
    probs[ENSEMBLE] = fuse(logits, manifest.weights, manifest.temperature).astype(np.float64)
    day_and_part = {(clip.day, part_of(clip, manifest.split)) for clip in chosen}
    signature = Signature(
        contract=contract_hash(),
        pack=manifest.name,
        pack_sha256=pack.sha256,
        clips=chosen.fingerprint,
        part=part,
        days_by_part=dict(sorted(Counter(its_part for _, its_part in day_and_part).items())),
        n_clips=len(chosen),
        n_days_left_out=len(set(clips.days) - set(chosen.days)),
        n_clips_skipped=clips.n_skipped,
        n_draws=n_draws,
        seed=seed,
        engine=engine.name,
        versions=software_versions(PACKAGES),
    )
    labels, days = chosen.labels, np.array(chosen.days)
    scores = {
        name: Score(binary_metrics(labels, prob), bootstrap_scores(labels, prob, days, n_draws, seed))
        for name, prob in probs.items()
    }
    return Evaluation(signature, scores, labels, days, probs)


def choose_clips(clips: ClipSet, split: SplitDays, part: str) -> ClipSet:
    """The clips of a part of a pack's split.

    `unseen` is every day that the pack was neither trained nor tuned on: the split's test days and the days
    it does not know, so all of them for a clip set from elsewhere. `all` is everything, seen or not.

    Raises:
        LabelsError: there is none.
    """
    wanted = {"unseen": ("test", UNKNOWN), "all": ("train", "validation", "test", UNKNOWN)}.get(part, (part,))
    parts = [part_of(clip, split) for clip in clips]
    chosen = tuple(clip for clip, its_part in zip(clips, parts, strict=True) if its_part in wanted)
    if not chosen:
        there = ", ".join(sorted(set(parts)))
        raise LabelsError(
            f"{clips.root} has no clip of a day that is {part} to this pack; its days are {there}. "
            "Give other clips, or choose with --part"
        )
    return ClipSet(clips.root, chosen, clips.n_skipped)


def part_of(clip: Clip, split: SplitDays) -> str:
    """The part of a split that a clip belongs to, `unknown` for none.

    The day in the clip's name counts as well as its group: a clip set that groups by something else is not
    unseen for that.
    """
    parsed = parse_name(clip.path.stem)
    return part_of_days({clip.day, parsed.day if parsed else clip.day}, split)


def part_of_days(days: Collection[str], split: SplitDays) -> str:
    """The first part of a split that holds any of the days, `unknown` for none."""
    for name, part_days in (("train", split.train), ("validation", split.validation), ("test", split.test)):
        if set(days) & set(part_days):
            return name
    return UNKNOWN
