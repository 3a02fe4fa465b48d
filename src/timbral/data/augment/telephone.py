"""Telephone speech: half the sample rate, and 8 bits per sample with steps that grow with level.

The two laws are those of ITU-T G.711, as continuous functions. The standard approximates them by
straight lines, which differ by less than a step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from timbral.data.augment.effects import at_least_two
from timbral.io.types import Floats

__all__ = ["Telephone", "apply_telephone"]

MU, A = 255.0, 87.6
STEPS = 127
"""per sign"""


@dataclass(frozen=True)
class Telephone:
    """Calls by telephone."""

    rows: Tensor
    """rows of the batch (n,)"""
    a_law: Tensor
    """A-law, as in Europe, China and India; else mu-law, as in North America and Japan (n,)"""


def apply_telephone(waves: Tensor, effect: Telephone) -> None:
    """Change rows of `waves` (B, T) as a telephone does, in place.

    Frequencies above 4 kHz are removed. Samples beyond [-1, 1] are clipped, as in a telephone.
    """
    samples = waves.shape[1]
    narrow_samples = samples // 2
    bins = narrow_samples // 2  # below the Nyquist frequency of 8 kHz
    spectra = torch.fft.rfft(at_least_two(waves[effect.rows]))
    narrow = torch.fft.irfft(spectra[:, :bins], n=narrow_samples) * (narrow_samples / samples)
    for row, is_a_law in zip(narrow, effect.a_law.tolist(), strict=False):
        row.copy_(_coded(row, LAWS[is_a_law]))
    spectra = torch.fft.rfft(narrow)[:, :bins]
    wide = torch.fft.irfft(spectra, n=samples) * (samples / narrow_samples)
    waves[effect.rows] = wide[: len(effect.rows)]


def _coded(values: Tensor, levels: Floats) -> Tensor:
    """The nearest level, by comparisons only, so that bits are the same on any machine."""
    sizes = torch.from_numpy(levels).to(values)
    limits = torch.from_numpy(np.sqrt(levels[1:] * levels[:-1])).to(values)
    limits[0] = sizes[1] / 2
    return values.sign() * sizes[torch.bucketize(values.abs(), limits)]


def _mu_law() -> Floats:
    """|x| of each step, from ln(1 + mu |x|) / ln(1 + mu) = step / STEPS."""
    steps = np.arange(STEPS + 1) / STEPS
    levels: Floats = np.expm1(steps * math.log1p(MU)) / MU
    return levels


def _a_law() -> Floats:
    """From A |x| / (1 + ln A) below |x| = 1 / A, and (1 + ln(A |x|)) / (1 + ln A) above."""
    steps = np.arange(STEPS + 1) / STEPS * (1 + math.log(A))
    levels: Floats = np.where(steps < 1, steps, np.exp(steps - 1)) / A
    return levels


LAWS = (_mu_law(), _a_law())
"""the levels that samples can have, without their sign"""
