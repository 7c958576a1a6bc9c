"""Windows on which features and engines go wrong first."""

import numpy as np
from numpy.typing import NDArray

from engines.contract import RATE_HZ, WINDOW_SAMPLES


def edge_cases() -> dict[str, NDArray[np.float32]]:
    """Name -> (16000,) float32 in [-1, 1]: silence, an impulse, full scale, faint and loud noise, ..."""
    time_s = np.arange(WINDOW_SAMPLES) / RATE_HZ
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(WINDOW_SAMPLES)
    impulse = np.zeros(WINDOW_SAMPLES)
    impulse[WINDOW_SAMPLES // 2] = 1.0
    windows = {
        "silence": np.zeros(WINDOW_SAMPLES),
        "impulse": impulse,
        "full-scale square": np.sign(np.sin(2 * np.pi * 100.3 * time_s + 0.1)),
        "noise at 1e-6": 1e-6 * noise,
        "white noise": 0.1 * noise,
        "440 Hz tone": 0.5 * np.sin(2 * np.pi * 440 * time_s),
        "decaying burst": 0.5 * noise * np.exp(-6 * time_s),
    }
    return {name: window.astype(np.float32).clip(-1, 1) for name, window in windows.items()}
