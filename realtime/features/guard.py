"""The gate before the features: sound that is not a number never reaches them.

One NaN spreads over a whole window and from there into every mean of the stream, and the feature stack, which
has to stay exportable and free of branches, cannot say so.
"""

import numpy as np
from numpy.typing import NDArray

from engines.errors import AudioError


def require_finite(windows: NDArray[np.floating]) -> None:
    """Pass sound whose samples are all finite.

    Args:
        windows: samples in any shape with time last, such as (16000,) or (B, 16000); may be empty.

    Raises:
        AudioError: a sample is NaN or infinite; the message names the first one.
    """
    is_finite = np.isfinite(windows)
    if is_finite.all():
        return
    *row, sample = (int(axis) for axis in np.argwhere(~is_finite)[0])
    value = windows[(*row, sample)]
    where = f"sample {sample} of {windows.shape[-1]}"
    if row:
        where += f" in window {row[0] if len(row) == 1 else tuple(row)}"
    raise AudioError(
        f"{where} is {value}, not a finite number ({int((~is_finite).sum())} such samples in all); "
        "check the file for damage, or the driver and effects of the input device"
    )
