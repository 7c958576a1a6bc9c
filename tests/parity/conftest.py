"""Windows for the parity of the fast features with the reference, and both sides' answers to them."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from engines.contract import RATE_HZ, WINDOW_SAMPLES
from engines.spec import NARROWBAND, FeatureSpec

SPECS = {"default": FeatureSpec(), "narrowband": NARROWBAND}
CLIPS_FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "hf_lung_clips" / "train"
N_DAYS = 8


@cache
def edge_windows():
    """Name -> window (16000,) float32: the sounds on which normalisation, logarithms and ties are hardest."""
    rng = np.random.default_rng(2025)
    seconds = np.arange(WINDOW_SAMPLES) / RATE_HZ
    impulse = np.zeros(WINDOW_SAMPLES)
    impulse[5000] = 1.0
    burst = rng.standard_normal(WINDOW_SAMPLES) * np.exp(-np.maximum(seconds - 0.2, 0) / 0.03)
    burst[seconds < 0.2] = 0.0
    windows = {
        "silence": np.zeros(WINDOW_SAMPLES),
        "impulse": impulse,
        "full-scale square": np.where((seconds * 100) % 1 < 0.5, 1.0, -1.0),
        "noise at 1e-6": 1e-6 * rng.standard_normal(WINDOW_SAMPLES),
        "white noise": 0.1 * rng.standard_normal(WINDOW_SAMPLES),
        "decaying burst": 0.2 * burst,
        "440 Hz tone": 0.5 * np.sin(2 * np.pi * 440 * seconds),
    }
    return {name: window.astype(np.float32) for name, window in windows.items()}


@cache
def clip_windows():
    """Name -> window (16000,) float32: the first clip of some recording days, spread over the whole set."""
    import soundfile

    first_of_day = {}
    for path in sorted(CLIPS_FOLDER.glob("steth_*.wav")):
        first_of_day.setdefault(path.name.split("_")[1], path)
    days = sorted(first_of_day)
    windows = {}
    for day in days[:: max(1, len(days) // N_DAYS)][:N_DAYS]:
        samples, rate_hz = soundfile.read(first_of_day[day], dtype="float32")
        assert rate_hz == RATE_HZ
        windows[first_of_day[day].name] = np.pad(samples, (0, WINDOW_SAMPLES))[:WINDOW_SAMPLES]
    return windows


def windows_of(kind):
    """Name -> window, of the made-up kind or of the real clips."""
    return edge_windows() if kind == "edge" else clip_windows()


@cache
def fast_features(spec_name, kind):
    """Spectrograms (n, 9, 128, 63) and scalars (n, 39) of the torch implementation, as float64."""
    import torch

    from realtime.features.stack import FeatureStack

    windows = torch.from_numpy(np.stack(list(windows_of(kind).values())))
    with torch.inference_mode():
        spectrograms, scalars = FeatureStack(SPECS[spec_name]).eval()(windows)
    return spectrograms.numpy().astype(np.float64), scalars.numpy().astype(np.float64)


@cache
def slow_features(spec_name, kind):
    """Spectrograms (n, 9, 128, 63) and scalars (n, 39) of the reference."""
    from offline.reference import reference_features

    pairs = [reference_features(window, SPECS[spec_name]) for window in windows_of(kind).values()]
    return np.stack([spectrograms for spectrograms, _ in pairs]), np.stack([scalars for _, scalars in pairs])


@pytest.fixture(params=["edge", pytest.param("clips", marks=pytest.mark.data)])
def kind(request):
    """Which windows: made up everywhere, or real clips where they are there."""
    if request.param == "clips" and not CLIPS_FOLDER.is_dir():
        pytest.skip("the labelled clips are not beside the project (../shared)")
    return request.param


@pytest.fixture(params=list(SPECS))
def spec_name(request):
    """Which parameters inside the channels."""
    return request.param


@pytest.fixture
def both_sides(spec_name, kind):
    """Window names, their largest samples, and (spectrograms, scalars) of both sides, fast first."""
    windows = windows_of(kind)
    peaks = [float(np.abs(window).max()) for window in windows.values()]
    return list(windows), peaks, fast_features(spec_name, kind), slow_features(spec_name, kind)


@pytest.fixture
def reference_of_edges():
    """Names and largest samples of the made-up windows, and the reference's features under both specs."""
    windows = windows_of("edge")
    peaks = [float(np.abs(window).max()) for window in windows.values()]
    return list(windows), peaks, slow_features("default", "edge"), slow_features("narrowband", "edge")


@pytest.fixture
def edge_windows_by_name():
    return edge_windows()


@pytest.fixture
def specs_by_name():
    return SPECS
