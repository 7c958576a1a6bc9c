"""What no types can tell of a manifest: whether its parts fit one another."""

import math
import re
from collections.abc import Iterator
from itertools import pairwise

from engines.contract import RATE_HZ
from engines.manifest import FEATURES, N_STATES, Emission, Manifest

# Names of files and networks: they become paths, so nothing that could lead out of the folder.
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Of log odds and dB: what is narrower would make every window impossible.
_LEAST_DEVIATION = 1e-3


def contradictions(manifest: Manifest) -> Iterator[str]:
    """What in a manifest, whose types are right, cannot be together; in words."""
    names, weights = [network.name for network in manifest.networks], manifest.weights
    if not names or len(weights) != len(names):
        yield f"{len(names)} networks, {len(weights)} weights"
    if min(weights, default=0.0) < 0 or not math.isclose(sum(weights), 1.0, abs_tol=1e-3):
        yield f"the weights of its ensemble {weights} are no shares of one"
    if len({*names, FEATURES}) != len(names) + 1 or not all(PLAIN_NAME.fullmatch(name) for name in names):
        yield f"{names} cannot be the names of its networks"
    if len({network.n_outputs for network in manifest.networks}) > 1:
        counts = ", ".join(f"{network.name} {network.n_outputs}" for network in manifest.networks)
        yield f"all its networks must have the same number of outputs, but they have {counts}"
    if manifest.temperature <= 0:
        yield f"its temperature is {manifest.temperature}"
    lowest_hz, highest_hz = manifest.band_hz
    if not 0 <= lowest_hz < highest_hz <= RATE_HZ / 2:
        yield f"its band is from {lowest_hz:g} to {highest_hz:g} Hz"
    if manifest.emission is not None:
        yield from _contradictions_of_emission(manifest.emission)


def _contradictions_of_emission(emission: Emission) -> Iterator[str]:
    borders = (0.0, *emission.age_borders_s)
    if not all(before < border for before, border in pairwise(borders)):
        yield f"the ages of its emission, {emission.age_borders_s}, do not ascend from above 0"
    for name, normal in (("phase", emission.phase), ("presence", emission.presence), ("rise", emission.rise)):
        if normal is None:
            continue
        widths, sd_widths = ({len(row) for row in rows} for rows in (normal.mean, normal.sd))
        is_shaped = widths == {len(borders)} and sd_widths in ({1}, {len(borders)})
        if {len(normal.mean), len(normal.sd)} != {N_STATES} or not is_shaped:
            wanted = f"{N_STATES} states and {len(borders)} ranges of ages"
            yield f"its emission of the {name} is not of {wanted}"
        if not min((sd for row in normal.sd for sd in row), default=1.0) >= _LEAST_DEVIATION:
            yield f"its emission of the {name} has a deviation below {_LEAST_DEVIATION:g}"
