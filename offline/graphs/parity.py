"""The parity gate: how far an engine's probabilities are from float32, and whether that is near enough.

An engine is judged by what it would change for a user: the probability, the phase, the area under the curve.
Float16 has three decimal digits, so digits prove nothing.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engines.backend import Engine
from engines.ensemble import fuse, fuse_presence
from engines.errors import EngineError
from engines.manifest import Manifest
from engines.pack import Pack
from offline.graphs.gate_reference import Reference, open_reference
from offline.graphs.probes import UNLABELLED, Windows

Verdict = Literal["passed", "failed", "not run here"]
BATCH = 16


@dataclass(frozen=True)
class Tolerance:
    """The largest differences that pass.

    Attributes:
        largest: of P(exhale) and of P(breath), at any window.
        mean: of P(exhale) and of P(breath), on average.
        auc_lost: of the area under the curve.
        phase_agreement: smallest share of windows with the same phase that passes.
        undecided: where the reference's P(exhale) is this near to a half, either phase is the same.
        auc_by_chance: further area that may be lost, divided by the number of labelled windows: with few, one
            of them that changes places with another costs more than it means.
    """

    largest: float
    mean: float
    auc_lost: float
    phase_agreement: float
    undecided: float = 0.05
    auc_by_chance: float = 0.0


# The features' quantised chroma may step to the other side on another device, which moves a few windows.
# The AUC that is lost over n windows has a standard deviation of 0.2 / n: by chance alone, three of these.
AUC_BY_CHANCE = 0.6
TOLERANCES = {
    "fp32": Tolerance(largest=0.05, mean=2e-3, auc_lost=1e-3, phase_agreement=0.995),
    "fp16": Tolerance(largest=0.1, mean=5e-3, auc_lost=3e-3, phase_agreement=0.99),
    # Of the same INT8 graphs in two libraries, which round to the next step in their own ways.
    "int8": Tolerance(largest=0.1, mean=5e-3, auc_lost=3e-3, phase_agreement=0.99),
    # Of INT8 graphs for the CPU and what `symmetric_graph` makes of them, with half as many steps.
    "symmetric int8": Tolerance(largest=0.1, mean=0.02, auc_lost=3e-3, phase_agreement=0.97),
    # Of either and torch with the same weights, which rounds nothing in between. In the shipped packs that
    # moves P by 0.01 at most on average where there is real sound, and P(breath) of an impulse by 0.13.
    "int8 against float32": Tolerance(
        largest=0.2, mean=0.03, auc_lost=3e-3, phase_agreement=0.97, auc_by_chance=AUC_BY_CHANCE
    ),
}


@dataclass(frozen=True)
class Probs:
    """What an engine says.

    Attributes:
        exhale: (n,) float32 P(exhale).
        breath: (n,) float32 P(breath); None for a pack that does not know of presence.
    """

    exhale: NDArray[np.float32]
    breath: NDArray[np.float32] | None = None

    def part(self, rows: slice) -> "Probs":
        """Of some of the windows."""
        return Probs(self.exhale[rows], None if self.breath is None else self.breath[rows])


@dataclass(frozen=True)
class Parity:
    """The gate's answer.

    Attributes:
        verdict: whether the engine may be used; `not run here` is neither yes nor no.
        reason: why it was not run, or what is too far; empty if it passed.
        against: what it was compared with.
        n_windows: number of windows.
        largest: largest difference of P(exhale).
        mean: mean absolute difference of P(exhale).
        phase_agreement: share of windows on the same side of 0.5, or `undecided`.
        auc_lost: AUC of the reference minus that of the engine; None without clips of both phases.
        largest_of_breath: largest difference of P(breath); None for a pack that does not know of presence.
        mean_of_breath: mean absolute difference of P(breath), alike.
        windows: what the windows were, for people.
    """

    verdict: Verdict
    reason: str
    against: str
    n_windows: int = 0
    largest: float | None = None
    mean: float | None = None
    phase_agreement: float | None = None
    auc_lost: float | None = None
    largest_of_breath: float | None = None
    mean_of_breath: float | None = None
    windows: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a manifest."""
        return asdict(self)

    def __str__(self) -> str:
        if self.verdict == "not run here":
            return f"parity: not run here ({self.reason})"
        lost = "" if self.auc_lost is None else f", AUC lost {self.auc_lost:.4f}"
        breath = (
            ""
            if self.mean_of_breath is None
            else f", P(breath) by {self.mean_of_breath:.2g} and {self.largest_of_breath:.2g}"
        )
        reason = f": {self.reason}" if self.reason else ""
        return (
            f"parity {self.verdict}{reason}; against {self.against}, on "
            f"{self.windows or f'{self.n_windows} windows'}: "
            f"P differs by {self.mean:.2g} on average, {self.largest:.2g} at most, same phase in "
            f"{self.phase_agreement:.2%}{lost}{breath}"
        )


