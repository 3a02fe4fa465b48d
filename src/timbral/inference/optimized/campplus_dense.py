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
"""for each thread: rows of the widest block, 1 MB in float32"""


class ContextGate:
    """What gates each segment, from sums over the segments."""

    def __init__(self, masking: ContextMasking) -> None:
        self._squeeze = masking.squeeze.matrix().t().float().contiguous()
        self._gate = masking.gate.matrix().t().float().contiguous()
        self._squeeze_bias, self._gate_bias = masking.squeeze.bias, masking.gate.bias

    def __call__(self, sums: Tensor, stream: SegmentedStream) -> Tensor:
        """Sums (S, C) -> a gate for every row (size, C')."""
        squeezed = torch.addmm(self._squeeze_bias, stream.context @ sums, self._squeeze).relu_()
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
        self._growth, self._dilation = local.out_channels, int(local.dilation[0])
        # the three taps beside each other, (3 C', C): their sums are taken over shifted rows
        taps = local.weight.permute(2, 0, 1).flatten(0, 1)
        self._taps = Product(taps, None, dtype)
        self._gate = ContextGate(layer.masking)
        self._inputs = layer.bottleneck.in_channels
        self._hidden = layer.bottleneck.out_channels
        self.most_inputs = self._inputs

    def __call__(self, frames: Tensor, stream: SegmentedStream, scratch: Tensor) -> None:
        """Frames (size, block's channels); `scratch` has room for the largest block of rows."""
        dilation, growth, size = self._dilation, self._growth, len(frames)
        taps = frames.new_zeros(size + 2 * dilation, 3 * growth)
        sums = torch.zeros(stream.count, self._hidden)
        for block in stream.blocks:
            rows = block.last - block.first
            clamped = scratch[: rows * self._inputs].view(rows, self._inputs)
            self._clamped.clamp(frames[block.first : block.last, : self._inputs], out=clamped)
            hidden = stream.stream.zero_gaps(self._bottleneck(clamped, relu=True), block.first)
            sums[block.segments] += block.indicator @ hidden
            taps[dilation + block.first : dilation + block.last] = self._taps(hidden)
        past, now, ahead = taps.chunk(3, dim=1)
        summed = past[:size] + now[dilation : dilation + size]
        summed += ahead[2 * dilation :]
        outputs = frames[:, self._inputs : self._inputs + growth]
        outputs.copy_(summed.mul_(self._gate(sums, stream)))


class FoldedDenseBlock:
    """A `DenseBlock`: (size, C) -> (size, C')."""

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

    def __call__(self, inputs: Tensor, stream: SegmentedStream) -> Tensor:
        frames = inputs.new_empty(len(inputs), self._channels)
        frames[:, : inputs.shape[1]] = inputs
        most_rows = max(block.last - block.first for block in stream.blocks)
        scratch = inputs.new_empty(most_rows * self._channels)
        for layer in self._layers:
            layer(frames, stream, scratch)
        outputs = []
        for block in stream.blocks:
            rows = frames[block.first : block.last]
            clamped = self._clamped.clamp(rows, out=scratch[: rows.numel()].view_as(rows))
            outputs.append(self._transition(clamped))
        return torch.cat(outputs)
