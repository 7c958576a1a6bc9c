"""The nine images of a window, from one shared short-time Fourier transform."""

import numpy as np
import torch
from torch import Tensor, nn

from engines.contract import HOP_SAMPLES, N_CHANNELS, N_FRAMES, N_ROWS, RATE_HZ
from engines.errors import ConfigError
from engines.spec import FeatureSpec
from realtime.features import banks
from realtime.features.division import or_one
from realtime.features.spectrogram import PowerSpectrogram
from realtime.features.tempogram import Tempogram
from realtime.features.torchaudio_guard import import_torchaudio_functional

DYNAMIC_RANGE_DB = 80.0
POWER_FLOOR = 1e-10
N_CEPSTRAL = 40
CENS_STEPS = (0.4, 0.2, 0.1, 0.05)
FLAT_SHARE = 1e-6


class Images(nn.Module):
    """(B, 16000) windows -> (B, 9, 128, 63) images in the contract's order, and the mel image in dB."""

    stft_bins: Tensor
    mel_bank: Tensor
    dct_time: Tensor
    dct_rows: Tensor
    delta1: Tensor
    delta2: Tensor
    chroma_bank: Tensor
    cens_steps: Tensor
    cens_smoothing: Tensor
    gammatone_bank: Tensor

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
        window = np.hanning(spec.window_samples + 1)[:-1]
        self.spectrogram = PowerSpectrogram(window, spec.n_fft)
        self.tempogram = Tempogram(spec.window_samples)
        functional = import_torchaudio_functional()
        mel_bank = functional.melscale_fbanks(
            spec.n_fft // 2 + 1, 0.0, spec.mel_fmax_hz, N_ROWS, RATE_HZ, norm="slaney", mel_scale="slaney"
        )
        self._keep("mel_bank", mel_bank.T)
        self.n_mel_bins = int(mel_bank.any(dim=1).nonzero().max()) + 1
        self._keep("dct_rows", functional.create_dct(N_CEPSTRAL, N_ROWS, "ortho").T)
        self._keep("dct_time", functional.create_dct(N_FRAMES, N_FRAMES, "ortho"))
        self._keep("delta1", torch.from_numpy(banks.derivative_matrix(1)))
        self._keep("delta2", torch.from_numpy(banks.derivative_matrix(2)))
        self._keep("chroma_bank", torch.from_numpy(banks.chroma_bank(spec.n_fft)))
        self._keep("cens_steps", torch.tensor(CENS_STEPS)[:, None, None])
        self._keep("cens_smoothing", torch.from_numpy(banks.smoothing_matrix()))
        gammatone = banks.gammatone_bank(spec.n_fft, spec.gammatone_fmin_hz, spec.gammatone_fmax_hz)
        self._keep("gammatone_bank", torch.from_numpy(gammatone))
        stft_bins = torch.arange(0, N_ROWS * spec.stft_stride, spec.stft_stride)
        self.register_buffer("stft_bins", stft_bins, persistent=False)

    def _keep(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value.to(torch.float32).contiguous(), persistent=False)

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images, and the mel image in dB (B, 128, 63) that the flux needs."""
        power = self.spectrogram(windows)
        # No mel band reaches the bins that are left out.
        mel = _decibels(self.mel_bank[:, : self.n_mel_bins] @ power[:, : self.n_mel_bins])
        cepstrum = self.dct_rows @ mel
        by_image = _standardised(
            torch.stack(
                [
                    _decibels(power.index_select(1, self.stft_bins)),
                    mel,
                    mel @ self.delta1,
                    mel @ self.delta2,
                    self.tempogram(mel),
                ],
                dim=1,
            ),
            (2, 3),
        )
        mfcc = [cepstrum, cepstrum @ self.delta1, cepstrum @ self.delta2]
        by_row = _standardised(torch.cat([*mfcc, *self._chroma(power)], dim=1), (2,))
        n_mfcc = 3 * N_CEPSTRAL
        rows = [
            by_image[:, :4].flatten(1, 2),
            *_padded(by_row[:, :n_mfcc]),
            *_padded(by_row[:, n_mfcc:]),
            *_padded(_standardised(_log1p(self.gammatone_bank @ power), (1, 2))),
            *_padded(_standardised(cepstrum @ self.dct_time, (1, 2))),
            by_image[:, 4],
        ]
        return torch.cat(rows, dim=1).reshape(-1, N_CHANNELS, N_ROWS, N_FRAMES), mel

    def _chroma(self, power: Tensor) -> tuple[Tensor, Tensor]:
        """Chroma relative to the largest of its frame, and CENS (banks.smoothing_matrix): two (B, 12, 63)."""
        raw = self.chroma_bank @ power
        by_peak = raw / or_one(raw.amax(dim=1, keepdim=True))
        by_sum = raw / or_one(raw.sum(dim=1, keepdim=True))
        steps = (by_sum[:, None] > self.cens_steps).to(raw.dtype).mean(dim=1)
        smooth = steps @ self.cens_smoothing
        norm = smooth.square().sum(dim=1, keepdim=True).sqrt()
        return by_peak, smooth / or_one(norm)


def _decibels(power: Tensor) -> Tensor:
    """Power (B, rows, frames) -> dB relative to each window's maximum, floor -80 dB; silence is 0 dB."""
    level = 10.0 * torch.log10(power.clamp_min(POWER_FLOOR))
    relative = level - level.amax(dim=(1, 2), keepdim=True)
    return relative.clamp_min(-DYNAMIC_RANGE_DB)


def _log1p(energy: Tensor) -> Tensor:
    """log(1 + x) that keeps its precision for small x also where the back end has only a plain logarithm."""
    series = energy * (1.0 - energy * (0.5 - energy / 3.0))
    return torch.where(energy < 1e-2, series, torch.log(1.0 + energy))


def _standardised(image: Tensor, dims: tuple[int, ...]) -> Tensor:
    """(x - mean) / (std + 1e-8)."""
    mean = image.mean(dim=dims, keepdim=True)
    centred = image - mean
    std = centred.square().mean(dim=dims, keepdim=True).sqrt()
    # Of a constant, float32 leaves rounding, which the division would blow up to the size of a signal.
    is_flat = std <= FLAT_SHARE * mean.abs()
    # Both sides are scaled by 1e4, because the ONNX exporter's optimiser takes "+ 1e-8" for "+ 0".
    divisor = torch.where(is_flat, 1.0, 1e4 * std + 1e-4)
    return centred * torch.where(is_flat, 0.0, 1e4 / divisor)


def _padded(image: Tensor) -> tuple[Tensor, Tensor]:
    """The image, and the rows of its own minimum that fill it up to 128 at the bottom."""
    lowest = image.amin(dim=(1, 2), keepdim=True)
    return image, lowest * torch.ones(N_ROWS - image.shape[1], N_FRAMES, device=image.device)