def compare(
    engine: Engine,
    pack: Pack,
    precision: str,
    windows: Windows,
    progress: Callable[[int, int], None] = lambda _n_done, _n_all: None,
    reference: Reference | None = None,
) -> Parity:
    """Run an engine and a reference on the same windows.

    Where there is real sound, the figures are of that; made-up edge cases are judged by themselves.

    Args:
        engine: the one that is judged.
        pack: that it was made of.
        precision: of `TOLERANCES`; INT8 that is held to torch has those of `int8 against float32`.
        windows: what both hear.
        progress: told (windows done, windows in all), once for each of the two.
        reference: what it is held to, which is closed then; None: `open_reference`.

    Raises:
        EngineError: one of them fails.
    """
    reference = reference or open_reference(pack)
    with reference.engine:
        expected = _probs(reference.engine, pack.manifest, windows.samples, progress)
    found = _probs(engine, pack.manifest, windows.samples, progress)
    if reference.is_torch and precision.endswith("int8"):
        precision = "int8 against float32"

    def judged_part(part: slice, words: str) -> Parity:
        said = [probs.part(part) for probs in (expected, found)]
        parity = judged(said[0], said[1], windows.labels[part], precision, reference.words)
        return replace(parity, windows=words)

    n_made_up, n_windows = windows.n_made_up, len(windows.samples)
    if not 0 < n_made_up < n_windows:
        return judged_part(slice(None), windows.words)
    made_up = f"{n_made_up} made-up edge cases"
    edge_cases = judged_part(slice(n_made_up), made_up)
    if edge_cases.verdict == "failed":
        return edge_cases
    return judged_part(slice(n_made_up, None), f"{windows.words} (and {made_up} pass)")


def judged(
    expected: Probs,
    found: Probs,
    labels: NDArray[np.int64],
    precision: str,
    against: str,
) -> Parity:
    """Judge probabilities by the tolerances of `precision`.

    Raises:
        EngineError: only one of the two knows of presence.
    """
    tolerance = TOLERANCES[precision]
    difference = np.abs(expected.exhale - found.exhale)
    is_same = (expected.exhale > 0.5) == (found.exhale > 0.5)
    is_same |= np.abs(expected.exhale - 0.5) < tolerance.undecided
    figures: dict[str, Any] = {
        "largest": float(difference.max()),
        "mean": float(difference.mean()),
        "phase_agreement": float(is_same.mean()),
    }
    is_known = labels != UNLABELLED
    auc_lost = _auc_lost(expected.exhale[is_known], found.exhale[is_known], labels[is_known])
    may_be_lost = tolerance.auc_lost + tolerance.auc_by_chance / max(1, int(is_known.sum()))
    # Written so that a NaN fails.
    is_near = {
        "the largest difference": figures["largest"] <= tolerance.largest,
        "the mean difference": figures["mean"] <= tolerance.mean,
        "the phase": figures["phase_agreement"] >= tolerance.phase_agreement,
        "the AUC": auc_lost is None or auc_lost <= may_be_lost,
    }
    if (expected.breath is None) != (found.breath is None):
        raise EngineError(
            "of engine and reference, one gives P(breath) and the other does not; build it again"
        )
    if expected.breath is not None and found.breath is not None:
        difference = np.abs(expected.breath - found.breath)
        figures |= {"largest_of_breath": float(difference.max()), "mean_of_breath": float(difference.mean())}
        is_near["P(breath)"] = (
            figures["largest_of_breath"] <= tolerance.largest and figures["mean_of_breath"] <= tolerance.mean
        )
    too_far = [name for name, near in is_near.items() if not near]
    return Parity(
        verdict="failed" if too_far else "passed",
        reason=f"{' and '.join(too_far)} too far off" if too_far else "",
        against=against,
        n_windows=len(expected.exhale),
        auc_lost=auc_lost,
        **figures,
    )


def _probs(
    engine: Engine, manifest: Manifest, samples: NDArray[np.float32], progress: Callable[[int, int], None]
) -> Probs:
    exhale, breath = [], []
    for first in range(0, len(samples), BATCH):
        said = engine.infer(samples[first : first + BATCH])
        exhale.append(fuse(said.logits, manifest.weights, manifest.temperature))
        if said.presence_logits is not None:
            breath.append(fuse_presence(said.presence_logits, manifest.weights))
        progress(min(first + BATCH, len(samples)), len(samples))
    return Probs(np.concatenate(exhale), np.concatenate(breath) if breath else None)


def _auc_lost(
    expected: NDArray[np.float32], found: NDArray[np.float32], labels: NDArray[np.int64]
) -> float | None:
    if len(set(labels)) < 2 or not np.isfinite(found).all():
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, expected) - roc_auc_score(labels, found))
