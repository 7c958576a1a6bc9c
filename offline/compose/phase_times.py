"""How long phases and gaps last in real recordings, as tables of quantiles."""

import csv
import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.errors import LabelsError

N_QUANTILES = 21

_COLUMNS = {"recording", "phase", "start_s", "end_s"}
_GAPS = {"EI": "gap_after_exhale_s", "IE": "gap_after_inhale_s", "II": "gap_unheard_exhale_s"}


@dataclass(frozen=True)
class PhaseTimes:
    """Quantiles 0, 0.05, ... 1 of each length, in seconds.

    Attributes:
        inhale_s: length of an inhalation.
        exhale_s: length of an exhalation.
        gap_after_inhale_s: from its end to the start of the exhalation; negative where labels overlap.
        gap_after_exhale_s: from its end to the start of the inhalation.
        gap_unheard_exhale_s: from the end of an inhalation to the next one, where the exhalation between them
            was not labelled.
    """

    inhale_s: tuple[float, ...]
    exhale_s: tuple[float, ...]
    gap_after_inhale_s: tuple[float, ...]
    gap_after_exhale_s: tuple[float, ...]
    gap_unheard_exhale_s: tuple[float, ...]

    @classmethod
    def read(cls, path: Path) -> "PhaseTimes":
        """Measure the tables in a CSV with the columns `recording,phase,start_s,end_s` (phase E or I).

        Raises:
            LabelsError: it cannot be read, or lacks one of the five kinds of length.
        """
        lengths: defaultdict[str, list[float]] = defaultdict(list)
        for phases in _recordings(path).values():
            ordered = sorted(phases, key=lambda phase: phase[1])
            for letter, start_s, end_s in ordered:
                lengths["exhale_s" if letter == "E" else "inhale_s"].append(end_s - start_s)
            for (letter, _, end_s), (next_letter, next_start_s, _) in pairwise(ordered):
                gap = _GAPS.get(letter + next_letter)
                if gap is not None:
                    lengths[gap].append(next_start_s - end_s)
        missing = sorted(set(cls.__dataclass_fields__) - set(lengths))
        if missing:
            raise LabelsError(f"{path} holds no example of {', '.join(missing)}; give longer timelines")
        shares = np.linspace(0, 1, N_QUANTILES)
        return cls(
            **{
                name: tuple(round(float(value), 3) for value in np.quantile(lengths[name], shares))
                for name in cls.__dataclass_fields__
            }
        )

    def at(self, name: str, share: float | NDArray[np.float64]) -> float | NDArray[np.float64]:
        """The quantile `share` (0-1) of one of the attributes, linear between those of the table, seconds."""
        table = getattr(self, name)
        value = np.interp(share, np.linspace(0, 1, len(table)), table)
        return float(value) if np.ndim(value) == 0 else value


def _recordings(path: Path) -> dict[str, list[tuple[str, float, float]]]:
    recordings: defaultdict[str, list[tuple[str, float, float]]] = defaultdict(list)
    try:
        with path.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.DictReader(text)
            if not _COLUMNS.issubset(reader.fieldnames or ()):
                raise LabelsError(f"{path}: the columns of timelines are {', '.join(sorted(_COLUMNS))}")
            for row in reader:
                start_s, end_s = float(row["start_s"]), float(row["end_s"])
                if row["phase"] not in ("E", "I") or not 0 <= start_s < end_s < math.inf:
                    raise LabelsError(f"{path}, line {reader.line_num}: not a phase E or I with start < end")
                recordings[row["recording"]].append((row["phase"], start_s, end_s))
    except (OSError, UnicodeDecodeError, csv.Error, TypeError, ValueError) as error:
        raise LabelsError(f"cannot read the timelines {path}: {error}") from error
    return recordings


# What `PhaseTimes.read` finds in the 127 labelled phases of ten recordings of HF_Lung_V1 (Hsu et al., PLoS
# ONE 2021, CC BY 4.0), mostly of fast breathers. Medians: inhalation 0.69 s, exhalation
# 0.73 s, gaps 0.08 and 0.11 s.
DEFAULT_PHASE_TIMES = PhaseTimes(
    inhale_s=(
        0.419, 0.484, 0.518, 0.553, 0.605, 0.609, 0.646, 0.677, 0.684, 0.684, 0.685,
        0.711, 0.742, 0.746, 0.779, 0.798, 0.851, 0.913, 0.913, 1.416, 1.521,
    ),
    exhale_s=(
        0.38, 0.505, 0.559, 0.577, 0.616, 0.643, 0.646, 0.648, 0.684, 0.711, 0.729,
        0.74, 0.742, 0.862, 0.951, 1.024, 1.082, 1.103, 1.176, 2.104, 2.317,
    ),
    gap_after_inhale_s=(
        -0.021, -0.002, 0.007, 0.018, 0.018, 0.037, 0.054, 0.056, 0.067, 0.074, 0.075,
        0.075, 0.087, 0.094, 0.108, 0.155, 0.257, 0.283, 0.321, 0.359, 0.454,
    ),
    gap_after_exhale_s=(
        -0.002, 0.018, 0.035, 0.036, 0.037, 0.042, 0.055, 0.056, 0.075, 0.093, 0.112,
        0.123, 0.135, 0.227, 0.284, 0.312, 0.339, 0.464, 0.663, 1.033, 2.94,
    ),
    gap_unheard_exhale_s=(
        0.462, 0.489, 0.515, 0.669, 0.823, 1.013, 1.203, 1.227, 1.251, 1.477, 1.704,
        1.734, 1.764, 1.972, 2.18, 2.208, 2.236, 2.284, 2.332, 2.407, 2.483,
    ),
)  # fmt: skip
