"""CAM++'s two-dimensional convolutions in 8 bits, over a stream of frames."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from itertools import pairwise
from operator import or_

import torch
from torch import Tensor, nn

from timbral.encoders.campplus import FrontConvolutions, ResidualBlock
from timbral.encoders.layers.conv import FrameConv2d
from timbral.encoders.layers.norm import BatchNorm
from timbral.inference.optimized.byte_channels import ONE, ByteChannels
from timbral.inference.optimized.byte_features import FeatureCodes, code_of_features
from timbral.inference.optimized.byte_numbers import ByteNumbers
from timbral.inference.optimized.byte_products import (
    ByteConvolution,
    ByteProduct,
    Code,
)
from timbral.inference.optimized.byte_rounding import Moments, RoundedWeights
from timbral.inference.optimized.campplus_byte_ranges import SeenCampplus, patches
from timbral.inference.optimized.campplus_front import KEPT, FoldedFront
from timbral.inference.optimized.folding import scaled_rows
from timbral.inference.optimized.frame_stream import FrameStream

__all__ = ["ByteFront"]

PARTS = 4
"""codes of each feature"""
EVERY = 4
"""one of so many frames is used to round the weights"""


class ByteFirst:
    """The first convolution, its norm and ReLU: features (F, M, 1) -> codes (F', M', C)."""

    def __init__(
        self, front: FrontConvolutions, made: ByteChannels, numbers: ByteNumbers[SeenCampplus]
    ) -> None:
        code = numbers.next(Code, lambda: code_of_features(numbers.seen.features))
        self._codes = FeatureCodes(code, PARTS)
        kernel, stride = front.conv1.kernel_size[0], front.frame_stride

        def rounded() -> RoundedWeights:
            inputs = Moments()
            for features in numbers.seen.features:
                inputs.see(patches(self._codes.numbers(features), kernel, stride, EVERY))
            weight, bias = made.as_codes(*scaled_rows(front.conv1.weight, front.norm1))
            weight = self._codes.spread(weight.transpose(2, 3))
            return RoundedWeights.of(weight.flatten(1), bias, inputs)

        weights = numbers.next(RoundedWeights, rounded)
        self._convolution = ByteConvolution(
            weights, (kernel, kernel), code, strides=(stride, stride), padding=kernel // 2
        )

    def __call__(self, features: Tensor) -> Tensor:
        return self._convolution(self._codes(features[:, :, 0]), True, ONE)


class ByteResidualBlock:
    """A `ResidualBlock` for a chunk, as `FoldedBlock`, which takes codes."""

    def __init__(
        self,
        block: ResidualBlock,
        given: ByteChannels,
        made: ByteChannels,
        numbers: ByteNumbers[SeenCampplus],
    ) -> None:
        """From codes of `given` to codes of `made`, which are the same without a shortcut."""
        self._mel_stride = block.mel_stride
        hidden = numbers.next(
            ByteChannels,
            lambda: ByteChannels.after(block.norm1, numbers.seen.ranges[block.norm1]),
        )
        self._conv1 = _convolution(block.conv1, block.norm1, given, hidden, numbers)
        self._conv2 = _convolution(block.conv2, block.norm2, hidden, made, numbers)
        self._added, self._shortcut = ONE, None
        if (shortcut := block.shortcut) is not None:

            def code() -> Code:
                added = numbers.seen.ranges[block.shortcut_norm]
                lows, highs = added.low / made.step, added.high / made.step
                return Code.of_range(float(lows.min()), float(highs.max()))

            self._added = numbers.next(Code, code)
            weights = _rounded(shortcut, block.shortcut_norm, given, made, numbers)
            self._shortcut = ByteProduct(weights, ONE)

    def __call__(self, codes: Tensor, stream: FrameStream, first: int) -> Tensor:
        """`first` is the position in `stream` of the first output; `codes` are overwritten."""
        hidden = stream.zero_gaps(self._conv1(codes, True, ONE), first - 1)
        added = codes[KEPT // 2 : -KEPT // 2, :: self._mel_stride]
        if self._shortcut is not None:
            rows = added.reshape(-1, added.shape[2])
            added = self._shortcut(rows, code=self._added).view(added.shape)
        summed = self._conv2.add_to(added, self._added, hidden, ONE)
        return stream.zero_gaps(summed, first)


class ByteFront(FoldedFront):
    """`FrontConvolutions` for a stream: (F, M) -> codes (F, M / 8 × C), mel by mel."""

    chunk_frames = 1024  # more than of floats, as a cache holds more and calls take 40 µs each
    kept_dtype = torch.uint8

    def __init__(
        self, front: FrontConvolutions, mels: int, numbers: ByteNumbers[SeenCampplus]
    ) -> None:
        self._numbers = numbers
        channels = _channels(front, numbers)
        self.made = channels[-1]
        """the output codes of each mel"""
        self._first_channels, self._from_to = channels[0], pairwise(channels)
        super().__init__(front, mels, torch.float32)
        del self._numbers  # to free memory

    def _folded_first(self, front: FrontConvolutions, frames: int, mels: int) -> ByteFirst:
        return ByteFirst(front, self._first_channels, self._numbers)

    def _folded_block(self, block: ResidualBlock, frames: int, mels: int) -> ByteResidualBlock:
        return ByteResidualBlock(block, *next(self._from_to), self._numbers)

    def _folded_last(
        self, front: FrontConvolutions, frames: int, mels: int
    ) -> Callable[[Tensor], Tensor]:
        from_to = next(self._from_to)
        last = _convolution(front.conv2, front.norm2, *from_to, self._numbers)
        return partial(last, relu=True, code=ONE)


def _channels(front: FrontConvolutions, numbers: ByteNumbers[SeenCampplus]) -> list[ByteChannels]:
    """The codes after the first convolution, each block and the last convolution."""
    alike: list[list[nn.Module]] = [[front.norm1]]
    for block in front.blocks:
        if block.shortcut is not None:
            alike.append([])
        alike[-1].append(block)  # it adds to its inputs, so it has their codes
    alike.append([front.norm2])
    made = []
    for layers in alike:
        made += [numbers.next(ByteChannels, partial(_outputs_of, layers, numbers))] * len(layers)
    return made


def _outputs_of(layers: list[nn.Module], numbers: ByteNumbers[SeenCampplus]) -> ByteChannels:
    """Codes for the outputs of all of these layers and a ReLU."""
    return ByteChannels.for_numbers(
        reduce(or_, (numbers.seen.ranges[layer].relu() for layer in layers))
    )


def _convolution(
    convolution: FrameConv2d,
    norm: BatchNorm,
    given: ByteChannels,
    made: ByteChannels,
    numbers: ByteNumbers[SeenCampplus],
) -> ByteConvolution:
    """A 3 × 3 convolution and the norm after it, for inputs of 0 or more."""
    weights = _rounded(convolution, norm, given, made, numbers)
    return ByteConvolution(weights, (3, 3), ONE, strides=(1, convolution.stride[0]))


def _rounded(
    convolution: FrameConv2d,
    norm: BatchNorm,
    given: ByteChannels,
    made: ByteChannels,
    numbers: ByteNumbers[SeenCampplus],
) -> RoundedWeights:
    """Its weights (C', C × time × mel), from codes of `given` to codes of `made`."""

    def make() -> RoundedWeights:
        weight, bias = made.as_codes(*scaled_rows(convolution.weight, norm))
        weight = weight.transpose(2, 3) * given.step[:, None, None]
        steps = given.step.repeat_interleave(weight[0, 0].numel())
        inputs = numbers.seen.inputs[convolution].divided(steps)
        return RoundedWeights.of(weight.flatten(1), bias, inputs)

    return numbers.next(RoundedWeights, make)
