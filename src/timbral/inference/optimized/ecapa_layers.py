"""ECAPA-TDNN's layers over a stream of frames, with their norms folded.

A layer's norm follows its ReLU, and scales can be moved through a ReLU:

    a relu(x) + b = sign(a) relu(|a| x) + b

so |a| goes into the layer's own weights, and sign(a) and b into those of the layers that take its
outputs. They know them as `Rectified`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from timbral.encoders.ecapa import Res2NetBlock, SERes2NetBlock, SqueezeExcitation
from timbral.encoders.layers.conv import FrameConv
from timbral.encoders.layers.norm import BatchNorm
from timbral.encoders.layers.time_delay import TimeDelayLayer
from timbral.inference.optimized.frame_stream import FrameStream, block_sizes
from timbral.inference.optimized.products import Product
from timbral.inference.optimized.stream_ends import StreamEnds

__all__ = ["FoldedLayer", "FoldedSERes2NetBlock", "Rectified"]

BLOCK_ROWS = 512
"""rows multiplied at a time, or a few times as many; few sizes, which keep memory small"""
COLUMNS = 256
"""channels whose mean is taken at a time: their numbers in float32 fit a core's cache"""


@dataclass(frozen=True)
class Rectified:
    """What the outputs r of a ReLU stand for: the numbers sign · r + offset of each channel."""

    sign: Tensor
    """(C,), 1 or -1, in float64 as `offset` (C,)"""
    offset: Tensor

    @classmethod
    def plain(cls, channels: int) -> Rectified:
        """Numbers that stand for themselves."""
        zeros = torch.zeros(channels, dtype=torch.float64)
        return cls(zeros + 1.0, zeros)

    @classmethod
    def concatenated(cls, parts: list[Rectified]) -> Rectified:
        return cls(
            torch.cat([each.sign for each in parts]), torch.cat([each.offset for each in parts])
        )

    def __getitem__(self, channels: slice) -> Rectified:
        return Rectified(self.sign[channels], self.offset[channels])

    @property
    def zero(self) -> Tensor:
        """What stands for the number 0."""
        return -self.sign * self.offset


class FoldedLayer:
    """A convolution over frames, ReLU, and the norm after it if there is one.

    Takes frames (F, K), padded if the kernel is larger than 1, whose numbers are `given`; returns
    frames (F', C), `MIN_ROWS` or more, whose numbers are `made`.
    """

    def __init__(
        self, conv: FrameConv, norm: BatchNorm | None, given: Rectified, dtype: torch.dtype
    ) -> None:
        weight, bias = conv.weight.double(), conv.bias
        bias = torch.zeros_like(weight[:, 0, 0]) if bias is None else bias.double()
        self.made = Rectified.plain(len(weight))
        if norm is not None:
            scale, offset = norm.scale_and_offset()
            self.made = Rectified(torch.where(scale < 0, -1.0, 1.0).double(), offset)
            weight, bias = weight * scale.abs()[:, None, None], bias * scale.abs()
        weight = (weight * given.sign[:, None]).transpose(1, 2).flatten(1)  # (C, taps · K)
        # rounded as in the product, so that constant inputs are multiplied exactly
        weight = weight.to(dtype).double()
        (self._stride,), (self._dilation,), (self._taps,) = (
            conv.stride,
            conv.dilation,
            conv.kernel_size,
        )
        bias += weight @ (given.sign * given.offset).repeat(self._taps)
        self._product = Product(weight, bias, dtype, few_rows=False)

    def __call__(self, frames: Tensor) -> Tensor:
        if self._taps > 1:
            frames = self._with_neighbors(frames)
        blocks = torch.split(frames, block_sizes(len(frames), BLOCK_ROWS))
        made = [self._product(block, relu=True) for block in blocks]
        return made[0] if len(made) == 1 else torch.cat(made)

    def _with_neighbors(self, padded: Tensor) -> Tensor:
        """Padded frames (F + padding, K) -> (F / stride, taps · K)."""
        around = self._dilation * (self._taps - 1)
        count = (len(padded) - around - 1) // self._stride + 1
        width = padded.shape[1]
        steps = (self._stride * width, self._dilation * width, 1)
        return padded.as_strided((count, self._taps, width), steps).flatten(1)


