"""What augmentation does to waves (B, T) and features (B, F, M), on whatever device they lie.

On a CPU a row comes out the same to the bit whatever rows lie beside it, so that several
processes make what one makes. Torch's own rounding depends on where in memory a number stands
when it sums, takes powers or multiplies complex numbers: hence what looks roundabout here.

Each effect on waves holds the rows (n,) of the batch that it changes and what was drawn for them.
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Mix(_Effect):
    """Sounds (n, T) of any scale, and their RMS level over that of the speech (n,)."""

    sounds: Tensor
    ratios: Tensor


@dataclass(frozen=True)
class Reverberation(_Effect):
    """Spectra of room responses (n, N / 2 + 1)."""

    spectra: Tensor


@dataclass(frozen=True)
class Bands(_Effect):
    """What stays of each frequency (n, T / 2 + 1)."""

    responses: Tensor


@dataclass(frozen=True)
class Gains(_Effect):
    """What the samples are multiplied by (n,)."""

    factors: Tensor


@dataclass(frozen=True)
class FeatureMasks:
    """Time (B, K, 2) and frequency (B, L, 2) masks: width as a share of the axis, and place."""

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
    """Add sounds to rows of `waves`, in place, at exactly their ratio to the row as it is.

    Levels are taken over the whole crop. Nothing is added to a silent row; silence adds nothing.
    """
    sounds = effect.sounds.to(waves.dtype, copy=True)
    wanted = _rms(waves)[effect.rows] * effect.ratios[:, None]
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
    _multiply_rows(spectra, effect.spectra)
    wet = torch.fft.irfft(spectra, n=size)[: len(effect.rows), : waves.shape[1]]
    wet *= level / _rms(wet).clamp(min=1e-12)
    waves[effect.rows] = wet


def _multiply_rows(spectra: Tensor, others: Tensor) -> None:
    """Multiply the first rows of complex `spectra` by `others`, in place."""
    if spectra.is_cuda:
        spectra[: len(others)] *= others
        return
    for row, other in zip(spectra, others, strict=False):
        row *= other


def band_limit(waves: Tensor, effect: Bands) -> None:
    """Take frequencies away from rows of `waves`, in place."""
    samples = waves.shape[1]
    spectra = torch.fft.rfft(_in_pairs(waves[effect.rows]))
    parts = torch.view_as_real(spectra)[: len(effect.rows)]
    parts *= effect.responses[:, :, None]
    waves[effect.rows] = torch.fft.irfft(spectra, n=samples)[: len(effect.rows)]


def gain(waves: Tensor, effect: Gains) -> None:
    """Change the level of rows of `waves`, in place."""
    factors = waves.new_ones(len(waves), 1)
    factors[effect.rows] = effect.factors[:, None]
    waves *= factors


def limit_peak(waves: Tensor) -> None:
    """Scale rows that go beyond [-1, 1] down to a peak of 1, in place; nothing is cut off."""
    peaks = torch.maximum(waves.amax(dim=1, keepdim=True), -waves.amin(dim=1, keepdim=True))
    waves /= peaks.clamp(min=1.0)


def mask_features(features: Tensor, frame_lengths: Tensor, masks: FeatureMasks) -> Tensor:
    """Features (B, F, M) with the masked spans set to the mean of their utterance.

    SpecAugment's masks (Park et al. 2019) without its warping. Padding behind `frame_lengths` (B,)
    stays as it is.
    """
    frames = torch.arange(features.shape[1], device=features.device)
    mels = torch.arange(features.shape[2], device=features.device)
    inside = (frames < frame_lengths[:, None])[:, :, None]  # (B, F, 1)
    count = torch.full_like(frame_lengths, features.shape[2])
    times = _spans(masks.time, frame_lengths, frames)[:, :, None]
    masked = (times | _spans(masks.frequency, count, mels)[:, None, :]) & inside
    mean = (features * inside).sum(dim=2).sum(dim=1) / (frame_lengths * features.shape[2])
    return torch.where(masked, mean[:, None, None].to(features.dtype), features)


def _spans(spans: Tensor, sizes: Tensor, places: Tensor) -> Tensor:
    """Spans (B, K, 2) on axes of `sizes` (B,) -> True where one covers a place: (B, places)."""
    widths = (spans[:, :, 0] * sizes[:, None]).round()
    starts = (spans[:, :, 1] * (sizes[:, None] - widths + 1)).floor()
    after = places[None, None, :] >= starts[:, :, None]
    return (after & (places[None, None, :] < (starts + widths)[:, :, None])).any(dim=1)
