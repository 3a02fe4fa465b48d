"""CAM++'s two-dimensional convolutions in 8 bits, over a stream of frames."""

from __future__ import annotations

import torch
from torch import Tensor

from timbral.encoders.campplus import FrontConvolutions, ResidualBlock
from timbral.inference.optimized.byte_products import (
    ByteConvolution,
    ByteProduct,
    Code,
    write_codes,
)
from timbral.inference.optimized.byte_ranges import Ranges
from timbral.inference.optimized.campplus_front import FoldedFront
from timbral.inference.optimized.folding import scaled_rows
from timbral.inference.optimized.frame_stream import FrameStream

__all__ = ["ByteFront"]


class ByteFirst:
    """The first convolution, its norm and ReLU: features (F + 2, M, 1) -> codes (F, M, C)."""

    def __init__(self, front: FrontConvolutions, ranges: Ranges) -> None:
        weight, bias = scaled_rows(front.conv1.weight, front.norm1)
        self._given, self._made = ranges.code_of_inputs(front), ranges.code_behind(front.norm1)
        self._convolution = ByteConvolution(weight.transpose(2, 3), bias, self._given)

    def __call__(self, features: Tensor) -> Tensor:
        numbers = (features / self._given.step).add_(self._given.zero)
        codes = write_codes(numbers, torch.empty(features.shape, dtype=torch.uint8))
        return self._convolution(codes, True, self._made)


class ByteBlock:
    """A `ResidualBlock` of a chunk, of codes: (F + 4, M, C) -> (F, M', C)."""

    def __init__(self, block: ResidualBlock, given: Code, ranges: Ranges) -> None:
        self._mel_stride = block.conv1.stride[0]
        self._hidden, self._made = ranges.code_behind(block.norm1), ranges.code_behind(block)
        weight, bias = scaled_rows(block.conv1.weight, block.norm1)
        self._conv1 = ByteConvolution(weight.transpose(2, 3), bias, given, stride=self._mel_stride)
        weight, bias = scaled_rows(block.conv2.weight, block.norm2)
        self._conv2 = ByteConvolution(weight.transpose(2, 3), bias, self._hidden)
        self._added, self._shortcut = given, None
        if block.shortcut is not None:
            matrix, bias = scaled_rows(block.shortcut.weight[:, :, 0, 0], block.shortcut_norm)
            self._added = ranges.code_of_outputs(block.shortcut_norm)
            self._shortcut = ByteProduct(matrix, bias, given)

    def __call__(self, codes: Tensor, stream: FrameStream, first: int) -> Tensor:
        """`first` is the stream's frame that comes first in `codes`, which are overwritten."""
        count, mels, channels = codes.shape
        hidden = stream.zero_gaps(self._conv1(codes, True, self._hidden), first + 1)
        added = codes[2 : count - 2]
        if self._shortcut is not None:
            rows = added[:, :: self._mel_stride].reshape(-1, channels)
            shortcut = self._shortcut(rows, code=self._added)
            added = shortcut.view(count - 4, mels // self._mel_stride, channels)
        summed = self._conv2.add_to(added, self._added, hidden, self._made)
        return stream.zero_gaps(summed, first + 2)


class ByteLast:
    """The last convolution, its norm and ReLU, of codes: (F + 2, M, C) -> (F, M / 2, C)."""

    def __init__(self, front: FrontConvolutions, given: Code, ranges: Ranges) -> None:
        weight, bias = scaled_rows(front.conv2.weight, front.norm2)
        self._convolution = ByteConvolution(weight.transpose(2, 3), bias, given, stride=2)
        self._made = ranges.code_behind(front.norm2)

    def __call__(self, codes: Tensor) -> Tensor:
        return self._convolution(codes, True, self._made)


class ByteFront(FoldedFront):
    """`FrontConvolutions` of a stream: (F, M) -> codes (F, M / 8 × C), mel by mel."""

    kept_dtype = torch.uint8

    def __init__(self, front: FrontConvolutions, mels: int, ranges: Ranges) -> None:
        self._ranges, self._code = ranges, ranges.code_behind(front.norm1)
        super().__init__(front, mels, torch.float32)

    def _folded_first(self, front: FrontConvolutions, frames: int, mels: int) -> ByteFirst:
        return ByteFirst(front, self._ranges)

    def _folded_block(self, block: ResidualBlock, frames: int, mels: int) -> ByteBlock:
        made = ByteBlock(block, self._code, self._ranges)
        self._code = self._ranges.code_behind(block)
        return made

    def _folded_last(self, front: FrontConvolutions, frames: int, mels: int) -> ByteLast:
        return ByteLast(front, self._code, self._ranges)
