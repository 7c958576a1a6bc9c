"""The nine images of a window, from one shared short-time Fourier transform."""

import torch
from torch import Tensor, nn

from engines.contract import HOP_SAMPLES, N_FRAMES, N_ROWS, RATE_HZ
from engines.errors import ConfigError
from engines.spec import FeatureSpec
from realtime.features import banks
from realtime.features.dft import RealDft
from realtime.features.division import or_one
from realtime.features.framing import framed
from realtime.features.torchaudio_guard import import_torchaudio_functional

DYNAMIC_RANGE_DB = 80.0
POWER_FLOOR = 1e-10
N_MFCC = 40
N_MODULATION_ROWS = 40
TEMPOGRAM_WIDTH = 384
CENS_STEPS = (0.4, 0.2, 0.1, 0.05)
FLAT_SHARE = 1e-6


class Images(nn.Module):
    """(B, 16000) windows -> (B, 9, 128, 63) images in the contract's order, and the mel image in dB."""

    window: Tensor
    mel_bank: Tensor
    dct_time: Tensor
    dct_rows: Tensor
    mfcc_dct: Tensor
    delta1: Tensor
    delta2: Tensor
    chroma_bank: Tensor
    cens_smoothing: Tensor
    gammatone_bank: Tensor
    tempogram_padding: Tensor
    tempogram_window: Tensor
    tempogram_index: Tensor

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        if spec.window_samples % HOP_SAMPLES or spec.n_fft < spec.window_samples:
            raise ConfigError(
                f"feature parameters: window_samples={spec.window_samples} must be a multiple of "
                f"{HOP_SAMPLES} and at most n_fft={spec.n_fft}"
            )
        if N_ROWS * spec.stft_stride > spec.n_fft // 2 + 1:
            raise ConfigError(
                f"feature parameters: {N_ROWS} rows at every {spec.stft_stride}. bin need more than the "
                f"{spec.n_fft // 2 + 1} bins of n_fft={spec.n_fft}"
            )
        self.spec = spec
        self.dft = RealDft.of_length(spec.n_fft)
        self.tempogram_dft = RealDft.of_length(512)
        functional = import_torchaudio_functional()
        mel_bank = functional.melscale_fbanks(
            spec.n_fft // 2 + 1, 0.0, spec.mel_fmax_hz, N_ROWS, RATE_HZ, norm="slaney", mel_scale="slaney"
        )
        self._keep("mel_bank", mel_bank.T)
        self._keep("mfcc_dct", functional.create_dct(N_MFCC, N_ROWS, "ortho").T)
        self._keep("dct_rows", functional.create_dct(N_MODULATION_ROWS, N_ROWS, "ortho").T)
        self._keep("dct_time", functional.create_dct(N_FRAMES, N_FRAMES, "ortho"))
        self._keep("window", torch.hann_window(spec.window_samples, dtype=torch.float64))
        self._keep("delta1", torch.from_numpy(banks.derivative_matrix(1)))
        self._keep("delta2", torch.from_numpy(banks.derivative_matrix(2)))
        self._keep("chroma_bank", torch.from_numpy(banks.chroma_bank(spec.n_fft)))
        self._keep("cens_smoothing", torch.from_numpy(banks.smoothing_matrix()))
        gammatone = banks.gammatone_bank(spec.n_fft, spec.gammatone_fmin_hz, spec.gammatone_fmax_hz)
        self._keep("gammatone_bank", torch.from_numpy(gammatone))
        self._keep("tempogram_padding", torch.from_numpy(banks.tempogram_padding(TEMPOGRAM_WIDTH)))
        self._keep("tempogram_window", torch.hann_window(TEMPOGRAM_WIDTH, dtype=torch.float64))
        index = torch.arange(N_FRAMES)[:, None] + torch.arange(TEMPOGRAM_WIDTH)[None, :]
        self.register_buffer("tempogram_index", index, persistent=False)

    def _keep(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value.to(torch.float32).contiguous(), persistent=False)

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images, and the mel image in dB (B, 128, 63) that the flux needs."""
        power = self._power(windows)
        mel = _decibels(self.mel_bank @ power)
        delta, delta2 = mel @ self.delta1, mel @ self.delta2
        rows = power[:, : N_ROWS * self.spec.stft_stride : self.spec.stft_stride]
        channels = [
            _standardised_image(_decibels(rows)),
            _standardised_image(mel),
            _standardised_image(delta),
            _standardised_image(delta2),
            _padded(_standardised_rows(self._mfcc(mel))),
            _padded(_standardised_rows(self._chroma(power))),
            _padded(_standardised_image(_log1p(self.gammatone_bank @ power))),
            _padded(_standardised_image(self.dct_rows @ mel @ self.dct_time)),
            _standardised_image(self._tempogram(mel)),
        ]
        return torch.stack(channels, dim=1), mel

    def _power(self, windows: Tensor) -> Tensor:
        """(B, 16000) -> power spectrogram (B, n_fft // 2 + 1, 63)."""
        frames = framed(windows, self.spec.window_samples) * self.window
        frames = nn.functional.pad(frames, (0, self.spec.n_fft - self.spec.window_samples))
        return self.dft.power(frames).transpose(1, 2)

    def _mfcc(self, mel: Tensor) -> Tensor:
        mfcc = self.mfcc_dct @ mel
        return torch.cat([mfcc, mfcc @ self.delta1, mfcc @ self.delta2], dim=1)

    def _chroma(self, power: Tensor) -> Tensor:
        raw = self.chroma_bank @ power
        by_peak = raw / or_one(raw.amax(dim=1, keepdim=True))
        by_sum = raw / or_one(raw.sum(dim=1, keepdim=True))
        exceeded = [(by_sum > threshold).to(raw.dtype) for threshold in CENS_STEPS]
        steps = torch.stack(exceeded).mean(dim=0)
        smooth = steps @ self.cens_smoothing
        norm = smooth.square().sum(dim=1, keepdim=True).sqrt()
        return torch.cat([by_peak, smooth / or_one(norm)], dim=1)

    def _tempogram(self, mel: Tensor) -> Tensor:
        lag, centring = 1, self.spec.window_samples // (2 * HOP_SAMPLES)
        rise = (mel[..., lag:] - mel[..., :-lag]).clamp_min(0.0).mean(dim=1)
        onset = nn.functional.pad(rise, (lag + centring, 0))[:, :N_FRAMES]
        extended = onset @ self.tempogram_padding
        segments = extended[:, self.tempogram_index] * self.tempogram_window
        lags = self.tempogram_dft.autocorrelation(segments, N_ROWS)
        return (lags / or_one(lags[..., :1])).transpose(1, 2)


def _decibels(power: Tensor) -> Tensor:
    """Power (B, rows, frames) -> dB relative to each window's maximum, floor -80 dB; silence is 0 dB."""
    level = 10.0 * torch.log10(power.clamp_min(POWER_FLOOR))
    relative = level - level.amax(dim=(1, 2), keepdim=True)
    return relative.clamp_min(-DYNAMIC_RANGE_DB)


def _log1p(energy: Tensor) -> Tensor:
    """log(1 + x) that keeps its precision for small x also where the back end has only a plain logarithm."""
    series = energy * (1.0 - energy * (0.5 - energy / 3.0))
    return torch.where(energy < 1e-2, series, torch.log(1.0 + energy))


def _standardised_image(image: Tensor) -> Tensor:
    return _standardised(image, (1, 2))


def _standardised_rows(image: Tensor) -> Tensor:
    return _standardised(image, (2,))


def _standardised(image: Tensor, dims: tuple[int, ...]) -> Tensor:
    """(x - mean) / (std + 1e-8)."""
    centred = image - image.mean(dim=dims, keepdim=True)
    std = centred.square().mean(dim=dims, keepdim=True).sqrt()
    # Of a constant, float32 leaves rounding, which the division would blow up to the size of a signal.
    is_flat = std <= FLAT_SHARE * image.abs().amax(dim=dims, keepdim=True)
    # Both sides are scaled by 1e4, because the ONNX exporter's optimiser takes "+ 1e-8" for "+ 0".
    divisor = torch.where(is_flat, torch.ones_like(std), 1e4 * std + 1e-4)
    return torch.where(is_flat, torch.zeros_like(image), (1e4 * centred) / divisor)


def _padded(image: Tensor) -> Tensor:
    """Fill up to 128 rows, at the bottom, with the image's own minimum."""
    lowest = image.amin(dim=(1, 2), keepdim=True)
    return torch.cat([image, lowest.expand(-1, N_ROWS - image.shape[1], N_FRAMES)], dim=1)
