"""Effects of augmentation on waves (B, T) and features (B, F, M), on any device.

On a CPU, a row gets the same bits whatever the other rows are, so that several processes compute
the same as one. Torch rounds differently depending on the memory position of a number in sums,
powers and products of complex numbers; some code here avoids that and may look roundabout.

Each effect on waves contains the rows (n,) of the batch that it changes and the values drawn for
them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "Background",
    "Bandpass",
    "FeatureMasks",
    "Gain",
    "Reverberation",
    "add_background",
    "apply_bandpass",
    "apply_gain",
    "at_least_two",
    "limit_peak",
    "mask_features",
    "reverberate",
]


NORM_BLOCK = 400
"""number of samples to sum at once: few enough that torch uses one thread"""


@dataclass(frozen=True)
class Background:
    """Noise, music or babble that is added to speech."""

    rows: Tensor
    signals: Tensor
    """(n, T), of any scale"""
    ratios: Tensor
    """ratio of the RMS levels of signal and speech (n,)"""


@dataclass(frozen=True)
class Reverberation:
    """Room impulse responses that speech is convolved with."""

    rows: Tensor
    spectra: Tensor
    """(n, N / 2 + 1), complex"""


@dataclass(frozen=True)
class Bandpass:
    """Filters without phase."""

    rows: Tensor
    responses: Tensor
    """factor of each frequency (n, T / 2 + 1)"""


@dataclass(frozen=True)
class Gain:
    """Changes of the level."""

    rows: Tensor
    factors: Tensor
    """factor for the samples (n,)"""


@dataclass(frozen=True)
class FeatureMasks:
    """SpecAugment's masks: width as a fraction of the axis, and offset in [0, 1) of its start."""

    time: Tensor
    """(B, number of masks, 2)"""
    frequency: Tensor
    """(B, number of masks, 2)"""


def add_background(waves: Tensor, effect: Background) -> None:
    """Add signals to rows of `waves`, in place, at exactly their ratio to the current row.

    RMS levels are those of whole crops. A silent row is not changed, and a silent signal adds
    nothing.
    """
    signals = effect.signals.to(waves.dtype, copy=True)
    wanted = _rms(waves)[effect.rows] * effect.ratios[:, None]
    rms = _rms(signals)
    signals *= torch.where(rms > 0, wanted / rms.clamp(min=1e-12), 0.0)
    waves.index_add_(0, effect.rows, signals)


def reverberate(waves: Tensor, effect: Reverberation) -> None:
    """Convolve rows of `waves` with impulse responses, in place; each row keeps its energy.

    The responses begin with the direct sound, so that there is no delay. The transform is long
    enough for a linear convolution.
    """
    size = 2 * (effect.spectra.shape[1] - 1)
    rms = _rms(waves)[effect.rows]
    spectra = torch.fft.rfft(at_least_two(waves[effect.rows]), n=size)
    _multiply_rows(spectra, effect.spectra)
    wet = torch.fft.irfft(spectra, n=size)[: len(effect.rows), : waves.shape[1]]
    wet *= rms / _rms(wet).clamp(min=1e-12)
    waves[effect.rows] = wet


def apply_bandpass(waves: Tensor, effect: Bandpass) -> None:
    """Filter rows of `waves`, in place."""
    samples = waves.shape[1]
    spectra = torch.fft.rfft(at_least_two(waves[effect.rows]))
    # real and imaginary part by the same real number: a complex product may round otherwise
    components = torch.view_as_real(spectra)[: len(effect.rows)]
    components *= effect.responses[:, :, None]
    waves[effect.rows] = torch.fft.irfft(spectra, n=samples)[: len(effect.rows)]


def apply_gain(waves: Tensor, effect: Gain) -> None:
    """Change the level of rows of `waves`, in place."""
    factors = waves.new_ones(len(waves), 1)
    factors[effect.rows] = effect.factors[:, None]
    waves *= factors


def limit_peak(waves: Tensor) -> None:
    """Scale rows that exceed [-1, 1] to a peak of 1, in place; nothing is clipped."""
    peaks = torch.maximum(waves.amax(dim=1, keepdim=True), -waves.amin(dim=1, keepdim=True))
    waves /= peaks.clamp(min=1.0)


def mask_features(features: Tensor, frame_lengths: Tensor, masks: FeatureMasks) -> Tensor:
    """Features (B, F, M) with masked values replaced by the mean of the utterance.

    SpecAugment (Park et al. 2019) without its time warping. Padding after `frame_lengths` (B,) is
    not changed.
    """
    frames = torch.arange(features.shape[1], device=features.device)
    mels = torch.arange(features.shape[2], device=features.device)
    valid = (frames < frame_lengths[:, None])[:, :, None]  # (B, F, 1)
    num_mels = torch.full_like(frame_lengths, features.shape[2])
    in_time = _covered(masks.time, frame_lengths, frames)[:, :, None]
    in_frequency = _covered(masks.frequency, num_mels, mels)[:, None, :]
    masked = (in_time | in_frequency) & valid
    mean = (features * valid).sum(dim=2).sum(dim=1) / (frame_lengths * features.shape[2])
    return torch.where(masked, mean[:, None, None].to(features.dtype), features)


def _covered(masks: Tensor, sizes: Tensor, indices: Tensor) -> Tensor:
    """Masks (B, K, 2) of axes of `sizes` (B,) -> whether one covers an index: (B, indices)."""
    widths = (masks[:, :, 0] * sizes[:, None]).round()
    starts = (masks[:, :, 1] * (sizes[:, None] - widths + 1)).floor()
    begun = indices[None, None, :] >= starts[:, :, None]
    return (begun & (indices[None, None, :] < (starts + widths)[:, :, None])).any(dim=1)


def _rms(waves: Tensor) -> Tensor:  # (n, T) -> (n, 1)
    """RMS level, with the same bits for any number of rows.

    Torch splits a long sum over threads, but never a short one; hence the blocks.
    """
    in_blocks = waves.shape[1] // NORM_BLOCK * NORM_BLOCK
    blocks = torch.linalg.vector_norm(waves[:, :in_blocks].view(len(waves), -1, NORM_BLOCK), dim=2)
    rest = torch.linalg.vector_norm(waves[:, in_blocks:], dim=1, keepdim=True)
    norms: Tensor = torch.linalg.vector_norm(torch.cat([blocks, rest], dim=1), dim=1, keepdim=True)
    norms /= waves.shape[1] ** 0.5
    return norms


def at_least_two(rows: Tensor) -> Tensor:
    """Repeat a single row, because MKL transforms one row alone in another way and rounds
    differently.
    """
    return rows.expand(2, -1) if len(rows) == 1 else rows


def _multiply_rows(spectra: Tensor, others: Tensor) -> None:
    """Multiply the first rows of complex `spectra` by `others`, in place."""
    if spectra.is_cuda:
        spectra[: len(others)] *= others
        return
    for row, other in zip(spectra, others, strict=False):
        row *= other
