"""Front-ends: waveforms to frames, with one preset per family of models."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from timbral.encoders.fbank_blocks import PREEMPHASIS, FbankBlocks
from timbral.encoders.layers.frames import frame_mask
from timbral.encoders.mel_config import DECIBEL_MEL_80, GE2E_MEL, LOG_MEL_80, MelConfig

__all__ = [
    "DECIBEL_MEL_80",
    "GE2E_MEL",
    "KALDI_FBANK_80",
    "LOG_MEL_80",
    "WESPEAKER_FBANK_80",
    "FbankConfig",
    "Frontend",
    "KaldiFbank",
    "MelConfig",
    "MelSpectrogram",
    "frame_blocks",
    "kaldi_mel",
    "masked_frames",
    "mirrored",
    "slaney_mel",
    "symmetric_mel",
    "triangles",
]

BLOCK_FRAMES = 1024
"""frames per FFT on a CPU; more do not fit into its cache and are slower"""


class Frontend(nn.Module, ABC):
    """Waveforms (B, T) to frames (B, F, M), one every `hop_samples`."""

    config: Any
    """frozen dataclass with all settings"""
    sample_rate: int
    hop_samples: int
    """samples between two frames"""
    num_features: int
    """M"""

    @abstractmethod
    def forward(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Waves (B, T) with `lengths` (B,) in samples -> frames (B, F, M) and their number (B,).

        Neither padding nor batch mates affect an utterance's frames.
        """


def triangles(bins: Tensor, edges: Tensor) -> Tensor:
    """Triangles of height one between every three neighboring edges (M + 2,), at bins (N, 1)."""
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.minimum(rise, fall).clamp(min=0.0)


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
    filters = triangles(bins, edges)
    return (filters * 2.0 / (edges[2:] - edges[:-2])).float()


def symmetric_mel(n_mels: int, n_fft: int, sample_rate: int) -> Tensor:
    """SpeechBrain's filters: (n_fft / 2 + 1, n_mels), of height one, mel = 2595 log10(1 + f / 700).

    Both sides of a triangle have the same width in Hz: the distance to the next lower center.
    """
    top = 2595.0 * math.log10(1.0 + sample_rate / 2 / 700.0)
    mels = torch.linspace(0.0, top, n_mels + 2, dtype=torch.float64)
    edges = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    bins = torch.linspace(0.0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)[:, None]
    slope = (bins - edges[1:-1]) / (edges[1:-1] - edges[:-2])
    return (1.0 - slope.abs()).clamp(min=0.0).float()


FILTERS = {"slaney": slaney_mel, "symmetric": symmetric_mel}
WINDOW_FUNCTIONS = {"hann": torch.hann_window, "hamming": torch.hamming_window}


def masked_frames(frames: Tensor, frame_lengths: Tensor, mean_normalize: bool) -> Tensor:
    """Frames (B, F, M), zero after each end; with `mean_normalize`, minus each utterance's mean."""
    mask = frame_mask(frame_lengths, frames.shape[1])[:, :, None]
    if mean_normalize:
        frames = frames - (frames * mask).sum(1, keepdim=True) / frame_lengths[:, None, None]
    return frames * mask


