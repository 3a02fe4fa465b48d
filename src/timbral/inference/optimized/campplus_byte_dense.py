"""CAM++'s dense blocks in 8 bits, over a stream of frames.

A block's frames lie in one tensor of codes, of its final width, which fits a core's cache. Hidden
frames of a layer are codes, too: both the convolution and the sums over segments take them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from timbral.encoders.campplus import DenseBlock, DenseLayer
from timbral.inference.optimized.byte_channels import (
    ONE,
    ByteChannels,
    ClampedProduct,
    relu_behind,
)
from timbral.inference.optimized.byte_products import ByteConvolution, write_codes
from timbral.inference.optimized.byte_ranges import Range
from timbral.inference.optimized.byte_rounding import Moments
from timbral.inference.optimized.campplus_dense import ContextGate
from timbral.inference.optimized.frame_stream import SegmentedStream

__all__ = ["ByteDenseBlock"]


class ByteDenseLayer:
    """A `DenseLayer`: reads the first channels of a block's frames, and writes the next ones."""

    def __init__(self, layer: DenseLayer, channels: ByteChannels, frames: Tensor) -> None:
        """`channels` are those of the block, `frames` (N, C) numbers such as will come."""
        local = layer.masking.local
        self._inputs = layer.bottleneck.in_channels
        self._outputs = slice(self._inputs, self._inputs + local.out_channels)
        taken, given = channels[: self._inputs], channels[self._outputs]
        frames = frames[:, : self._inputs]
        seen = relu_behind(layer.norm2, layer.bottleneck(relu_behind(layer.norm1, frames)))
        hidden = ByteChannels.behind(layer.norm2, Range.of(seen))
        scale, offset = layer.norm2.scale_and_offset()
        matrix = layer.bottleneck.matrix().double() * scale[:, None]
        folded = hidden.as_codes(matrix, offset)
        self._bottleneck = ClampedProduct(layer.norm1, *folded, taken, frames)
        self._hidden = hidden.step.float()
        dilation = int(local.dilation[0])
        weight = local.weight.double() * hidden.step[:, None] / given.step[:, None, None]
        taps = seen.div(hidden.step.float()).unfold(0, 2 * dilation + 1, 1)[:, :, ::dilation]
        self._local = ByteConvolution(
            weight[:, :, None],
            weight.new_zeros(len(weight)),
            ONE,
            Moments.of(taps.flatten(1)),
            padding=dilation,
            dilation=dilation,
        )
        self._low = -(given.low / given.step).float()
        self._gate = ContextGate(layer.masking)

    def __call__(self, frames: Tensor, stream: SegmentedStream, room: Tensor) -> None:
        """Codes (size, block's channels)."""
        (block,) = stream.blocks
        taken = frames[:, : self._inputs]
        room = room[: taken.numel()].view(taken.shape)
        hidden = stream.stream.zero_gaps(self._bottleneck(taken, room, True, ONE), 0)
        sums = stream.over_segments([block.indicator @ hidden.float()]).mul_(self._hidden)
        local = self._local(hidden[None])[0]
        numbers = torch.addcmul(self._low, local, self._gate(sums, stream))
        write_codes(numbers, frames[:, self._outputs])


class ByteDenseBlock:
    """A `DenseBlock`: codes (size, C) -> codes of the next block (size, C'), or float32."""

    def __init__(
        self,
        block: DenseBlock,
        channels: ByteChannels,
        behind: ByteChannels | None,
        frames: Tensor,
    ) -> None:
        """`frames` (N, C) are numbers of its channels, such as will come."""
        self._layers: list[ByteDenseLayer] = []
        for layer in block.layers:
            assert isinstance(layer, DenseLayer)
            self._layers.append(ByteDenseLayer(layer, channels, frames))
        matrix = block.transition.matrix().double()
        bias = matrix.new_zeros(len(matrix))
        if behind is not None:
            matrix, bias = behind[: len(matrix)].as_codes(matrix, bias)
        self._transition = ClampedProduct(block.norm, matrix, bias, channels, frames)
        self._made = None if behind is None else ONE
        self._channels = block.transition.in_channels

    def __call__(self, inputs: Tensor, stream: SegmentedStream) -> Tensor:
        frames = torch.empty(len(inputs), self._channels, dtype=torch.uint8)
        frames[:, : inputs.shape[1]] = inputs
        room = torch.empty(frames.numel(), dtype=torch.uint8)
        for layer in self._layers:
            layer(frames, stream, room)
        return self._transition(frames, room.view(frames.shape), code=self._made)
