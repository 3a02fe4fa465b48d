"""Layers for exported graphs that compute the same numbers with operators that all runtimes have.

ONNX's own STFT is slow and deviates by 1e-3 in onnxruntime, so the spectrum is computed as a
product with the matrix of the discrete Fourier transform. Batch norm, whose statistics are constant
here, becomes a scale and an offset.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.frontends import FBANK_FFT, KaldiFbank, MelSpectrogram
from timbral.encoders.layers.norm import BatchNorm, FrameBatchNorm
from timbral.encoders.redimnet.log_mels import REDIMNET_FFT, WINDOW_SAMPLES, RedimnetMel

__all__ = ["DftFbank", "DftMelSpectrogram", "DftRedimnetMel", "FixedNorm", "with_replacements"]


class DftPower(nn.Module):
    """The power spectrum (..., n_fft / 2 + 1) of windows (..., N), padded with zeros."""

    basis: Tensor

    def __init__(self, window_samples: int, n_fft: int) -> None:
        super().__init__()
        times = torch.arange(window_samples)[:, None]
        self.bins = n_fft // 2 + 1
        turns = (times * torch.arange(self.bins)) % n_fft  # whole numbers: exact
        angles = turns.double() * (2 * math.pi / n_fft)
        basis = torch.cat([angles.cos(), angles.sin()], dim=1).float()
        self.register_buffer("basis", basis, persistent=False)

    def forward(self, windowed: Tensor) -> Tensor:
        squares = (windowed @ self.basis).square()
        return squares[..., : self.bins] + squares[..., self.bins :]


def _overlapping(waves: Tensor, size: int, hop: int) -> Tensor:
    """Like `waves.unfold(1, size, hop)`, for any length after the export: (B, T) -> (B, F, N)."""
    starts = torch.arange((waves.shape[1] - size) // hop + 1, device=waves.device) * hop
    index = starts[:, None] + torch.arange(size, device=waves.device)
    return waves[:, index]


class DftMelSpectrogram(MelSpectrogram):
    """`MelSpectrogram` as a product, for all frames at once."""

    def __init__(self, plain: MelSpectrogram) -> None:
        super().__init__(plain.config)
        self.power = DftPower(self.config.window_samples, self.config.window_samples)

    def _padded(self, waves: Tensor, lengths: Tensor) -> Tensor:
        if self.config.edges != "zeros":
            return super()._padded(waves, lengths)
        half = waves.new_zeros(waves.shape[0], self.config.window_samples // 2)
        return torch.cat([half, waves, half], dim=1)

    def _frames(self, padded: Tensor) -> Tensor:
        return _overlapping(padded, self.config.window_samples, self.config.hop_samples)

    def _all_mels(self, frames: Tensor) -> Tensor:
        return self._mels(frames)

    def _power(self, windowed: Tensor) -> Tensor:
        power: Tensor = self.power(windowed)
        return power


class DftFbank(KaldiFbank):
    """`KaldiFbank` as a product, for all frames at once."""

    in_blocks = False

    def __init__(self, plain: KaldiFbank) -> None:
        super().__init__(plain.config)
        self.power = DftPower(self.window_samples, FBANK_FFT)

    def _windows(self, waves: Tensor) -> Tensor:
        return _overlapping(waves, self.window_samples, self.hop_samples)

    def _all_banks(self, windows: Tensor) -> Tensor:
        return self.banks(windows)

    def _power(self, windowed: Tensor) -> Tensor:
        power: Tensor = self.power(windowed)
        return power


class DftRedimnetMel(RedimnetMel):
    """`RedimnetMel` as a product, for all frames at once."""

    def __init__(self, plain: RedimnetMel) -> None:
        super().__init__(plain.config)
        self.power = DftPower(WINDOW_SAMPLES, REDIMNET_FFT)

    def _windows(self, padded: Tensor) -> Tensor:
        return _overlapping(padded, WINDOW_SAMPLES, self.hop_samples)

    def _all_mels(self, windows: Tensor) -> Tensor:
        return self._mels(windows)

    def _power(self, windowed: Tensor) -> Tensor:
        power: Tensor = self.power(windowed)
        return power


class FixedNorm(nn.Module):
    """A batch norm in evaluation mode, as a scale and an offset per channel."""

    scale: Tensor
    offset: Tensor

    def __init__(self, norm: BatchNorm) -> None:
        super().__init__()
        scale, offset = norm.scale_and_offset()
        self.register_buffer("scale", scale.float())
        self.register_buffer("offset", offset.float())

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        return frames * self.scale + self.offset


REPLACEMENTS: dict[type[nn.Module], Callable[..., nn.Module]] = {
    BatchNorm: FixedNorm,
    FrameBatchNorm: FixedNorm,
    KaldiFbank: DftFbank,
    MelSpectrogram: DftMelSpectrogram,
    RedimnetMel: DftRedimnetMel,
}


@torch.no_grad()
def with_replacements(network: SpeakerEncoder) -> SpeakerEncoder:
    """A copy on the CPU, in evaluation mode, with the layers above; its vectors are the same."""
    exported = copy.deepcopy(network).cpu().float().eval()
    for module in list(exported.modules()):
        for name, child in module.named_children():
            if type(child) in REPLACEMENTS:
                setattr(module, name, REPLACEMENTS[type(child)](child))
    return exported.eval().requires_grad_(False)
