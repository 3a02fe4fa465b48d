"""Batch norms folded into adjacent products.

A norm after a product scales its rows. A norm and a ReLU before a product are one clamp:

    relu(a x + b) = a (max(x, t) - t)   with t = -b / a, where a > 0
                  = a (min(x, t) - t)   where a < 0

so a goes into the product's columns and -a t into its bias. All of it is computed in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from timbral.encoders.layers.norm import BatchNorm

__all__ = ["ClampedInput", "scaled_rows", "statistics"]

MIN_VARIANCE = 1e-10
"""as in `statistics_pooling`"""


def scaled_rows(matrix: Tensor, norm: BatchNorm) -> tuple[Tensor, Tensor]:
    """Weights (O, ...) and bias (O,) of a product without bias and the norm after it."""
    scale, offset = norm.scale_and_offset()
    return matrix.double() * scale.view(-1, *(1,) * (matrix.dim() - 1)), offset


class ClampedInput:
    """A clamp of each channel that replaces a norm and a ReLU before a product."""

    def __init__(self, norm: BatchNorm, dtype: torch.dtype) -> None:
        self._scale, offset = norm.scale_and_offset()
        dead = self._scale == 0  # the channel is constant: relu(b), whatever comes in
        self._constant = torch.where(dead, offset.clamp(min=0.0), 0.0)
        safe = torch.where(dead, 1.0, self._scale)
        # rounded as in the clamp, so that a channel at its threshold adds exactly nothing
        self._threshold = torch.where(dead, 0.0, -offset / safe).to(dtype).double()
        self._dtype = dtype
        infinite = torch.full_like(self._threshold, torch.inf)
        self.least = torch.where(self._scale >= 0, self._threshold, -infinite).to(dtype)
        self.most = torch.where(self._scale <= 0, self._threshold, infinite).to(dtype)

    def clamp(self, rows: Tensor, out: Tensor) -> Tensor:
        """Rows (N, C) clamped, written to `out` (N, C)."""
        return torch.clamp(rows, self.least, self.most, out=out)

    def matrix_and_bias(self, matrix: Tensor, rows_scale: Tensor) -> tuple[Tensor, Tensor]:
        """Matrix (O, C) and bias (O,) for clamped rows.

        They replace `matrix` (O, C), which takes the outputs of norm and ReLU, with its rows
        multiplied by `rows_scale` (O,).
        """
        plain = matrix.double() * rows_scale[:, None]
        folded = (plain * self._scale).to(self._dtype).double()
        return folded, plain @ self._constant - folded @ self._threshold


def statistics(frames: Tensor) -> Tensor:
    """`statistics_pooling`, unbiased, of one utterance (F, C) -> (2 C,)."""
    mean = frames.mean(0)
    variance = (frames - mean).square_().sum(0) / max(1, len(frames) - 1)
    return torch.cat([mean, variance.clamp_(min=MIN_VARIANCE).sqrt_()])
