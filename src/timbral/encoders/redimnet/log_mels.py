"""ReDimNet's two front-ends: log mels of pre-emphasized waves, minus each utterance's mean.

In pre-emphasis, the predecessor of the first sample is the second, as in a mirrored wave. Windows
have 400 samples; the two front-ends differ in:

    torchaudio   windows centered on multiples of the hop, the wave mirrored at both ends; periodic
                 window function, 257 bins, filters that are triangular over Hz
    tf           80 zeros before and after the wave; symmetric window function, 256 bins, assumed
                 evenly spaced up to half the sample rate, filters that are triangular over mel
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from timbral.encoders.frontends import (
    Frontend,
    frame_blocks,
    masked_frames,
    mirrored,
    triangles,
)
from timbral.encoders.layers.frames import frame_mask

__all__ = [
    "REDIMNET_FFT",
    "WINDOW_SAMPLES",
    "RedimnetMel",
    "RedimnetMelConfig",
    "mel_filters",
    "mel_window",
]

SAMPLE_RATE = 16_000
WINDOW_SAMPLES = 400
REDIMNET_FFT = 512
LOW_HZ, HIGH_HZ = 20.0, 7_600.0
PRE_EMPHASIS = 0.97
EPSILON = {"tf": 1e-8, "torchaudio": 1e-6}
"""added to the standard deviation of a wave, and to mels before the logarithm"""


@dataclass(frozen=True)
class RedimnetMelConfig:
    """The settings of the front-end in `RedimnetConfig`."""

    features: str
    n_mels: int
    hop_samples: int
    normalize_waves: bool


def mel_window(features: str) -> Tensor:
    """The Hamming window (400,)."""
    return torch.hamming_window(WINDOW_SAMPLES, periodic=features == "torchaudio")


def mel_filters(features: str, n_mels: int) -> Tensor:
    """Triangles of height one, mel = 2595 log10(1 + f / 700): (bins, n_mels)."""
    low, high = (2595.0 * math.log10(1.0 + hz / 700.0) for hz in (LOW_HZ, HIGH_HZ))
    edges = torch.linspace(low, high, n_mels + 2, dtype=torch.float64)
    bins = REDIMNET_FFT // 2 + (1 if features == "torchaudio" else 0)
    hz = torch.linspace(0.0, SAMPLE_RATE / 2, bins, dtype=torch.float64)[:, None]
    if features == "torchaudio":
        return triangles(hz, 700.0 * (10.0 ** (edges / 2595.0) - 1.0)).float()
    return triangles(2595.0 * torch.log10(1.0 + hz / 700.0), edges).float()


class RedimnetMel(Frontend):
    """Log mels of ReDimNet, computed in float32 whatever the model's precision."""

    config: RedimnetMelConfig
    window: Tensor
    filters: Tensor

    def __init__(self, config: RedimnetMelConfig) -> None:
        super().__init__()
        self.config = config
        self.sample_rate = SAMPLE_RATE
        self.hop_samples = config.hop_samples
        self.num_features = config.n_mels
        self.epsilon = EPSILON[config.features]
        self.is_tf = config.features == "tf"
        self.register_buffer("window", mel_window(config.features), persistent=False)
        filters = mel_filters(config.features, config.n_mels)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(waves.device.type, enabled=False):
            inside = frame_mask(lengths, waves.shape[1])
            waves = waves.float().masked_fill(~inside, 0.0)
            if self.config.normalize_waves:
                waves = self._normalized(waves, inside, lengths)
            # Zeros after the end again: pre-emphasis extends the last sample by one.
            waves = _pre_emphasized(waves) * inside
            mels = self._all_mels(self._windows(self._padded(waves, lengths)))
            frame_lengths = self._frame_lengths(lengths)
            return masked_frames(mels, frame_lengths, mean_normalize=True), frame_lengths

    def _normalized(self, waves: Tensor, inside: Tensor, lengths: Tensor) -> Tensor:
        count = lengths[:, None]
        centered = (waves - waves.sum(1, keepdim=True) / count) * inside
        variance = centered.square().sum(1, keepdim=True) / count
        return centered / (variance.sqrt() + self.epsilon)

    def _frame_lengths(self, lengths: Tensor) -> Tensor:
        if self.is_tf:
            uncovered = WINDOW_SAMPLES - 2 * (self.hop_samples // 2)
            return (lengths - uncovered) // self.hop_samples + 1
        return lengths // self.hop_samples + 1

    def _padded(self, waves: Tensor, lengths: Tensor) -> Tensor:
        if not self.is_tf:
            return mirrored(waves, lengths, WINDOW_SAMPLES // 2)
        half = self.hop_samples // 2
        return nn.functional.pad(waves, (half, half))

    def _windows(self, padded: Tensor) -> Tensor:  # (B, T) -> (B, F, N), a view
        return padded.unfold(1, WINDOW_SAMPLES, self.hop_samples)

    def _all_mels(self, windows: Tensor) -> Tensor:  # (B, F, N) -> (B, F, M)
        return torch.cat([self._mels(block) for block in frame_blocks(windows)], dim=1)

    def _mels(self, windows: Tensor) -> Tensor:  # (B, F, N) -> (B, F, M)
        power = self._power(windows * self.window)
        if not self.is_tf:
            return torch.log(power @ self.filters + self.epsilon)
        low, high = self.epsilon, 1 / self.epsilon
        mels = (power[..., :-1].clamp(low, high) @ self.filters).clamp(low, high)
        return torch.log(mels + self.epsilon)

    def _power(self, windowed: Tensor) -> Tensor:  # (B, F, N) -> (B, F, 257)
        spectrum = torch.fft.rfft(windowed, n=REDIMNET_FFT)
        power: Tensor = spectrum.real.square() + spectrum.imag.square()
        return power


def _pre_emphasized(waves: Tensor) -> Tensor:
    before = torch.cat([waves[:, 1:2], waves[:, :-1]], dim=1)
    return waves - PRE_EMPHASIS * before
