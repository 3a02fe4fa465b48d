"""Mel front-ends: waveforms to frames, one preset per family of models."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["GE2E_MEL", "LOG_MEL_80", "MelConfig", "MelSpectrogram", "frame_mask", "slaney_mel"]

CHUNK_FRAMES = 1024  # larger FFT batches leave the CPU's cache and are slower


@dataclass(frozen=True)
class MelConfig:
    """A mel spectrogram of centred Hann windows over zero-padded audio."""

    sample_rate: int = 16_000
    window_samples: int = 400  # 25 ms
    hop_samples: int = 160  # 10 ms
    n_mels: int = 40
    log: bool = False
    """natural logarithm of power + 1e-6"""
    mean_normalise: bool = False
    """subtract each utterance's mean over its own frames"""


GE2E_MEL = MelConfig()
"""System B's, Resemblyzer's and Real-Time-Voice-Cloning's: 40 linear mel powers."""

LOG_MEL_80 = MelConfig(n_mels=80, log=True)


def slaney_mel(n_mels: int, n_fft: int, sample_rate: int) -> Tensor:
    """Triangular filters on Slaney's mel scale, each of unit area in Hz: (n_fft / 2 + 1, n_mels).

    Linear to 1 kHz, logarithmic above (Slaney, Auditory Toolbox, 1998).
    """
    step, knee, log_step = 200.0 / 3.0, 1000.0, math.log(6.4) / 27.0

    def to_hz(mel: Tensor) -> Tensor:
        above = knee * torch.exp(log_step * (mel - knee / step))
        return torch.where(mel < knee / step, mel * step, above)

    top_mel = knee / step + math.log(sample_rate / 2 / knee) / log_step
    edges = to_hz(torch.linspace(0.0, top_mel, n_mels + 2, dtype=torch.float64))
    bins = torch.linspace(0.0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)[:, None]
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = torch.minimum(rise, fall).clamp(min=0.0)
    return (filters * 2.0 / (edges[2:] - edges[:-2])).float()


def frame_mask(lengths: Tensor, frames: int) -> Tensor:
    """True where a frame lies inside its utterance: lengths (B,) -> (B, F)."""
    return torch.arange(frames, device=lengths.device)[None, :] < lengths[:, None]


class MelSpectrogram(nn.Module):
    """Mel frames of waveforms, computed in float32 whatever the model's precision.

    With the config `GE2E_MEL` it equals ``librosa.feature.melspectrogram(n_fft=400,
    hop_length=160, n_mels=40)``.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.config = config
        n_fft = config.window_samples
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        filters = slaney_mel(config.n_mels, n_fft, config.sample_rate)
        self.register_buffer("filters", filters, persistent=False)

    def frame_lengths(self, lengths: Tensor) -> Tensor:
        """Frames of utterances of `lengths` samples."""
        return lengths // self.config.hop_samples + 1

    def forward(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Waves (B, T) with `lengths` (B,) samples -> frames (B, F, M) and their number (B,).

        Whatever lies behind an utterance's end is taken as zero, and so are the frames there.
        """
        with torch.autocast(waves.device.type, enabled=False):
            waves = waves.float() * frame_mask(lengths, waves.shape[1])
            half = self.config.window_samples // 2
            padded = nn.functional.pad(waves, (half, half))
            frames = padded.unfold(1, self.config.window_samples, self.config.hop_samples)
            parts = torch.split(frames, self._chunk(frames), dim=1)
            mels = torch.cat([self._mel(part) for part in parts], dim=1)
            frame_lengths = self.frame_lengths(lengths)
            mask = frame_mask(frame_lengths, mels.shape[1])[:, :, None]
            if self.config.log:
                mels = torch.log(mels + 1e-6)
            if self.config.mean_normalise:
                mels = mels - (mels * mask).sum(1, keepdim=True) / frame_lengths[:, None, None]
            return mels * mask, frame_lengths

    def _chunk(self, frames: Tensor) -> int:
        on_cpu = frames.device.type == "cpu"
        return max(1, CHUNK_FRAMES // frames.shape[0]) if on_cpu else frames.shape[1]

    def _mel(self, frames: Tensor) -> Tensor:  # (B, F, N) -> (B, F, M)
        spectrum = torch.fft.rfft(frames * self.window)
        mels: Tensor = (spectrum.real.square() + spectrum.imag.square()) @ self.filters
        return mels
