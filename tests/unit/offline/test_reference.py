"""The reference features by themselves: answers known without any other implementation."""

import numpy as np
import pytest

from engines.contract import CHANNELS, RATE_HZ, SCALARS, WINDOW_SAMPLES
from engines.spec import NARROWBAND, FeatureSpec
from offline.reference import gammatone_bank, lowpassed, mel_db, reference_features
from offline.reference_scalars import peak_scalars, skewness

SPECS = pytest.mark.parametrize("spec", [FeatureSpec(), NARROWBAND], ids=["default", "narrowband"])


def tone(hz, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * hz * np.arange(WINDOW_SAMPLES) / RATE_HZ)


def impulse():
    window = np.zeros(WINDOW_SAMPLES)
    window[5000] = 1.0
    return window


def scalars_of(window, spec=None):
    return dict(zip(SCALARS, reference_features(window, spec or FeatureSpec())[1], strict=True))


@SPECS
@pytest.mark.parametrize(
    "window",
    [
        np.zeros(WINDOW_SAMPLES),
        impulse(),
        np.full(WINDOW_SAMPLES, 1.0),
        np.sign(tone(100)),
        tone(440),
        1e-30 * tone(440),
    ],
    ids=["silence", "impulse", "constant", "square", "tone", "denormal power"],
)
def test_shapes_and_finiteness(window, spec):
    spectrograms, scalars = reference_features(window.astype(np.float32), spec)
    assert spectrograms.shape == (9, 128, 63)
    assert scalars.shape == (39,)
    assert spectrograms.dtype == scalars.dtype == np.float64
    assert np.isfinite(spectrograms).all()
    assert np.isfinite(scalars).all()


@SPECS
def test_silence_is_all_zero_but_for_flatness_and_the_one_plateau(spec):
    spectrograms, scalars = reference_features(np.zeros(WINDOW_SAMPLES), spec)
    assert not spectrograms.any()
    nonzero = {name: value for name, value in zip(SCALARS, scalars, strict=True) if value != 0}
    assert nonzero == {"flatness_mean": pytest.approx(1.0), "peak_count": 1.0}


def test_scalars_of_an_impulse():
    scalars = scalars_of(impulse())
    assert scalars["rms_max"] == pytest.approx(np.sqrt(1 / 2048))
    assert scalars["peak_count"] == 1
    assert scalars["peak_height_mean"] == pytest.approx(1.0)
    assert scalars["autocorrelation_10ms"] == 0
    assert scalars["autocorrelation_min_lag_s"] == 1 / RATE_HZ


def test_scalars_of_a_tone():
    scalars = scalars_of(tone(500))
    assert scalars["rms_max"] == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)
    assert scalars["zcr_max"] == pytest.approx(2 * 500 / RATE_HZ, rel=0.05)
    assert scalars["centroid_mean"] == pytest.approx(500 / 8000, rel=0.1)
    assert scalars["envelope_mean"] == pytest.approx(0.5, rel=1e-6)
    assert scalars["low_energy_ratio"] > 0.999
    assert scalars["wave_kurtosis"] == pytest.approx(-1.5)
    assert scalars["autocorrelation_20ms"] == pytest.approx(1.0, abs=0.021)
    assert scalars["autocorrelation_min_lag_s"] == pytest.approx(1e-3)
    assert scalars["envelope_centroid"] == pytest.approx(0.5, abs=1e-6)


def test_a_late_burst_has_a_late_centroid():
    window = np.zeros(WINDOW_SAMPLES)
    window[12_000:12_400] = tone(800)[:400]
    assert scalars_of(window)["envelope_centroid"] == pytest.approx(12_200 / 15_999, abs=0.05)


def test_peaks_keep_their_distance_and_a_plateau_counts_once():
    envelope = np.zeros(WINDOW_SAMPLES)
    envelope[2000], envelope[3599] = 3.0, 2.0  # the second one is within reach of the first
    envelope[8000:8004] = 5.0
    count, mean, deviation = peak_scalars(envelope)
    assert (count, mean, deviation) == (2, 4.0, 1.0)


