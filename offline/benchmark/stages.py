"""Which stages of a hop follow one another."""

from collections.abc import Mapping
from typing import TypeVar

from engines.backend import INFERENCE
from engines.manifest import FEATURES

TRANSFERS = ("upload", "download")

_Value = TypeVar("_Value")


def successive(stages: Mapping[str, _Value]) -> dict[str, _Value]:
    """Those that add up to the hop: nothing twice, as a whole and in parts, and nothing that overlaps.

    Args:
        stages: what is known of each, by name, in order of execution. Where a GPU's work was timed in parts,
            `gpu` is the same again; where something ran side by side, `INFERENCE` is the time of all of it.
    """
    names = list(stages)
    if {*TRANSFERS} & stages.keys():
        names = [name for name in names if name != "gpu"]
    if INFERENCE in stages:
        del names[names.index(FEATURES) : names.index(INFERENCE)]
    return {name: stages[name] for name in names}
