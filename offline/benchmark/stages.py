"""Which stages of a hop follow one another."""

from collections.abc import Mapping
from typing import TypeVar

from engines.backend import NETWORKS
from engines.manifest import FEATURES

TRANSFERS = ("upload", "download")

_Value = TypeVar("_Value")


def successive(stages: Mapping[str, _Value]) -> dict[str, _Value]:
    """Those that add up to the hop: nothing twice, as a whole and in parts, and nothing that overlaps.

    Args:
        stages: what is known of each, by name, in order of execution. Where a GPU's work was timed in parts,
            `gpu` is the same again; where networks ran side by side, `NETWORKS` is the time of all of them.
    """
    names = list(stages)
    if {*TRANSFERS} & stages.keys():
        names = [name for name in names if name != "gpu"]
    if NETWORKS in stages:
        del names[names.index(FEATURES) + 1 : names.index(NETWORKS)]
    return {name: stages[name] for name in names}
