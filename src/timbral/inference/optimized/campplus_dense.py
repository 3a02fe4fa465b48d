"""CAM++'s dense blocks over a stream of frames.

A block's frames lie in one tensor of its final width, to which each layer adds its channels. Rows
go through a layer's products in blocks that stay in cache; the gates, which need sums over whole
segments, come after them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from timbral.encoders.campplus import ContextMasking, DenseBlock, DenseLayer
from timbral.inference.optimized.folding import ClampedInput
from timbral.inference.optimized.frame_stream import SegmentedStream
from timbral.inference.optimized.products import Product

__all__ = ["BLOCK_ROWS", "FoldedDenseBlock"]

BLOCK_ROWS = 256
"""rows per thread; those of the widest block are 1 MB in float32"""


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


class FoldedDenseLayer:
    """A `DenseLayer`: reads the first channels of a block's frames, and writes the next ones."""

    def __init__(self, layer: DenseLayer, dtype: torch.dtype) -> None:
        self._clamped = ClampedInput(layer.norm1, dtype)
        scale, offset = layer.norm2.scale_and_offset()
        matrix, bias = self._clamped.matrix_and_bias(layer.bottleneck.matrix(), scale)
        self._bottleneck = Product(matrix, bias + offset, dtype)
        local = layer.masking.local
        self.growth, self.dilation = local.out_channels, int(local.dilation[0])
        # the three taps in one matrix (3 C', C); their products are added with shifted rows
        taps = local.weight.permute(2, 0, 1).flatten(0, 1)
        self._taps = Product(taps, None, dtype)
        self._gate = ContextGate(layer.masking)
        self._inputs = layer.bottleneck.in_channels

    def __call__(self, frames: Tensor, stream: SegmentedStream, scratch: DenseScratch) -> None:
        """Take and write `frames` (size, block's channels)."""
        sums: list[Tensor] = []
        for block, rows, taps in zip(stream.blocks, scratch.rows, scratch.taps, strict=True):
            inputs = rows[:, : self._inputs]
            clamped = self._clamped.clamp(inputs, out=scratch.room_for(inputs))
            hidden = stream.stream.zero_gaps(self._bottleneck(clamped, relu=True), block.first)
            sums.append(block.indicator @ hidden)
            self._taps(hidden, out=taps)
        summed = torch.add(scratch.past, scratch.now, out=scratch.summed).add_(scratch.ahead)
        gate = self._gate(stream.over_segments(sums), stream)
        torch.mul(summed, gate, out=frames[:, self._inputs : self._inputs + self.growth])


class DenseScratch:
    """Memory that a block's layers use in turn."""

    def __init__(self, frames: Tensor, layer: FoldedDenseLayer, stream: SegmentedStream) -> None:
        """Allocate memory for `frames` (size, C) and layers such as `layer`."""
        size, channels = frames.shape
        dilation = layer.dilation
        bounds = [(block.first, block.last) for block in stream.blocks]
        self.rows = [frames[first:last] for first, last in bounds]
        """each block of the frames"""
        self._room = frames.new_empty(max(last - first for first, last in bounds) * channels)
        # of all frames, with zeros before the first and after the last
        taps = frames.new_zeros(size + 2 * dilation, 3 * layer.growth)
        self.taps = [taps[dilation + first : dilation + last] for first, last in bounds]
        """each block of the three taps' products (rows, 3 C')"""
        past, now, ahead = taps.chunk(3, dim=1)
        self.past, self.ahead = past[:size], ahead[2 * dilation :]
        self.now = now[dilation : dilation + size]
        self.summed = frames.new_empty(size, layer.growth)

    def room_for(self, rows: Tensor) -> Tensor:
        """Room for as many rows (N, C') as a block has at most."""
        return self._room.as_strided(rows.shape, (rows.shape[1], 1))


class FoldedDenseBlock:
    """A `DenseBlock`: (size, C) -> (size / stride, C')."""

    def __init__(self, block: DenseBlock, dtype: torch.dtype) -> None:
        self._layers: list[FoldedDenseLayer] = []
        for layer in block.layers:
            assert isinstance(layer, DenseLayer)
            self._layers.append(FoldedDenseLayer(layer, dtype))
        self._clamped = ClampedInput(block.norm, dtype)
        ones = torch.ones(block.transition.out_channels, dtype=torch.float64)
        folded = self._clamped.matrix_and_bias(block.transition.matrix(), ones)
        self._transition = Product(*folded, dtype)
        self._channels = block.transition.in_channels
        self._stride = block.stride

    def __call__(self, inputs: Tensor, stream: SegmentedStream) -> Tensor:
        frames = inputs.new_empty(len(inputs), self._channels)
        frames[:, : inputs.shape[1]] = inputs
        scratch = DenseScratch(frames, self._layers[0], stream)
        for layer in self._layers:
            layer(frames, stream, scratch)
        outputs = []
        for rows in scratch.rows:
            rows = rows[:: self._stride]
            clamped = self._clamped.clamp(rows, out=scratch.room_for(rows))
            outputs.append(self._transition(clamped))
        return torch.cat(outputs)
