"""The fast features against the slow reference, per channel and per scalar, with the tolerances stated here.

The fast side computes in float32, the reference in float64; both read the same definitions. What may differ
is rounding, and the tables say how much of it each feature lets through, and why where it is much.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from engines.contract import CHANNELS, SCALARS


@dataclass(frozen=True)
class Tolerance:
    """Allowed |fast - reference|: absolute + relative * |reference|.

    Attributes:
        absolute: in the feature's unit (channels: standard deviations of the image or row).
        relative: share of the reference's magnitude.
        is_level: `absolute` counts in units of the window's largest sample.
    """

    absolute: float
    relative: float = 0.0
    is_level: bool = False


LEVEL = Tolerance(1e-6, 1e-5, is_level=True)

TOLERANCES = {
    "stft": Tolerance(1e-3),  # a bin just above the -80 dB floor is a small difference of large sums
    "mel": Tolerance(5e-4),  # as stft
    "mel_delta": Tolerance(5e-4),
    "mel_delta2": Tolerance(5e-4),
    "mfcc": Tolerance(1e-3),  # z per row magnifies the rounding of rows that hardly vary
    # Strict although CENS quantises: no share in these windows is within rounding of a step. One that flips
    # shows as 0.01 to 0.1 over 41 frames: look whether it is a tie before loosening anything.
    # Rounding, which differs between processors: 2.1e-4 of a full-scale square on a Xeon with AMX.
    "chroma": Tolerance(3e-4),
    "gammatone": Tolerance(1e-5),
    "modulation": Tolerance(2e-4),  # coefficients reach 60 standard deviations
    "tempogram": Tolerance(1e-4),
    **{name: LEVEL for name in SCALARS if name.startswith(("rms_", "abs_percentile_", "peak_height_"))},
    **{name: Tolerance(1e-7, 1e-6) for name in SCALARS if name.startswith(("zcr_", "rolloff_"))},
    "centroid_mean": Tolerance(1e-6, 1e-4),
    "centroid_std": Tolerance(1e-6, 3e-4),
    "centroid_skewness": Tolerance(1e-3, 1e-4),  # a third moment of 63 values that lie close together
    "bandwidth_mean": Tolerance(1e-6, 5e-4),  # bins far off weigh with the square of their distance
    "bandwidth_std": Tolerance(1e-6, 5e-4),
    "flatness_mean": Tolerance(2e-6),
    "flatness_std": Tolerance(2e-6),
    "contrast_mean": Tolerance(1e-3, 1e-4),  # dB
    "contrast_std": Tolerance(1e-3, 1e-4),
    "envelope_mean": LEVEL,
    "envelope_std": LEVEL,
    "envelope_variation": Tolerance(1e-6, 1e-5),
    "peak_count": Tolerance(0.0),
    "low_energy_ratio": Tolerance(1e-6),
    "flux_mean": Tolerance(1e-4, 1e-5),  # dB
    "flux_std": Tolerance(1e-4, 1e-5),
    "flux_max": Tolerance(1e-3, 1e-5),
    "wave_skewness": Tolerance(1e-5, 1e-6),
    "wave_kurtosis": Tolerance(1e-5, 1e-6),
    "autocorrelation_10ms": Tolerance(3e-6),
    "autocorrelation_20ms": Tolerance(3e-6),
    "autocorrelation_min_lag_s": Tolerance(0.0, 1e-6),  # the lag itself is exact
    "envelope_centroid": Tolerance(2e-6),
    "envelope_skewness": Tolerance(1e-5, 1e-5),
    "spectral_entropy_mean": Tolerance(2e-6),
}

TONE, SQUARE, IMPULSE = "440 Hz tone", "full-scale square", "impulse"
CONTRAST = ("contrast_mean", "contrast_std")
ANYTHING = Tolerance(float("inf"))

# (feature, window or spec): the tolerance there. Windows go before specs.
EXCEPTIONS = {
    # The rows and onsets of a steady tone hardly vary: z magnifies their rounding.
    ("mfcc", TONE): Tolerance(1e-2),
    ("tempogram", TONE): Tolerance(1e-2),
    # A sample on a zero crossing is zero but for rounding, which has no lasting sign.
    ("zcr_mean", TONE): Tolerance(1e-4),
    ("zcr_std", TONE): Tolerance(1e-4),
    # All bins but the tone's hold only the rounding of the transform.
    ("bandwidth_mean", TONE): Tolerance(1e-6, 0.05),
    ("bandwidth_std", TONE): Tolerance(1e-6, 0.05),
    **{(name, TONE): Tolerance(4.0) for name in CONTRAST},
    # The envelope of a steady tone is flat: its deviation, shape and "peaks" are rounding.
    ("envelope_variation", TONE): ANYTHING,
    ("envelope_skewness", TONE): ANYTHING,
    ("peak_count", TONE): ANYTHING,
    # Every lag is exactly 0 in the reference, rounding in the fast version: the first minimum is arbitrary.
    ("autocorrelation_min_lag_s", IMPULSE): ANYTHING,
}


def tolerance_of(feature, window_name, spec_name):
    at_window = EXCEPTIONS.get((feature, window_name))
    return at_window or EXCEPTIONS.get((feature, spec_name)) or TOLERANCES[feature]


def excess(feature, window_name, spec_name, fast, slow, peak):
    """Largest |fast - slow| as a multiple of what is allowed (0 where both agree exactly)."""
    tolerance = tolerance_of(feature, window_name, spec_name)
    absolute = tolerance.absolute * (peak if tolerance.is_level else 1.0)
    difference = np.abs(fast - slow)
    allowed = np.maximum(absolute + tolerance.relative * np.abs(slow), np.finfo(np.float64).tiny)
    return float(np.max(difference / allowed))


def findings(feature, spec_name, names, fast, slow, peaks):
    """One line for each window in which `feature` differs by more than is allowed."""
    lines = []
    for i, name in enumerate(names):
        if np.shape(fast[i]) == ():
            values = f"fast {fast[i]:.9g}, reference {slow[i]:.9g}"
        else:
            values = f"largest difference {np.abs(fast[i] - slow[i]).max():.3g}"
        multiple = excess(feature, name, spec_name, fast[i], slow[i], peaks[i])
        if not multiple <= 1:
            lines.append(f"{feature} of {name!r} ({spec_name}): {values}, {multiple:.3g} times the tolerance")
    return lines


@pytest.mark.parametrize("channel", CHANNELS)
def test_channel(channel, both_sides, spec_name):
    names, peaks, (fast, _), (slow, _) = both_sides
    at = CHANNELS.index(channel)
    assert findings(channel, spec_name, names, fast[:, at], slow[:, at], peaks) == []


@pytest.mark.parametrize("scalar", SCALARS)
def test_scalar(scalar, both_sides, spec_name):
    names, peaks, (_, fast), (_, slow) = both_sides
    at = SCALARS.index(scalar)
    assert findings(scalar, spec_name, names, fast[:, at], slow[:, at], peaks) == []


def test_every_feature_is_finite(both_sides):
    _, _, fast, slow = both_sides
    for features in (*fast, *slow):
        assert np.isfinite(features).all()


def test_every_feature_has_a_tolerance():
    assert set(TOLERANCES) == {*CHANNELS, *SCALARS}


def test_every_exception_names_a_feature_and_a_case(edge_windows_by_name, specs_by_name):
    features, cases = ({key[i] for key in EXCEPTIONS} for i in (0, 1))
    assert features <= set(TOLERANCES)
    assert cases <= {*edge_windows_by_name, *specs_by_name}


# Low-passed noise has as many envelope peaks.
@pytest.mark.parametrize("feature", [name for name in TOLERANCES if name != "peak_count"])
def test_tolerances_tell_the_parameter_sets_apart(feature, reference_of_edges):
    """White noise under one spec must not pass for white noise under the other."""
    names, peaks, default, narrowband = reference_of_edges
    i = names.index("white noise")
    group, at = (0, CHANNELS.index(feature)) if feature in CHANNELS else (1, SCALARS.index(feature))
    one, other = default[group][i, at], narrowband[group][i, at]
    assert excess(feature, "white noise", "default", one, other, peaks[i]) > 1
