"""Constant matrices of the image channels: filter banks, derivatives, smoothing. All float64, made once."""

import math

import numpy as np
from numpy.typing import NDArray

from engines.contract import N_FRAMES, RATE_HZ

Matrix = NDArray[np.float64]


def chroma_bank(n_fft: int, n_chroma: int = 12) -> Matrix:
    """Gaussian bumps over the pitch classes, (n_chroma, n_fft // 2 + 1), row 0 = C.

    Each bin's pitch is spread over the classes with a width that follows the spacing of the bins, every bin
    has unit L2 norm, and bins are weighted by a Gaussian over octaves centred on the fifth, two octaves wide:
    D. Ellis, "Chroma feature analysis and synthesis", 2007, with the defaults of librosa.filters.chroma.
    """
    freqs_hz = np.arange(1, n_fft) * RATE_HZ / n_fft
    pitch = n_chroma * np.log2(freqs_hz / (440.0 / 16.0))
    pitch = np.concatenate([[pitch[0] - 1.5 * n_chroma], pitch])
    width = np.concatenate([np.maximum(np.diff(pitch), 1.0), [1.0]])
    half = round(n_chroma / 2)
    distance = pitch[None, :] - np.arange(n_chroma)[:, None]
    distance = np.remainder(distance + half + 10 * n_chroma, n_chroma) - half
    bank = np.exp(-0.5 * (2 * distance / width[None, :]) ** 2)
    bank /= np.sqrt((bank**2).sum(axis=0, keepdims=True))
    bank *= np.exp(-0.5 * ((pitch / n_chroma - 5.0) / 2.0) ** 2)[None, :]
    from_c = np.roll(bank, -3 * (n_chroma // 12), axis=0)
    return np.ascontiguousarray(from_c[:, : n_fft // 2 + 1])


def gammatone_bank(n_fft: int, fmin_hz: float, fmax_hz: float, n_bands: int = 64) -> Matrix:
    """Power responses of fourth-order gammatone filters, (n_bands, n_fft // 2 + 1).

    Centres are equally spaced on the ERB-rate scale 21.4 log10(1 + 0.00437 f) and the bandwidth is
    1.019 * 24.7 (0.00437 f + 1) Hz (Glasberg and Moore, Hearing Research 47, 1990); the response around a
    centre is (1 + ((f - fc) / b)^2)^-4 (Patterson et al., 1992, of order four, squared for power).
    """
    low, high = (21.4 * math.log10(1 + 0.00437 * f) for f in (fmin_hz, fmax_hz))
    centres_hz = (10 ** (np.linspace(low, high, n_bands) / 21.4) - 1) / 0.00437
    bandwidth_hz = 1.019 * 24.7 * (0.00437 * centres_hz + 1)
    freqs_hz = np.arange(n_fft // 2 + 1) * RATE_HZ / n_fft
    distance = (freqs_hz[None, :] - centres_hz[:, None]) / bandwidth_hz[:, None]
    response: Matrix = (1 + distance**2) ** -4.0
    return response


def derivative_matrix(order: int, width: int = 9, n_frames: int = N_FRAMES) -> Matrix:
    """Savitzky-Golay derivative along time, (n_frames, n_frames): `image @ matrix`.

    A polynomial of degree `order` is fitted to `width` frames; at the edges the first (last) fit is
    extended (Savitzky and Golay, Anal. Chem. 36, 1964; as librosa.feature.delta in its mode "interp").
    """
    half = width // 2
    offsets = np.arange(-half, half + 1)
    fit = np.linalg.pinv(np.vander(offsets, order + 1, increasing=True))
    weights = fit[order] * math.factorial(order)
    matrix = np.zeros((n_frames, n_frames))
    for frame in range(n_frames):
        first = min(max(frame - half, 0), n_frames - width)
        matrix[first : first + width, frame] = weights
    return matrix


def smoothing_matrix(width: int = 41, n_frames: int = N_FRAMES) -> Matrix:
    """Convolution along time with a Hann bump of `width` frames and unit sum, (n_frames, n_frames).

    The smoothing of chroma energy normalised statistics: Müller and Ewert, ISMIR 2011.
    """
    bump = np.hanning(width + 2)
    bump /= bump.sum()
    half = (width + 2) // 2
    matrix = np.zeros((n_frames, n_frames))
    for source in range(n_frames):
        for target in range(max(0, source - half), min(n_frames, source + half + 1)):
            matrix[source, target] = bump[target - source + half]
    return matrix


def tempogram_padding(width: int = 384, n_frames: int = N_FRAMES) -> Matrix:
    """Extend an envelope by ramps to zero, `width / 2` frames at both ends, (n_frames, n_frames + width)."""
    half = width // 2
    matrix = np.zeros((n_frames, n_frames + width))
    matrix[:, half : half + n_frames] = np.eye(n_frames)
    ramp = np.arange(half) / half
    matrix[0, :half] = ramp
    matrix[-1, half + n_frames :] = ramp[::-1]
    return matrix
