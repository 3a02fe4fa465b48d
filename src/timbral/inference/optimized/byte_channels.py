"""Channels kept as codes of u8, and norms with a ReLU before products of them.

A code k of channel c stands for low[c] + k step[c]. A norm and the ReLU behind it are a clamp of
codes and no rounding again:

    relu(a x + b) = a step (max(k, T) - T + d)   with the threshold t = (-b / a - low) / step,
                                                 T = round(t), a > 0, and min for a < 0

What is beyond the threshold lacks T - t, for a threshold is a whole number here. The bias of the
product makes up for it on average: d is T - t times the fraction of numbers beyond the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from timbral.encoders.layers.norm import BatchNorm
from timbral.inference.optimized.byte_products import (
    LARGEST_CODE,
    ByteProduct,
    Code,
    nearest_weights,
)
from timbral.inference.optimized.byte_ranges import Seen

__all__ = ["ONE", "ByteChannels", "ClampedCodes"]

ONE = Code(1.0)
"""of numbers that are to be codes as they are"""
MARGIN = 0.5
"""on either side of a channel, of the range that was seen: what is beyond is cut off"""
OWN_RANGE = 0.8
"""a step is the range of its channel to this power, times the largest range of all to the rest:
with steps of very different sizes the weights are rounded worse"""
LEAST_RANGE = 1e-3
"""of the largest"""


@dataclass(frozen=True)
class ByteChannels:
    """Of each channel what code 0 stands for, and what a code more does (C,), in float64."""

    low: Tensor
    step: Tensor

    @classmethod
    def for_numbers(cls, seen: Seen) -> ByteChannels:
        width = seen.high - seen.low
        low = seen.low - MARGIN * width
        low = torch.where(seen.low >= 0, low.clamp(min=0.0), low)  # behind a ReLU
        width = seen.high + MARGIN * width - low
        largest = width.max().clamp(min=1e-9)
        width = torch.maximum(width, LEAST_RANGE * largest)
        return cls(low, width**OWN_RANGE * largest ** (1 - OWN_RANGE) / LARGEST_CODE)

    def __getitem__(self, channels: slice) -> ByteChannels:
        return ByteChannels(self.low[channels], self.step[channels])

    def as_codes(self, matrix: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """`matrix` (C, K) and `bias` (C,) for a product whose outputs are codes, to be rounded."""
        return matrix.double() / self.step[:, None], (bias - self.low) / self.step


class ClampedCodes:
    """A norm and the ReLU behind it, of codes."""

    def __init__(self, norm: BatchNorm, channels: ByteChannels, seen: Seen) -> None:
        """`seen` is what came out of the norm."""
        scale, offset = norm.scale_and_offset()
        dead = scale == 0  # the channel is constant: relu(b), whatever comes in
        self._constant = torch.where(dead, offset.clamp(min=0.0), 0.0)
        exact = (-offset / torch.where(dead, 1.0, scale) - channels.low) / channels.step
        self._threshold = exact.round().clamp(0, LARGEST_CODE)
        self._gain = scale * channels.step
        self._shift = torch.where(dead, 0.0, seen.active * (self._threshold - exact))
        mean = torch.where(dead, 0.0, seen.mean / torch.where(dead, 1.0, self._gain))
        self._mean = mean - self._shift
        """of what is left of a clamped code when the threshold is taken off"""
        self._least = torch.where(scale >= 0, self._threshold, 0.0).to(torch.uint8)
        self._most = torch.where(scale <= 0, self._threshold, LARGEST_CODE).to(torch.uint8)

    def clamp(self, codes: Tensor, out: Tensor) -> Tensor:
        """Codes (N, C) clamped, written to `out` (N, C)."""
        return torch.clamp(codes, self._least, self._most, out=out)

    def product(self, matrix: Tensor, bias: Tensor) -> ByteProduct:
        """Of clamped codes, in place of `matrix` (O, C) and `bias` (O,) behind norm and ReLU."""
        matrix = matrix.double()
        folded = matrix * self._gain
        rounded = nearest_weights(folded)
        bias = bias + matrix @ self._constant + folded @ self._shift
        bias = bias - rounded @ self._threshold - (rounded - folded) @ self._mean
        return ByteProduct(folded, bias, ONE)