class FoldedRes2Net:
    """A `Res2NetBlock`, in place of the frames (size, C) that it takes."""

    def __init__(self, block: Res2NetBlock, given: Rectified, dtype: torch.dtype) -> None:
        size = len(given.sign) // (len(block.blocks) + 1)
        before = given[:size]
        made = [before]
        self._layers: list[tuple[FoldedLayer, slice, Tensor, Tensor | None]] = []
        for index, layer in enumerate(block.blocks, 1):
            assert isinstance(layer, TimeDelayLayer)
            channels = slice(index * size, (index + 1) * size)
            taken, turned = given[channels], None
            if index > 1:
                opposite = taken.sign != before.sign
                if opposite.any():
                    turned = torch.where(opposite, -1.0, 1.0).to(dtype)
                taken = Rectified(taken.sign, taken.offset + before.offset)
            folded = FoldedLayer(layer.conv, layer.norm, taken, dtype)
            self._layers.append((folded, channels, taken.zero.to(dtype), turned))
            before = folded.made
            made.append(before)
        self.made = Rectified.concatenated(made)

    def __call__(self, frames: Tensor, ends: StreamEnds) -> None:
        before: Tensor | None = None
        for layer, channels, zero, turned in self._layers:
            if before is not None and turned is not None:
                before *= turned
            before = layer(ends.padded(frames[:, channels], zero, before))
            frames[:, channels] = before


class FoldedExcitation:
    """Squeeze-excitation: frames, gated by their mean, are added to the inputs of the block."""

    def __init__(self, layer: SqueezeExcitation, taken: Rectified, given: Rectified) -> None:
        self._layer = layer
        self._taken_sign = None if (taken.sign == 1).all() else taken.sign.float()
        self._taken_offset = taken.offset.float()
        self._sign, self._offset = given.sign.float(), given.offset.float()

    def __call__(self, taken: Tensor, given: Tensor, made: Tensor) -> None:
        """Frames (F, C) of one utterance; the result is written to `made`."""
        few = torch.split(given, COLUMNS, dim=1)
        mean = torch.cat([columns.mean(0, dtype=torch.float32) for columns in few])
        mean = torch.addcmul(self._offset, mean, self._sign)[None]
        gate = self._layer.conv2(self._layer.conv1(mean).relu_()).sigmoid_()
        offset = torch.addcmul(self._taken_offset, gate, self._offset).to(made.dtype)
        torch.addcmul(offset, given, (gate * self._sign).to(made.dtype), out=made)
        if self._taken_sign is None:
            made += taken
        else:
            made.addcmul_(taken, self._taken_sign.to(made.dtype))


class FoldedSERes2NetBlock:
    """A `SERes2NetBlock`: (size, C) -> (size, C), numbers that stand for themselves."""

    def __init__(self, block: SERes2NetBlock, given: Rectified, dtype: torch.dtype) -> None:
        self._first = FoldedLayer(block.tdnn1.conv, block.tdnn1.norm, given, dtype)
        self._groups = FoldedRes2Net(block.res2net_block, self._first.made, dtype)
        self._last = FoldedLayer(block.tdnn2.conv, block.tdnn2.norm, self._groups.made, dtype)
        self._excitation = FoldedExcitation(block.se_block, given, self._last.made)

    def __call__(self, frames: Tensor, ends: StreamEnds, stream: FrameStream, made: Tensor) -> None:
        """The result is written to `made` (size, C), except in gaps."""
        hidden = self._first(frames)
        self._groups(hidden, ends)
        outputs = self._last(hidden)
        for each in zip(*(stream.split(rows) for rows in (frames, outputs, made)), strict=True):
            self._excitation(*each)
