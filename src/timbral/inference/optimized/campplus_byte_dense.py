"""CAM++'s dense blocks in 8 bits, over a stream of frames.

A block's frames lie in one tensor of codes, of its final width, which fits a core's cache. A
layer's hidden frames are codes, too, for both the convolution and the sums over segments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from timbral.encoders.campplus import ContextMasking, DenseBlock, DenseLayer
from timbral.inference.optimized.byte_channels import (
    ONE,
    ByteChannels,
    ClampedProduct,
    relu_after,
)
from timbral.inference.optimized.byte_numbers import ByteNumbers
from timbral.inference.optimized.byte_products import ROUNDING, ByteConvolution, write_rounded
from timbral.inference.optimized.byte_ranges import Range
from timbral.inference.optimized.byte_rounding import Moments, RoundedWeights
from timbral.inference.optimized.campplus_byte_ranges import SeenCampplus
from timbral.inference.optimized.campplus_dense import over_blocks, width_of_product
from timbral.inference.optimized.frame_stream import SegmentedStream

__all__ = ["BLOCK_ROWS", "ByteDenseBlock"]

BLOCK_ROWS = 512
"""as in `campplus_dense`, but more, because codes are small and calls take 40 µs each"""
WIDTH_STEP = 128
"""as in `campplus_dense`, but more, because products take less of the time"""
VECTOR = 32
"""numbers of which torch computes exp at once; it computes the rest of a row one by one"""


class ByteContextGate:
    """The gates of segments, whose bits do not depend on the other segments in the stream.

    For more rows, a matrix product may sum in another order. Here each sum is over its own row, in
    the same order, exp gets whole vectors of the processor, and no operator is used that rounds
    differently in a vector and in what is left over, as torch.addcmul may.
    """

    def __init__(self, masking: ContextMasking, hidden: ByteChannels) -> None:
        rows, bias = masking.gate.matrix(), masking.gate.bias
        assert bias is not None
        self._channels = len(rows)
        extra = -len(rows) % VECTOR
        self._squeeze = (masking.squeeze.matrix() * hidden.step).float()
        self._squeeze_bias = masking.squeeze.bias
        self._gate = functional.pad(rows.float(), (0, 0, 0, extra))
        self._gate_bias = functional.pad(bias.float(), (0, extra))

    def __call__(self, sums: Tensor, stream: SegmentedStream) -> Tensor:
        """Sums of codes over segments (S, C) -> a gate for every row (size, C')."""
        products = stream.whole_context(sums)[:, None] * self._squeeze
        squeezed = products.sum(2).mul_(stream.per_frame).add_(self._squeeze_bias).relu_()
        gates = (squeezed[:, None] * self._gate).sum(2).add_(self._gate_bias).sigmoid_()
        return gates[:, : self._channels].index_select(0, stream.segment_of_row)


class ByteDenseLayer:
    """A `DenseLayer`: reads the first channels of a block's frames, and writes the next ones."""

    def __init__(
        self,
        layer: DenseLayer,
        channels: ByteChannels,
        frames: Callable[[], Tensor],
        numbers: ByteNumbers[SeenCampplus],
    ) -> None:
        """`channels` are the block's; `frames` returns typical frames (N, C) of it."""
        local = layer.masking.local
        count = layer.bottleneck.in_channels
        self._width = width_of_product(count, len(channels.low), WIDTH_STEP)
        self._outputs = slice(count, count + local.out_channels)
        taken, given = channels[:count], channels[self._outputs]

        def inputs() -> Tensor:
            return frames()[:, :count]

        def hidden_frames() -> Tensor:
            seen = layer.bottleneck(relu_after(layer.norm1, inputs()))
            return relu_after(layer.norm2, seen)

        hidden = numbers.next(
            ByteChannels, lambda: ByteChannels.after(layer.norm2, Range.of(hidden_frames()))
        )
        scale, offset = layer.norm2.scale_and_offset()
        folded = hidden.as_codes(layer.bottleneck.matrix().double() * scale[:, None], offset)
        self._bottleneck = ClampedProduct(layer.norm1, folded, taken, inputs, numbers, self._width)
        dilation = int(local.dilation[0])

        def rounded() -> RoundedWeights:
            weight = local.weight.double() * hidden.step[:, None] / given.step[:, None, None]
            codes = hidden_frames().div_(hidden.step.float())
            taps = codes.unfold(0, 2 * dilation + 1, 1)[:, :, ::dilation].flatten(1)
            bias = weight.new_zeros(len(weight))
            return RoundedWeights.of(weight.flatten(1), bias, Moments.of(taps))

        self._local = ByteConvolution(
            numbers.next(RoundedWeights, rounded),
            (1, local.kernel_size[0]),
            ONE,
            padding=dilation,
            dilation=dilation,
        )
        self._offset = (ROUNDING - given.low / given.step).float()
        self._gate = ByteContextGate(layer.masking, hidden)

    def __call__(
        self, frames: Tensor, blocks: Sequence[Tensor], room: Tensor, stream: SegmentedStream
    ) -> None:
        """Take and write codes `frames` (size, block's channels), which are those of all `blocks`.

        `room`, for a block, is overwritten.
        """
        taken = [rows[:, : self._width] for rows in blocks]
        hidden = stream.zero_gaps(over_blocks(self._bottleneck, taken, room, relu=True, code=ONE))
        gate = self._gate(stream.segment_sums(hidden.float()), stream)
        local = self._local(hidden[None])[0]
        numbers = torch.addcmul(self._offset, local, gate)
        write_rounded(numbers, frames[:, self._outputs])


class ByteDenseBlock:
    """A `DenseBlock`: codes (size, C) -> codes (size / stride, C'), or float32."""

    def __init__(
        self,
        block: DenseBlock,
        channels: ByteChannels,
        following: ByteChannels | None,
        numbers: ByteNumbers[SeenCampplus],
    ) -> None:
        frames = cache(lambda: numbers.seen.frames(block))
        self._layers: list[ByteDenseLayer] = []
        for layer in block.layers:
            assert isinstance(layer, DenseLayer)
            self._layers.append(ByteDenseLayer(layer, channels, frames, numbers))
        matrix = block.transition.matrix().double()
        folded = (matrix, matrix.new_zeros(len(matrix)))
        if following is not None:
            folded = following[: len(matrix)].as_codes(*folded)
        self._channels, self._stride = block.transition.in_channels, block.stride
        self._transition = ClampedProduct(
            block.norm, folded, channels, frames, numbers, self._channels
        )
        self._made = None if following is None else ONE

    def __call__(self, inputs: Tensor, stream: SegmentedStream) -> Tensor:
        frames = torch.empty(len(inputs), self._channels, dtype=torch.uint8)
        frames[:, : inputs.shape[1]] = inputs
        blocks = stream.in_blocks(frames)
        room = torch.empty_like(blocks[0])
        for layer in self._layers:
            layer(frames, blocks, room, stream)
        taken = [rows[:: self._stride] for rows in blocks]
        return over_blocks(self._transition, taken, room, code=self._made)
