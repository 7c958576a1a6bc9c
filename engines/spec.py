"""The parameters inside the channels: what the contract leaves open, recorded in every pack."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FeatureSpec:
    """How the channels are computed; the defaults are the contract's reference parameters.

    One short-time Fourier transform (periodic Hann of `window_samples`, zero-padded to `n_fft`, hop 256,
    centred, zeros at the edges) is shared by all channels. `stft_stride` keeps every n-th of its bins
    for the `stft` channel, so that its 128 rows span `128 * stft_stride * 16000 / n_fft` Hz.
    The scalars do not depend on these parameters, except for the flux (of the `mel` image) and for
    `lowpass_hz`.

    Attributes:
        window_samples: length of the analysis window, samples.
        n_fft: length of the transform, samples, at least `window_samples`.
        stft_stride: every n-th bin is a row of the `stft` channel.
        mel_fmax_hz: upper edge of the 128 mel bands, Hz.
        gammatone_fmin_hz: centre of the lowest of the 64 gammatone bands, Hz.
        gammatone_fmax_hz: centre of the highest one, Hz.
        lowpass_hz: the window is low-passed here before anything else is computed, Hz; None: it is not.
    """

    window_samples: int = 512
    n_fft: int = 512
    stft_stride: int = 1
    mel_fmax_hz: float = 4500.0
    gammatone_fmin_hz: float = 50.0
    gammatone_fmax_hz: float = 4500.0
    lowpass_hz: float | None = None


# Spends the 128 rows on the band that stethoscope recordings have (nothing above 2 kHz).
NARROWBAND = FeatureSpec(
    window_samples=1024,
    n_fft=2048,
    stft_stride=2,
    mel_fmax_hz=2000.0,
    gammatone_fmin_hz=50.0,
    gammatone_fmax_hz=2000.0,
    lowpass_hz=2000.0,
)
