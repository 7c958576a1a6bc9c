"""What every figure shares: colours, style, intervals, and the way to a PNG."""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

# Okabe and Ito's palette: told apart by every kind of colour vision, and in grey.
SERIES_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
INHALE_COLOUR, EXHALE_COLOUR = "#0072B2", "#D55E00"
INK, FAINT = "#222222", "#B0B0B0"
_Z_95 = 1.96

_STYLE: dict[Any, Any] = {
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    # Names of networks and days are data: a dollar sign in one is a dollar sign.
    "text.parse_math": False,
}


def pngs_from_figures(figures: Mapping[str, Callable[[], Figure]]) -> dict[str, bytes]:
    """Draw every figure in the common style; the content of a PNG by its name."""
    images: dict[str, bytes] = {}
    with mpl.rc_context(_STYLE):
        for name, draw in figures.items():
            image = BytesIO()
            draw().savefig(image, format="png")
            images[name] = image.getvalue()
    return images


def percent_ticks(axes: Axes, which: str) -> None:
    """Label the axes named in `which`, `x`, `y` or both, from 0 to 100 %."""
    ticks = np.linspace(0, 1, 6)
    words = [f"{tick:.0%}" for tick in ticks]
    if "x" in which:
        axes.set_xticks(ticks, words)
    if "y" in which:
        axes.set_yticks(ticks, words)


def wilson(
    n_hits: NDArray[np.number[Any]], n: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % interval of a proportion (Wilson, JASA 1927): sensible for small n and shares near 0 and 1."""
    share = n_hits / n
    centre = (share + _Z_95**2 / (2 * n)) / (1 + _Z_95**2 / n)
    half = _Z_95 / (1 + _Z_95**2 / n) * np.sqrt(share * (1 - share) / n + _Z_95**2 / (4 * n**2))
    return centre - half, centre + half
