"""Channels stored as codes of 8 bits (u8), and batch norms with a ReLU computed on codes.

Code k of channel c stands for the number low[c] + k step[c]. A norm and the ReLU after it become a
clamp of codes, so no channel is rounded a second time:

    relu(a x + b) = a step (max(k, T) - T)   with T = round((-b / a - low) / step), for a > 0;
                                             for a < 0 with min instead of max

Only T is rounded. The bias of the next product corrects the mean error of that, on the recordings
that were seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from timbral.inference.optimized.folding import pad_to

__all__ = ["ONE", "ByteChannels", "ClampedProduct", "relu_after"]

ONE = Code(1.0)
"""the code of numbers that are already scaled to be codes"""
MARGIN = 0.3
"""fraction of a channel's observed range by which it is extended on either side; numbers beyond are
clipped"""
DEVIATIONS = 5.0
"""standard deviations on either side of a channel's mean that its range includes, by the statistics
of the encoder's norms, as the few voices seen do not show the range of all"""
OWN_RANGE = 0.8
"""exponent of a channel's range in its step: below 1, because weights for steps of very different
sizes are rounded worse"""
LEAST_RANGE = 1e-3
"""smallest range of a channel, as a fraction of the largest"""


@dataclass(frozen=True)
class ByteChannels:
    """The numbers that codes of C channels stand for (C,), in float64.

    `low` is the number of code 0, a multiple of `step`, the difference between two codes.
    """

    low: Tensor
    step: Tensor

    @classmethod
    def for_numbers(cls, seen: Range, known: Range | None = None) -> ByteChannels:
        """Codes for numbers with the range `seen` on recordings, and `known` from training."""
        margin = MARGIN * (seen.high - seen.low)
        wide = Range(seen.low - margin, seen.high + margin)
        wide = wide if known is None else wide | known
        low = torch.where(seen.low >= 0, wide.low.clamp(min=0.0), wide.low)  # after a ReLU
        width = wide.high - low
        largest = width.max().clamp(min=1e-9)
        width = torch.maximum(width, LEAST_RANGE * largest)
        step = width**OWN_RANGE * largest ** (1 - OWN_RANGE) / LARGEST_CODE
        return cls((low / step).floor() * step, step)

    @classmethod
    def before(cls, norm: BatchNorm, seen: Range) -> ByteChannels:
        """Codes for the inputs of a norm."""
        assert norm.running_mean is not None, "our encoders keep running statistics"
        assert norm.running_var is not None
        mean, width = norm.running_mean.double(), norm.running_var.double().sqrt() * DEVIATIONS
        return cls.for_numbers(seen, Range(mean - width, mean + width))

    @classmethod
    def after(cls, norm: BatchNorm, seen: Range) -> ByteChannels:
        """Codes for the outputs of a norm and the ReLU after it."""
        width = norm.weight.double().abs() * DEVIATIONS
        return cls.for_numbers(seen.relu(), Range(norm.bias - width, norm.bias + width).relu())

    @classmethod
    def concatenated(cls, channels: Sequence[ByteChannels]) -> ByteChannels:
        lows, steps = zip(*((each.low, each.step) for each in channels), strict=True)
        return cls(torch.cat(lows), torch.cat(steps))

    def normalized(self, norm: BatchNorm) -> ByteChannels:
        """What the same codes stand for after a norm, where steps may be negative or zero."""
        scale, offset = norm.scale_and_offset()
        return ByteChannels(self.low * scale + offset, self.step * scale)

    @property
    def zero(self) -> Tensor:
        """The codes (C,) nearest to the number 0."""
        exact = -self.low / torch.where(self.step == 0, torch.inf, self.step)
        return exact.round().clamp(0, LARGEST_CODE).to(torch.uint8)

    def __getitem__(self, channels: slice) -> ByteChannels:
        return ByteChannels(self.low[channels], self.step[channels])

    def as_codes(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (C, ...) and bias (C,) whose outputs are codes, except for rounding."""
        step = self.step.view(-1, *(1,) * (weight.dim() - 1))
        return weight.double() / step, (bias - self.low) / self.step

    def rounded(
        self, matrix: Tensor, bias: Tensor, inputs: Moments, made: ByteChannels | None = None
    ) -> RoundedWeights:
        """Weights that take codes of these channels, from a matrix (O, C) that takes numbers.

        inputs: moments of the numbers
        made: the channels whose codes the weights return; None: they return numbers
        """
        weight, bias = matrix.double() * self.step, bias + matrix.double() @ self.low
        if made is not None:
            bias = (bias - made.low) / made.step
            weight = weight / made.step[:, None]
        return RoundedWeights.of(weight, bias, inputs.divided(self.step, self.low))


class ClampedProduct:
    """A norm, the ReLU after it and a product, which take codes."""

    def __init__(
        self,
        norm: BatchNorm,
        folded: tuple[Tensor, Tensor],
        channels: ByteChannels,
        frames: Callable[[], Tensor],
        numbers: ByteNumbers[Any],
        width: int,
    ) -> None:
        """`folded` is the product's matrix (O, C) and bias (O,); `frames` returns typical numbers
        (N, C) before the norm. Of `width` channels, the first C are used."""
        scale, offset = norm.scale_and_offset()
        dead = scale == 0  # the channel is constant: relu(b), whatever comes in
        exact = (-offset / torch.where(dead, 1.0, scale) - channels.low) / channels.step
        threshold = exact.round().clamp(0, LARGEST_CODE)
        least = torch.where(scale >= 0, threshold, 0.0).to(torch.uint8)
        most = torch.where(scale <= 0, threshold, LARGEST_CODE).to(torch.uint8)
        self._least, self._most = pad_to(width, least), pad_to(width, most)

        def rounded() -> RoundedWeights:
            matrix, bias = folded
            seen, gain = frames(), scale * channels.step
            codes = torch.empty(seen.shape, dtype=torch.uint8)
            write_codes((seen - channels.low.float()).div_(channels.step.float()), codes)
            inputs = Moments.of(codes.clamp_(least, most).float())
            mean = torch.where(dead, 0.0, relu_after(norm, seen).mean(0) / gain)
            of_codes = matrix.double() * gain
            constant = torch.where(dead, offset.clamp(min=0.0), 0.0)
            bias = bias + matrix.double() @ constant + of_codes @ (mean - inputs.mean)
            return RoundedWeights.of(of_codes, bias, inputs)

        weights = numbers.next(RoundedWeights, rounded)
        self._product = ByteProduct(replace(weights, whole=pad_to(width, weights.whole)), ONE)

    def __call__(
        self, codes: Tensor, room: Tensor, relu: bool = False, code: Code | None = None
    ) -> Tensor:
        """Like `ByteProduct`, for codes (N, width); `room` (N, width) is overwritten."""
        clamped = torch.clamp(codes, self._least, self._most, out=room)
        return self._product(clamped, relu, code)


def relu_after(norm: BatchNorm, frames: Tensor) -> Tensor:
    """A norm of frames (N, C), and the ReLU after it."""
    scale, offset = norm.scale_and_offset()
    return torch.addcmul(offset.float(), frames, scale.float()).relu_()
