"""Batch norms folded into adjacent products.

A norm after a product scales its rows. A norm and a ReLU before a product are one clamp:

    relu(a x + b) = a (max(x, t) - t)   with t = -b / a, where a > 0
                  = a (min(x, t) - t)   where a < 0

so a goes into the product's columns and -a t into its bias. All of it is computed in float64.

torch clamps bfloat16 slowly, by way of float32, but whole numbers of as many bits fast. Those of
positive bfloat16 numbers are in the same order, and of negative ones below zero. So where t < 0,
the sign of x is flipped first, and then that of the product's column.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from timbral.encoders.layers.norm import BatchNorm

__all__ = ["ClampedInput", "pad_to", "scaled_rows", "statistics"]

MIN_VARIANCE = 1e-10
"""as in `statistics_pooling`"""
SIGN_BIT = -(2**15)
"""of a bfloat16, as an int16"""


def scaled_rows(matrix: Tensor, norm: BatchNorm) -> tuple[Tensor, Tensor]:
    """Weights (O, ...) and bias (O,) of a product without bias and the norm after it."""
    scale, offset = norm.scale_and_offset()
    return matrix.double() * scale.view(-1, *(1,) * (matrix.dim() - 1)), offset


class ClampedInput:
    """A clamp of each channel that replaces a norm and a ReLU before a product."""

    def __init__(self, norm: BatchNorm, dtype: torch.dtype, width: int) -> None:
        """Of `width` channels, those after the norm's become zero."""
        scale, offset = (pad_to(width, each) for each in norm.scale_and_offset())
        dead = scale == 0  # the channel is constant: relu(b), whatever comes in
        self._constant = torch.where(dead, offset.clamp(min=0.0), 0.0)
        # rounded as in the clamp, so that a channel at its threshold adds exactly nothing
        threshold = torch.where(dead, 0.0, -offset / torch.where(dead, 1.0, scale)).to(dtype)
        self._dtype, self._sign = dtype, None
        lowest, highest, limit = -torch.inf, torch.inf, threshold
        if dtype == torch.bfloat16:
            negative = threshold < 0
            scale, threshold = torch.where(negative, -scale, scale), threshold.abs()
            self._sign = torch.where(negative, SIGN_BIT, 0).to(torch.int16)
            lowest, highest, limit = SIGN_BIT, ~SIGN_BIT, threshold.view(torch.int16)
        self._scale, self._threshold = scale, threshold.double()
        self._least = torch.where(scale >= 0, limit, lowest)
        self._most = torch.where(scale <= 0, limit, highest) if (scale <= 0).any() else None

    def clamp(self, rows: Tensor, out: Tensor) -> Tensor:
        """Rows (N, C) clamped, written to `out` (N, C)."""
        if self._sign is None:
            return torch.clamp(rows, self._least, self._most, out=out)
        bits = out.view(torch.int16)
        torch.bitwise_xor(rows.view(torch.int16), self._sign, out=bits)
        bits.clamp_(self._least, self._most)
        return out

    def matrix_and_bias(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Matrix (O, C) and bias (O,) for clamped rows.

        They replace `matrix` (O, C'), which takes the outputs of norm and ReLU.
        """
        plain = pad_to(len(self._scale), matrix.double())
        folded = (plain * self._scale).to(self._dtype).double()
        return folded, plain @ self._constant - folded @ self._threshold


def pad_to(width: int, tensor: Tensor) -> Tensor:
    """Add zeros to the last dimension, so that it has `width` numbers."""
    return functional.pad(tensor, (0, width - tensor.shape[-1]))


def statistics(frames: Tensor) -> Tensor:
    """`statistics_pooling`, unbiased, of one utterance (F, C) -> (2 C,)."""
    mean = frames.mean(0)
    variance = (frames - mean).square_().sum(0) / max(1, len(frames) - 1)
    return torch.cat([mean, variance.clamp_(min=MIN_VARIANCE).sqrt_()])
