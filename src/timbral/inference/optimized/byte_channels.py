"""Channels kept as codes of u8, and norms with a ReLU before products of them.

A code k of channel c stands for low[c] + k step[c]. A norm and the ReLU behind it are a clamp of
codes and no rounding again:

    relu(a x + b) = a step (max(k, T) - T)   with the threshold T = round((-b / a - low) / step),
                                             a > 0, and min for a < 0

The bias of the product makes up for what is rounded, on average of numbers that were seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from timbral.encoders.layers.norm import BatchNorm
from timbral.inference.optimized.byte_numbers import ByteNumbers
from timbral.inference.optimized.byte_products import (
    LARGEST_CODE,
    ByteProduct,
    Code,
    write_codes,
)
from timbral.inference.optimized.byte_ranges import Range
from timbral.inference.optimized.byte_rounding import Moments, RoundedWeights

__all__ = ["ONE", "ByteChannels", "ClampedProduct", "relu_behind"]

ONE = Code(1.0)
"""of numbers that are to be codes as they are"""
MARGIN = 0.3
"""on either side of a channel, of the range that was seen: what is beyond is cut off"""
DEVIATIONS = 5.0
"""on either side of a channel's mean that are kept, too: of those that the encoder's norms know
from its training, for few voices show what others have"""
OWN_RANGE = 0.8
"""a step is the range of its channel to this power, times the largest range of all to the rest:
with steps of very different sizes the weights are rounded worse"""
LEAST_RANGE = 1e-3
"""of the largest"""


@dataclass(frozen=True)
class ByteChannels:
    """Of each channel what code 0 stands for, a multiple of what a code more does (C,); in
    float64."""

    low: Tensor
    step: Tensor

    @classmethod
    def for_numbers(cls, seen: Range, known: Range | None = None) -> ByteChannels:
        """`known` is what the numbers reach in training."""
        margin = MARGIN * (seen.high - seen.low)
        wide = Range(seen.low - margin, seen.high + margin)
        wide = wide if known is None else wide | known
        low = torch.where(seen.low >= 0, wide.low.clamp(min=0.0), wide.low)  # behind a ReLU
        width = wide.high - low
        largest = width.max().clamp(min=1e-9)
        width = torch.maximum(width, LEAST_RANGE * largest)
        step = width**OWN_RANGE * largest ** (1 - OWN_RANGE) / LARGEST_CODE
        return cls((low / step).floor() * step, step)

    @classmethod
    def before(cls, norm: BatchNorm, seen: Range) -> ByteChannels:
        """For what goes into a norm."""
        assert norm.running_mean is not None, "our encoders keep running statistics"
        assert norm.running_var is not None
        mean, width = norm.running_mean.double(), norm.running_var.double().sqrt() * DEVIATIONS
        return cls.for_numbers(seen, Range(mean - width, mean + width))

    @classmethod
    def behind(cls, norm: BatchNorm, seen: Range) -> ByteChannels:
        """For what comes out of a norm and a ReLU."""
        width = norm.weight.double().abs() * DEVIATIONS
        return cls.for_numbers(seen.relu(), Range(norm.bias - width, norm.bias + width).relu())

    @classmethod
    def beside(cls, channels: Sequence[ByteChannels]) -> ByteChannels:
        lows, steps = zip(*((each.low, each.step) for each in channels), strict=True)
        return cls(torch.cat(lows), torch.cat(steps))

    def normalized(self, norm: BatchNorm) -> ByteChannels:
        """What the same codes stand for behind a norm; a step may be below zero there, or zero."""
        scale, offset = norm.scale_and_offset()
        return ByteChannels(self.low * scale + offset, self.step * scale)

    @property
    def zero(self) -> Tensor:
        """The codes (C,) that are nearest to the number 0."""
        exact = -self.low / torch.where(self.step == 0, torch.inf, self.step)
        return exact.round().clamp(0, LARGEST_CODE).to(torch.uint8)

    def __getitem__(self, channels: slice) -> ByteChannels:
        return ByteChannels(self.low[channels], self.step[channels])

    def as_codes(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (C, ...) and `bias` (C,) with which numbers, to be rounded, are codes."""
        step = self.step.view(-1, *(1,) * (weight.dim() - 1))
        return weight.double() / step, (bias - self.low) / self.step

    def rounded(
        self, matrix: Tensor, bias: Tensor, inputs: Moments, made: ByteChannels | None = None
    ) -> RoundedWeights:
        """Weights for codes of these channels, in place of a matrix (O, C) of numbers, whose
        moments are `inputs`; they make numbers, or codes of `made`."""
        weight, bias = matrix.double() * self.step, bias + matrix.double() @ self.low
        if made is not None:
            bias = (bias - made.low) / made.step
            weight = weight / made.step[:, None]
        return RoundedWeights.of(weight, bias, inputs.divided(self.step, self.low))


class ClampedProduct:
    """A norm, the ReLU behind it and a product, of codes."""

    def __init__(
        self,
        norm: BatchNorm,
        folded: tuple[Tensor, Tensor],
        channels: ByteChannels,
        frames: Callable[[], Tensor],
        numbers: ByteNumbers[Any],
    ) -> None:
        """`folded` is the matrix (O, C) and bias (O,) behind the norm; `frames` makes
        numbers (N, C) such as will come."""
        scale, offset = norm.scale_and_offset()
        dead = scale == 0  # the channel is constant: relu(b), whatever comes in
        exact = (-offset / torch.where(dead, 1.0, scale) - channels.low) / channels.step
        threshold = exact.round().clamp(0, LARGEST_CODE)
        self._least = torch.where(scale >= 0, threshold, 0.0).to(torch.uint8)
        self._most = torch.where(scale <= 0, threshold, LARGEST_CODE).to(torch.uint8)

        def rounded() -> RoundedWeights:
            matrix, bias = folded
            seen, gain = frames(), scale * channels.step
            codes = torch.empty(seen.shape, dtype=torch.uint8)
            write_codes((seen - channels.low.float()).div_(channels.step.float()), codes)
            inputs = Moments.of(codes.clamp_(self._least, self._most).float())
            mean = torch.where(dead, 0.0, relu_behind(norm, seen).mean(0) / gain)
            of_codes = matrix.double() * gain
            constant = torch.where(dead, offset.clamp(min=0.0), 0.0)
            bias = bias + matrix.double() @ constant + of_codes @ (mean - inputs.mean)
            return RoundedWeights.of(of_codes, bias, inputs)

        self._product = ByteProduct(numbers.next(RoundedWeights, rounded), ONE)

    def __call__(
        self, codes: Tensor, room: Tensor, relu: bool = False, code: Code | None = None
    ) -> Tensor:
        """Of codes (N, C), as `ByteProduct`; `room` (N, C) is overwritten."""
        clamped = torch.clamp(codes, self._least, self._most, out=room)
        return self._product(clamped, relu, code)


def relu_behind(norm: BatchNorm, frames: Tensor) -> Tensor:
    """What a norm of frames (N, C) and a ReLU give."""
    scale, offset = norm.scale_and_offset()
    return torch.addcmul(offset.float(), frames, scale.float()).relu_()
