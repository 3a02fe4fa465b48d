"""CAM++'s two-dimensional convolutions in 8 bits, over a stream of frames.

Features are seen by one convolution only, but by it alone: rounded to codes of 8 bits they would
cost more than all other codes together. So it takes four codes of each, of steps four times as
large as those of their sum: the codes of x + 0, 1/4, 1/2 and 3/4 of a step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from itertools import pairwise
from operator import or_

import torch
from torch import Tensor

from timbral.encoders.campplus import FrontConvolutions, ResidualBlock
from timbral.inference.optimized.byte_channels import ONE, ByteChannels
from timbral.inference.optimized.byte_products import (
    ByteConvolution,
    ByteProduct,
    Code,
    write_codes,
)
from timbral.inference.optimized.byte_ranges import SeenNumbers, patches
from timbral.inference.optimized.byte_rounding import Moments
from timbral.inference.optimized.campplus_front import FoldedFront
from timbral.inference.optimized.folding import scaled_rows
from timbral.inference.optimized.frame_stream import FrameStream

__all__ = ["ByteFront"]

PARTS = 4
"""codes of each feature"""


class ByteFirst:
    """The first convolution, its norm and ReLU: features (F + 2, M, 1) -> codes (F, M, C)."""

    def __init__(self, front: FrontConvolutions, made: ByteChannels, seen: SeenNumbers) -> None:
        lows, highs = zip(*(features.aminmax() for features in seen.features), strict=True)
        self._given = Code.of_range(float(min(lows)), float(max(highs)))
        self._offsets = torch.arange(PARTS) / PARTS - (PARTS - 1) / (2 * PARTS) + self._given.zero
        inputs = Moments()
        for features in seen.features:
            codes = self._codes(features[:, :, None]).float() - self._given.zero
            inputs.see(patches(codes * self._given.step, 3, 1, PARTS))
        weight, bias = made.as_codes(*scaled_rows(front.conv1.weight, front.norm1))
        weight = weight.transpose(2, 3).expand(-1, PARTS, -1, -1) / PARTS
        self._convolution = ByteConvolution(weight, bias, self._given, inputs)

    def _codes(self, features: Tensor) -> Tensor:
        """(F, M, 1) -> (F, M, 4)."""
        numbers = (features / self._given.step) + self._offsets
        return write_codes(numbers, torch.empty(numbers.shape, dtype=torch.uint8))

    def __call__(self, features: Tensor) -> Tensor:
        return self._convolution(self._codes(features), True, ONE)


class ByteBlock:
    """A `ResidualBlock` of a chunk, of codes: (F + 4, M, C) -> (F, M', C)."""

    def __init__(
        self, block: ResidualBlock, given: ByteChannels, made: ByteChannels, seen: SeenNumbers
    ) -> None:
        """Codes of `given` to codes of `made`, which are the same where there is no shortcut."""
        self._mel_stride = block.conv1.stride[0]
        hidden = ByteChannels.behind(block.norm1, seen.ranges[block.norm1])
        inputs, stride = seen.inputs[block.conv1], self._mel_stride
        folded = hidden.as_codes(*scaled_rows(block.conv1.weight, block.norm1))
        self._conv1 = _convolution(*folded, given, inputs, stride)
        folded = made.as_codes(*scaled_rows(block.conv2.weight, block.norm2))
        self._conv2 = _convolution(*folded, hidden, seen.inputs[block.conv2], 1)
        self._added, self._shortcut = ONE, None
        if block.shortcut is not None:
            shortcut = scaled_rows(block.shortcut.weight[:, :, 0, 0], block.shortcut_norm)
            matrix, bias = made.as_codes(*shortcut)
            added = seen.ranges[block.shortcut_norm]
            lows, highs = added.low / made.step, added.high / made.step
            self._added = Code.of_range(float(lows.min()), float(highs.max()))
            inputs = seen.inputs[block.shortcut].divided(given.step)
            self._shortcut = ByteProduct(matrix * given.step, bias, ONE, inputs)

    def __call__(self, codes: Tensor, stream: FrameStream, first: int) -> Tensor:
        """`first` is the stream's frame that comes first in `codes`, which are overwritten."""
        count, mels, channels = codes.shape
        hidden = stream.zero_gaps(self._conv1(codes, True, ONE), first + 1)
        added = codes[2 : count - 2]
        if self._shortcut is not None:
            rows = added[:, :: self._mel_stride].reshape(-1, channels)
            shortcut = self._shortcut(rows, code=self._added)
            added = shortcut.view(count - 4, mels // self._mel_stride, channels)
        summed = self._conv2.add_to(added, self._added, hidden, ONE)
        return stream.zero_gaps(summed, first + 2)


class ByteFront(FoldedFront):
    """`FrontConvolutions` of a stream: (F, M) -> codes (F, M / 8 × C), mel by mel."""

    kept_dtype = torch.uint8

    def __init__(self, front: FrontConvolutions, mels: int, seen: SeenNumbers) -> None:
        self._seen = seen
        channels = _channels(front, seen)
        self.made = channels[-1]
        """codes that come out, of each mel"""
        self._first_channels, self._from_to = channels[0], pairwise(channels)
        super().__init__(front, mels, torch.float32)
        del self._seen  # which is large

    def _folded_first(self, front: FrontConvolutions, frames: int, mels: int) -> ByteFirst:
        return ByteFirst(front, self._first_channels, self._seen)

    def _folded_block(self, block: ResidualBlock, frames: int, mels: int) -> ByteBlock:
        return ByteBlock(block, *next(self._from_to), self._seen)

    def _folded_last(
        self, front: FrontConvolutions, frames: int, mels: int
    ) -> Callable[[Tensor], Tensor]:
        given, made = next(self._from_to)
        folded = made.as_codes(*scaled_rows(front.conv2.weight, front.norm2))
        last = _convolution(*folded, given, self._seen.inputs[front.conv2], 2)
        return partial(last, relu=True, code=ONE)


def _channels(front: FrontConvolutions, seen: SeenNumbers) -> list[ByteChannels]:
    """Codes behind the first convolution, each block and the last convolution."""
    alike = [[seen.ranges[front.norm1].relu()]]
    for block in front.blocks:
        if block.shortcut is not None:
            alike.append([])
        alike[-1].append(seen.ranges[block])  # a block without one adds to what it takes
    alike.append([seen.ranges[front.norm2].relu()])
    made = []
    for ranges in alike:
        made += [ByteChannels.for_numbers(reduce(or_, ranges))] * len(ranges)
    return made


def _convolution(
    weight: Tensor, bias: Tensor, given: ByteChannels, inputs: Moments, mel_stride: int
) -> ByteConvolution:
    """Of weights (C', C, mel, time) for numbers, taking codes of `given`, none of them below
    zero."""
    weight = weight.transpose(2, 3) * given.step[:, None, None]
    inputs = inputs.divided(given.step.repeat_interleave(weight[0, 0].numel()))
    return ByteConvolution(weight, bias, ONE, inputs, stride=mel_stride)