def frame_blocks(frames: Tensor) -> tuple[Tensor, ...]:
    """Frames (B, F, N) in blocks along F that fit into a CPU's cache; one block on a GPU."""
    on_cpu = frames.device.type == "cpu"
    size = max(1, BLOCK_FRAMES // frames.shape[0]) if on_cpu else frames.shape[1]
    return torch.split(frames, size, dim=1)


def mirrored(waves: Tensor, lengths: Tensor, count: int) -> Tensor:
    """Waves (B, T), each mirrored at its first and its last sample: (B, T + 2 count).

    Samples more than `count` after an utterance's end are undefined.
    """
    position = torch.arange(-count, waves.shape[1] + count, device=waves.device).abs()
    last = lengths[:, None] - 1
    index = torch.where(position > last, 2 * last - position, position)
    return waves.gather(1, index.clamp(min=0))


class MelSpectrogram(Frontend):
    """Mel frames of waveforms, computed in float32 whatever the model's precision.

    With the config `GE2E_MEL` it equals ``librosa.feature.melspectrogram(n_fft=400,
    hop_length=160, n_mels=40)``. Frame F is centered on sample F × hop. Beyond both ends the audio
    is padded with zeros or, with ``edges="mirrored"``, mirrored, like librosa's
    ``pad_mode="reflect"``.
    """

    config: MelConfig
    window: Tensor
    filters: Tensor

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.config = config
        self.sample_rate = config.sample_rate
        self.hop_samples = config.hop_samples
        self.num_features = config.n_mels
        n_fft = config.window_samples
        # Not persistent: both follow from the config, and checkpoints contain weights only.
        self.register_buffer("window", WINDOW_FUNCTIONS[config.window](n_fft), persistent=False)
        filters = FILTERS[config.filters](config.n_mels, n_fft, config.sample_rate)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        # With bfloat16's 8 bits, the power of a quiet band next to a loud one would be lost.
        with torch.autocast(waves.device.type, enabled=False):
            # Zeros first: the last windows extend past an utterance's end, where the padding may
            # be NaN, which a product with zero would not remove.
            waves = waves.float().masked_fill(~frame_mask(lengths, waves.shape[1]), 0.0)
            mels = self._all_mels(self._frames(self._padded(waves, lengths)))
            frame_lengths = lengths // self.config.hop_samples + 1
            mels = self._scaled(mels, frame_lengths)
            return masked_frames(mels, frame_lengths, self.config.mean_normalize), frame_lengths

    def _all_mels(self, frames: Tensor) -> Tensor:  # (B, F, N) -> (B, F, M)
        return torch.cat([self._mels(block) for block in frame_blocks(frames)], dim=1)

    def _padded(self, waves: Tensor, lengths: Tensor) -> Tensor:  # (B, T) -> (B, T + N)
        half = self.config.window_samples // 2
        if self.config.edges == "mirrored":
            return mirrored(waves, lengths, half)
        return nn.functional.pad(waves, (half, half))

    def _frames(self, padded: Tensor) -> Tensor:  # (..., T + N) -> (..., F, N), a view
        return padded.unfold(-1, self.config.window_samples, self.config.hop_samples)

    def _mels(self, frames: Tensor) -> Tensor:  # (..., F, N) -> (..., F, M)
        mels: Tensor = self._power(frames * self.window) @ self.filters
        return mels

    def _power(self, windowed: Tensor) -> Tensor:  # (..., F, N) -> (..., F, N / 2 + 1)
        spectrum = torch.fft.rfft(windowed)
        # Not spectrum.abs().square(), which takes a square root of every bin first.
        power: Tensor = spectrum.real.square().add_(spectrum.imag.square())
        return power

    def _scaled(self, mels: Tensor, frame_lengths: Tensor) -> Tensor:
        if self.config.scale == "log":
            return torch.log(mels + 1e-6)
        if self.config.scale == "decibel":
            decibels = 10.0 * torch.log10(mels.clamp(min=1e-10))
            # The floor is relative to the utterance's own peak, not to that of the padding.
            outside = ~frame_mask(frame_lengths, mels.shape[1])[:, :, None]
            peak = decibels.masked_fill(outside, -torch.inf).amax(dim=(1, 2), keepdim=True)
            return torch.maximum(decibels, peak - 80.0)
        return mels


def kaldi_mel(n_mels: int, n_fft: int, sample_rate: int, high_hz: float | None = None) -> Tensor:
    """Kaldi's triangular filters, linear in mel = 1127 ln(1 + f / 700): (n_fft / 2 + 1, n_mels).

    From 20 Hz to `high_hz` (None: the Nyquist frequency, whose bin is not used). Unlike Slaney's,
    they have height one.
    """
    ends = (20.0, sample_rate / 2 if high_hz is None else high_hz)
    low, high = (1127.0 * math.log1p(hz / 700.0) for hz in ends)
    edges = torch.linspace(low, high, n_mels + 2, dtype=torch.float64)
    hz = torch.arange(n_fft // 2, dtype=torch.float64) * sample_rate / n_fft
    filters = triangles(1127.0 * torch.log1p(hz / 700.0)[:, None], edges)
    return torch.cat([filters, filters.new_zeros(1, n_mels)]).float()


@dataclass(frozen=True)
class FbankConfig:
    """Settings of Kaldi's filter banks that differ between models; all others are its defaults."""

    n_mels: int = 80
    mean_normalize: bool = False
    """subtract each utterance's mean over its own frames"""
    window: str = "povey"
    """a name in `FBANK_WINDOWS`"""
    full_scale: float = 1.0
    """factor by which samples in [-1, 1] are multiplied; it matters only for sounds as faint as
    the floor of the logarithm"""


FBANK_FFT = 512
"""points of the power spectrum of Kaldi's windows of 400 samples"""
KALDI_FBANK_80 = FbankConfig(mean_normalize=True)
"""3D-Speaker's, for CAM++"""
WESPEAKER_FBANK_80 = FbankConfig(mean_normalize=True, window="hamming", full_scale=32_768.0)
"""WeSpeaker's and pyannote's, with samples in the range of 16-bit integers"""


def _povey_window(samples: int) -> Tensor:
    return torch.hann_window(samples, periodic=False).pow(0.85)


def _hamming_window(samples: int) -> Tensor:
    return torch.hamming_window(samples, periodic=False)


FBANK_WINDOWS = {"povey": _povey_window, "hamming": _hamming_window}


class KaldiFbank(Frontend):
    """Kaldi's log filter banks with its defaults and no dither, for samples in [-1, 1].

    25 ms windows every 10 ms, only those that fit completely; mean removed, pre-emphasis 0.97,
    Povey's window (or Hamming's), 512-point power spectrum, natural logarithm.
    """

    in_blocks: ClassVar[bool] = True
    """whether waves are processed one by one in inference mode on a CPU, in a third of the time"""

    config: FbankConfig
    window: Tensor
    filters: Tensor

    def __init__(self, config: FbankConfig) -> None:
        super().__init__()
        self.config = config
        self.sample_rate = 16_000
        self.window_samples = 400
        self.hop_samples = 160
        self.num_features = config.n_mels
        window = FBANK_WINDOWS[config.window](self.window_samples)
        self.register_buffer("window", window * config.full_scale, persistent=False)
        filters = kaldi_mel(config.n_mels, FBANK_FFT, self.sample_rate)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(waves.device.type, enabled=False):
            # No window extends past the end, so a mask on the frames would suffice if padding
            # could not be NaN, which remains NaN in a product with zero.
            frame_lengths = (lengths - self.window_samples) // self.hop_samples + 1
            if self.in_blocks and waves.device.type == "cpu" and torch.is_inference_mode_enabled():
                return self._in_blocks(waves.float(), frame_lengths), frame_lengths
            waves = waves.float().masked_fill(~frame_mask(lengths, waves.shape[1]), 0.0)
            banks = self._all_banks(self._windows(waves))
            return masked_frames(banks, frame_lengths, self.config.mean_normalize), frame_lengths

    def _in_blocks(self, waves: Tensor, frame_lengths: Tensor) -> Tensor:  # -> (B, F, M)
        count = (waves.shape[1] - self.window_samples) // self.hop_samples + 1
        banks = waves.new_zeros(len(waves), count, self.num_features)
        blocks = FbankBlocks(self.window, self.filters, self.hop_samples)
        for wave, frames, row in zip(waves, frame_lengths.tolist(), banks, strict=True):
            inside = row[:frames]
            blocks.write(wave, inside)
            inside.clamp_(min=torch.finfo(torch.float32).eps).log_()
            if self.config.mean_normalize:
                inside.sub_(inside.mean(0))
        return banks

    def _windows(self, waves: Tensor) -> Tensor:  # (B, T) -> (B, F, N), a view
        return waves.unfold(1, self.window_samples, self.hop_samples)

    def _all_banks(self, windows: Tensor) -> Tensor:  # (B, F, N) -> (B, F, M)
        return torch.cat([self.banks(block) for block in frame_blocks(windows)], dim=1)

    def banks(self, windows: Tensor) -> Tensor:
        """The logarithm of each window's filter banks: (B, F, N) -> (B, F, M)."""
        windows = windows - windows.mean(dim=2, keepdim=True)
        # Pre-emphasis within each window: in Kaldi, the first sample is its own predecessor.
        before = torch.cat([windows[:, :, :1], windows[:, :, :-1]], dim=2)
        power = self._power((windows - PREEMPHASIS * before) * self.window)
        return torch.log((power @ self.filters).clamp(min=torch.finfo(torch.float32).eps))

    def _power(self, windowed: Tensor) -> Tensor:  # (B, F, N) -> (B, F, 257)
        spectrum = torch.fft.rfft(windowed, n=FBANK_FFT)
        power: Tensor = spectrum.real.square() + spectrum.imag.square()
        return power
