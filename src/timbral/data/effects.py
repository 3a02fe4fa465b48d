"""What augmentation does to waves (B, T) and features (B, F, M), on whatever device they lie.

Each effect holds the rows (n,) of the batch that it changes and what was drawn for them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

__all__ = [
    "Bands",
    "FeatureMasks",
    "Gains",
    "Mix",
    "Reverberation",
    "band_limit",
    "gain",
    "limit_peak",
    "mask_features",
    "mix",
    "reverberate",
]


BLOCK = 400  # samples that one thread sums


@dataclass(frozen=True)
class _Effect:
    rows: Tensor
    """rows of the batch (n,)"""

    def to(self, device: torch.device) -> Self:
        parts = {item.name: getattr(self, item.name) for item in fields(self)}
        tensors = {name: part for name, part in parts.items() if isinstance(part, Tensor)}
        return replace(self, **{name: part.to(device) for name, part in tensors.items()})


@dataclass(frozen=True)
class Mix(_Effect):
    """Sounds (n, T) of any scale, and at which ratio in dB they are added (n,)."""

    sounds: Tensor
    snr_db: Tensor


@dataclass(frozen=True)
class Reverberation(_Effect):
    """Spectra of room responses (n, N / 2 + 1)."""

    spectra: Tensor


@dataclass(frozen=True)
class Bands(_Effect):
    """The frequencies that stay, in Hz (n,)."""

    low_hz: Tensor
    high_hz: Tensor
    sample_rate: int


@dataclass(frozen=True)
class Gains(_Effect):
    """Change of level in dB (n,)."""

    db: Tensor


@dataclass(frozen=True)
class FeatureMasks(_Effect):
    """Time (n, K, 2) and frequency (n, L, 2) masks: width as a share of the axis, and place."""

    time: Tensor
    frequency: Tensor


def _rms(waves: Tensor) -> Tensor:  # (n, T) -> (n, 1)
    """Root of the mean power, to the bit the same whatever the number of rows.

    Torch shares one long sum among threads, but never a short one.
    """
    whole = waves.shape[1] // BLOCK * BLOCK
    blocks = torch.linalg.vector_norm(waves[:, :whole].view(len(waves), -1, BLOCK), dim=2)
    rest = torch.linalg.vector_norm(waves[:, whole:], dim=1, keepdim=True)
    norms: Tensor = torch.linalg.vector_norm(torch.cat([blocks, rest], dim=1), dim=1, keepdim=True)
    norms /= waves.shape[1] ** 0.5
    return norms


def _in_pairs(rows: Tensor) -> Tensor:
    """At least two rows: MKL transforms a single one by other steps, and rounds otherwise."""
    return rows.expand(2, -1) if len(rows) == 1 else rows


def mix(waves: Tensor, effect: Mix) -> None:
    """Add sounds to rows of `waves`, in place, at exactly their signal-to-noise ratio.

    The ratio is that of the mean powers over the crop, against the row as it is. Nothing is added
    to a silent row, and silence adds nothing.
    """
    sounds = effect.sounds.to(waves.dtype, copy=True)
    wanted = _rms(waves)[effect.rows] * 10 ** (-effect.snr_db[:, None] / 20)
    level = _rms(sounds)
    sounds *= torch.where(level > 0, wanted / level.clamp(min=1e-12), 0.0)
    waves.index_add_(0, effect.rows, sounds)


def reverberate(waves: Tensor, effect: Reverberation) -> None:
    """Convolve rows of `waves` with rooms, in place; each row keeps its energy.

    The responses begin with the direct sound, so that nothing is delayed. The transform is long
    enough that the convolution does not wrap round.
    """
    size = 2 * (effect.spectra.shape[1] - 1)
    level = _rms(waves)[effect.rows]
    spectra = torch.fft.rfft(_in_pairs(waves[effect.rows]), n=size)
    spectra *= effect.spectra
    wet = torch.fft.irfft(spectra, n=size)[: len(effect.rows), : waves.shape[1]]
    wet *= level / _rms(wet).clamp(min=1e-12)
    waves[effect.rows] = wet


def band_limit(waves: Tensor, effect: Bands) -> None:
    """Keep a band of frequencies of rows of `waves`, in place; slopes are a tenth of an octave."""
    samples = waves.shape[1]
    hz = torch.fft.rfftfreq(samples, 1 / effect.sample_rate, device=waves.device)[None, 1:]
    octaves = torch.log2(hz)  # the constant part goes whenever the band does not begin at 0
    above = (octaves - torch.log2(effect.low_hz.clamp(min=1e-3))[:, None]) / 0.1
    below = (torch.log2(effect.high_hz)[:, None] - octaves) / 0.1
    slope = torch.minimum(above, below).clamp(-0.5, 0.5) + 0.5
    constant = (effect.low_hz <= 0).to(slope.dtype)[:, None]
    response = torch.cat([constant, torch.sin(torch.pi / 2 * slope)], dim=1)
    spectrum = torch.fft.rfft(_in_pairs(waves[effect.rows])) * response
    waves[effect.rows] = torch.fft.irfft(spectrum, n=samples)[: len(effect.rows)]


def gain(waves: Tensor, effect: Gains) -> None:
    """Change the level of rows of `waves`, in place."""
    factors = waves.new_ones(len(waves), 1)
    factors[effect.rows] = 10 ** (effect.db[:, None] / 20)
    waves *= factors


def limit_peak(waves: Tensor) -> None:
    """Scale rows that go beyond [-1, 1] down to a peak of 1, in place; nothing is cut off."""
    peaks = torch.maximum(waves.amax(dim=1, keepdim=True), -waves.amin(dim=1, keepdim=True))
    waves /= peaks.clamp(min=1.0)


def mask_features(features: Tensor, frame_lengths: Tensor, effect: FeatureMasks) -> Tensor:
    """Features (B, F, M) with the masked spans set to the mean of their utterance.

    SpecAugment's masks (Park et al. 2019) without its warping. Padding behind `frame_lengths` (B,)
    stays as it is.
    """
    own = features[effect.rows]  # (n, F, M)
    lengths = frame_lengths[effect.rows]
    frames = torch.arange(own.shape[1], device=own.device)
    inside = frames < lengths[:, None]  # (n, F)
    mels = torch.arange(own.shape[2], device=own.device)
    count = lengths.new_full((len(lengths),), own.shape[2])
    masked = _spans(effect.time, lengths, frames)[:, :, None]
    masked = (masked | _spans(effect.frequency, count, mels)[:, None, :]) & inside[:, :, None]
    total = (own * inside[:, :, None]).sum(dim=(1, 2))
    mean = (total / (lengths * own.shape[2]))[:, None, None].to(own.dtype)
    return features.index_copy(0, effect.rows, torch.where(masked, mean, own))


def _spans(spans: Tensor, sizes: Tensor, places: Tensor) -> Tensor:
    """Spans (n, K, 2) on axes of `sizes` (n,) -> True where one covers a place: (n, places)."""
    widths = (spans[:, :, 0] * sizes[:, None]).round()
    starts = (spans[:, :, 1] * (sizes[:, None] - widths + 1)).floor()
    after = places[None, None, :] >= starts[:, :, None]
    return (after & (places[None, None, :] < (starts + widths)[:, :, None])).any(dim=1)
