"""The gate before the features."""

import numpy as np
import pytest

from engines.errors import AudioError
from realtime.features.guard import require_finite


@pytest.mark.parametrize("shape", [(16_000,), (3, 16_000), (0, 16_000), (0,)])
def test_finite_sound_passes(shape):
    loud = np.full(shape, np.finfo(np.float32).max, dtype=np.float32)
    require_finite(loud)


@pytest.mark.parametrize(("bad", "word"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_first_bad_sample_of_one_window_is_named(bad, word):
    window = np.zeros(16_000, dtype=np.float32)
    window[[41, 900]] = bad
    with pytest.raises(AudioError, match=rf"^sample 41 of 16000 is {word}, .*\(2 such samples") as caught:
        require_finite(window)
    assert caught.value.exit_code == 3


def test_first_bad_sample_of_a_batch_is_named_with_its_window():
    windows = np.zeros((4, 16_000), dtype=np.float32)
    windows[2, 15_999] = np.nan
    windows[3, 0] = np.inf
    with pytest.raises(AudioError, match=r"^sample 15999 of 16000 in window 2 is nan"):
        require_finite(windows)
