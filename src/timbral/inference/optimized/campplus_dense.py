"""CAM++'s dense blocks over a stream of frames.

A block's frames lie in one tensor of its final width, to which each layer adds its channels. Rows
go through a layer's clamp and product in blocks of a few sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from timbral.encoders.campplus import ContextMasking, DenseBlock, DenseLayer
from timbral.encoders.layers.norm import BatchNorm
from timbral.inference.optimized.folding import ClampedInput
from timbral.inference.optimized.frame_stream import SegmentedStream
from timbral.inference.optimized.products import Convolution, Product, multiplies_in_onednn

__all__ = ["BLOCK_ROWS", "FoldedDenseBlock", "over_blocks", "width_of_product"]

BLOCK_ROWS = 384
"""rows of a block per thread, or several times as many"""
WIDTH_STEP = 64
"""a product takes a multiple of so many channels"""


class ContextGate:
    """The gates of segments, from sums over them."""

    def __init__(self, masking: ContextMasking) -> None:
        self._squeeze = masking.squeeze.matrix().t().float().contiguous()
        self._gate = masking.gate.matrix().t().float().contiguous()
        self._squeeze_bias, self._gate_bias = masking.squeeze.bias, masking.gate.bias

    def __call__(self, sums: Tensor, stream: SegmentedStream) -> Tensor:
        """Sums (S, C) -> a gate for every row (size, C')."""
        context = stream.context @ sums
        squeezed = torch.addmm(self._squeeze_bias, context, self._squeeze).relu_()
        gates = torch.addmm(self._gate_bias, squeezed, self._gate).sigmoid_()
        return gates.index_select(0, stream.segment_of_row)


class ClampedProduct:
    """A norm, the ReLU after it and a product."""

    def __init__(
        self, norm: BatchNorm, matrix: Tensor, bias: Tensor, dtype: torch.dtype, width: int
    ) -> None:
        """The product is of `matrix` (O, C'), plus `bias` (O,); of C channels, C' are used."""
        self._clamped = ClampedInput(norm, dtype, width)
        folded, added = self._clamped.matrix_and_bias(matrix)
        self._product = Product(folded, bias + added, dtype)

    def __call__(self, rows: Tensor, room: Tensor, relu: bool = False) -> Tensor:
        """Rows (N, C) -> (N, O); `room` (N, C) is overwritten."""
        return self._product(self._clamped.clamp(rows, room), relu)


def width_of_product(inputs: int, channels: int, step: int) -> int:
    """How many channels, of a block's `channels`, a product takes that needs the first `inputs`.

    The others have weights of zero. So fewer products have different shapes, and oneDNN, which
    keeps kernels by shape, has them more often.
    """
    return min(-(-inputs // step) * step, channels)


def over_blocks(
    product: Callable[..., Tensor], blocks: Sequence[Tensor], room: Tensor, **options: Any
) -> Tensor:
    """A clamped product of blocks of rows; `room`, for a block, is overwritten."""
    made = [
        product(rows, room.as_strided(rows.shape, (rows.shape[1], 1)), **options) for rows in blocks
    ]
    return made[0] if len(made) == 1 else torch.cat(made)


class FoldedDenseLayer:
    """A `DenseLayer`: reads the first channels of a block's frames, and writes the next ones."""

    def __init__(self, layer: DenseLayer, dtype: torch.dtype, channels: int) -> None:
        """`channels` are the block's."""
        inputs, local = layer.bottleneck.in_channels, layer.masking.local
        self._width = inputs
        if multiplies_in_onednn(dtype):
            self._width = width_of_product(inputs, channels, WIDTH_STEP)
        scale, offset = layer.norm2.scale_and_offset()
        matrix = layer.bottleneck.matrix().double() * scale[:, None]
        self._bottleneck = ClampedProduct(layer.norm1, matrix, offset, dtype, self._width)
        self._local = Convolution(
            local.weight[:, :, :, None],
            None,
            (1, BLOCK_ROWS),
            dtype,
            dilation=int(local.dilation[0]),
        )
        self._gate = ContextGate(layer.masking)
        self._outputs = slice(inputs, inputs + local.out_channels)

    def __call__(
        self, frames: Tensor, blocks: Sequence[Tensor], room: Tensor, stream: SegmentedStream
    ) -> None:
        """Take and write `frames` (size, block's channels), which are those of all `blocks`.

        `room`, for a block, is overwritten.
        """
        taken = [rows[:, : self._width] for rows in blocks]
        hidden = stream.zero_gaps(over_blocks(self._bottleneck, taken, room, relu=True))
        gate = self._gate(stream.segment_sums(hidden), stream)
        torch.mul(self._local(hidden[None])[0], gate, out=frames[:, self._outputs])


class FoldedDenseBlock:
    """A `DenseBlock`: (size, C) -> (size / stride, C')."""

    def __init__(self, block: DenseBlock, dtype: torch.dtype) -> None:
        self._layers: list[FoldedDenseLayer] = []
        channels = self._channels = block.transition.in_channels
        for layer in block.layers:
            assert isinstance(layer, DenseLayer)
            self._layers.append(FoldedDenseLayer(layer, dtype, channels))
        matrix = block.transition.matrix().double()
        self._transition = ClampedProduct(
            block.norm, matrix, matrix.new_zeros(len(matrix)), dtype, channels
        )
        self._stride = block.stride

    def __call__(self, inputs: Tensor, stream: SegmentedStream) -> Tensor:
        frames = inputs.new_zeros(len(inputs), self._channels)
        frames[:, : inputs.shape[1]] = inputs
        blocks = stream.in_blocks(frames)
        room = torch.empty_like(blocks[0])
        for layer in self._layers:
            layer(frames, blocks, room, stream)
        taken = [rows[:: self._stride] for rows in blocks]
        return over_blocks(self._transition, taken, room)