def test_a_falling_envelope_has_its_peak_at_the_first_sample():
    assert peak_scalars(np.linspace(2.0, 1.0, WINDOW_SAMPLES)) == [1.0, 2.0, 0.0]


def test_skewness_of_a_constant_is_zero():
    assert skewness(np.full(63, 0.25)) == 0.0


def test_lowpass_has_no_delay_and_keeps_its_band():
    spike = lowpassed(impulse(), 2000.0)
    assert spike.argmax() == 5000
    np.testing.assert_allclose(spike[4873:5000], spike[5001:5128][::-1], atol=1e-15)
    assert not spike[:4873].any()
    inside = slice(200, -200)
    np.testing.assert_allclose(lowpassed(tone(1000), 2000.0)[inside], tone(1000)[inside], atol=2e-3)
    assert np.abs(lowpassed(tone(2500), 2000.0)[inside]).max() < 2e-3


def test_lowpass_reaches_channels_and_scalars():
    mixed = tone(500, 0.3) + tone(3500, 0.3)
    without, with_lowpass = FeatureSpec(), FeatureSpec(lowpass_hz=2000.0)
    assert scalars_of(mixed, without)["low_energy_ratio"] == pytest.approx(0.5, abs=0.01)
    assert scalars_of(mixed, with_lowpass)["low_energy_ratio"] > 0.99
    image, limited = (reference_features(mixed, spec)[0][0] for spec in (without, with_lowpass))
    kept, removed = 500 * 512 // RATE_HZ, 3500 * 512 // RATE_HZ
    assert image[removed, 31] == pytest.approx(image[kept, 31], abs=0.05)
    assert limited[removed, 31] < limited[kept, 31] - 2


@pytest.mark.parametrize("hz", [250, 500, 1500])
def test_a_tone_stands_on_its_row(hz):
    spec = FeatureSpec()
    spectrograms, _ = reference_features(tone(hz), spec)
    stft, gammatone = (spectrograms[CHANNELS.index(name)] for name in ("stft", "gammatone"))
    assert stft[:, 31].argmax() == hz * 512 // RATE_HZ
    bank = gammatone_bank(spec)
    assert gammatone[:64, 31].argmax() == bank[:, hz * 512 // RATE_HZ].argmax()


def test_gammatone_centres_reach_from_lowest_to_highest():
    spec = FeatureSpec(n_fft=16_000, gammatone_fmin_hz=50.0, gammatone_fmax_hz=4500.0)  # one bin per Hz
    centre_hz = gammatone_bank(spec).argmax(axis=1)
    assert (centre_hz[0], centre_hz[-1]) == (50, 4500)
    assert (np.diff(centre_hz, 2) >= -1).all()


@SPECS
def test_mel_is_relative_to_its_maximum_with_a_floor(spec):
    power = np.zeros((spec.n_fft // 2 + 1, 63))
    power[20, 10] = 1.0
    mel = mel_db(power, spec)
    assert mel.shape == (128, 63)
    assert (mel.max(), mel.min()) == (0.0, -80.0)


@SPECS
def test_short_channels_are_padded_with_their_minimum(spec):
    noise = 0.1 * np.random.default_rng(5).standard_normal(WINDOW_SAMPLES)
    spectrograms, _ = reference_features(noise, spec)
    for name, n_rows in {"mfcc": 120, "chroma": 24, "gammatone": 64, "modulation": 40}.items():
        image = spectrograms[CHANNELS.index(name)]
        assert (image[n_rows:] == image[:n_rows].min()).all(), name


def test_level_leaves_no_trace_in_the_mel_image_but_in_the_scalars():
    noise = 0.1 * np.random.default_rng(6).standard_normal(WINDOW_SAMPLES)
    loud, soft = (reference_features(gain * noise, FeatureSpec()) for gain in (1.0, 0.25))
    np.testing.assert_allclose(loud[0][CHANNELS.index("mel")], soft[0][CHANNELS.index("mel")], atol=1e-9)
    assert loud[1][0] == pytest.approx(4 * soft[1][0])
