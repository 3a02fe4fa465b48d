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
"""samples that are summed at once: few enough that torch does it in one thread"""


@dataclass(frozen=True)
class Background:
    """Noise, music or babble that is added to speech."""

    rows: Tensor
    signals: Tensor
    """(n, T), of any scale"""
    ratios: Tensor
    """RMS level of the signal over that of the speech (n,)"""


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
    """Changes of level."""

    rows: Tensor
    factors: Tensor
    """of the samples (n,)"""


@dataclass(frozen=True)
class FeatureMasks:
    """SpecAugment's masks: width as a fraction of the axis, and offset in [0, 1) of its start."""

    time: Tensor
    """(B, number of masks, 2)"""
    frequency: Tensor
    """(B, number of masks, 2)"""


def add_background(waves: Tensor, effect: Background) -> None:
    """Add signals to rows of `waves`, in place, at exactly their ratio to the row as it is.

    RMS levels are those of whole crops. Nothing is added to a silent row; silence adds nothing.
    """
    signals = effect.signals.to(waves.dtype, copy=True)
    wanted = _rms(waves)[effect.rows] * effect.ratios[:, None]
    rms = _rms(signals)
    signals *= torch.where(rms > 0, wanted / rms.clamp(min=1e-12), 0.0)
    waves.index_add_(0, effect.rows, signals)


def reverberate(waves: Tensor, effect: Reverberation) -> None:
    """Convolve rows of `waves` with impulse responses, in place; each row keeps its energy.

    The responses begin with the direct sound, so that nothing is delayed. The transform is long
    enough that the convolution does not wrap round.
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
    """Scale rows that go beyond [-1, 1] down to a peak of 1, in place; nothing is clipped."""
    peaks = torch.maximum(waves.amax(dim=1, keepdim=True), -waves.amin(dim=1, keepdim=True))
    waves /= peaks.clamp(min=1.0)


def mask_features(features: Tensor, frame_lengths: Tensor, masks: FeatureMasks) -> Tensor:
    """Features (B, F, M) with what is masked set to the mean of its utterance.

    SpecAugment (Park et al. 2019) without its time warping. Padding behind `frame_lengths` (B,)
    stays as it is.
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
    """RMS level, to the bit the same whatever the number of rows.

    Torch divides one long sum among threads, but never a short one: hence the blocks.
    """
    whole = waves.shape[1] // NORM_BLOCK * NORM_BLOCK
    blocks = torch.linalg.vector_norm(waves[:, :whole].view(len(waves), -1, NORM_BLOCK), dim=2)
    rest = torch.linalg.vector_norm(waves[:, whole:], dim=1, keepdim=True)
    norms: Tensor = torch.linalg.vector_norm(torch.cat([blocks, rest], dim=1), dim=1, keepdim=True)
    norms /= waves.shape[1] ** 0.5
    return norms


def at_least_two(rows: Tensor) -> Tensor:
    """A single row twice: MKL transforms one alone by other steps, and rounds otherwise."""
    return rows.expand(2, -1) if len(rows) == 1 else rows


def _multiply_rows(spectra: Tensor, others: Tensor) -> None:
    """Multiply the first rows of complex `spectra` by `others`, in place."""
    if spectra.is_cuda:
        spectra[: len(others)] *= others
        return
    for row, other in zip(spectra, others, strict=False):
        row *= other
