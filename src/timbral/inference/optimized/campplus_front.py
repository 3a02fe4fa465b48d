"""CAM++'s two-dimensional convolutions over a stream of frames, in chunks that stay in cache.

A whole utterance at a time these layers wait for memory: ten seconds of the first one's output
are 10 MB. A chunk goes through all of them before the next one begins. Each 3 × 3 convolution
takes a frame off both ends of what it sees, so a block of two takes 4 frames more than it gives:
the last 4 of the chunk before, which are kept (the first block's are computed again).

    features              1 + [ size + 4 ] + 1
    first convolution         [ size + 4 ]          begins at frame `start`
    block 1                     [ size ]            begins at start + 2
    block 2, 4 frames kept  [ 4 + size ] -> [ size ]        begins at start, and so on
    last, 2 frames kept           [ 2 + size ] -> [ size ]  begins 7 frames before the chunk

With a stride in block 1 it takes stride × size + stride + 3 frames, and a chunk begins stride + 1
of them before the first that comes out of it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from timbral.encoders.campplus import FrontConvolutions, ResidualBlock
from timbral.inference.optimized.folding import scaled_rows
from timbral.inference.optimized.frame_stream import FrameStream
from timbral.inference.optimized.products import FrontConvolution, Product

__all__ = ["FRAMES_BEHIND", "FoldedFront"]

CHUNK_FRAMES = 192
"""at most, for each thread: few enough for a core's cache, enough for the kept frames to weigh
little"""
CHUNK_STEP = 16
"""of a chunk's frames: few shapes, for which oneDNN keeps kernels"""
KEPT = 4
FRAMES_BEHIND = 7
"""that what comes out lies behind what went in"""


class FoldedBlock:
    """A `ResidualBlock` of a chunk: (F + 4, M, C) -> (F, M', C), without a stride of frames."""

    def __init__(self, block: ResidualBlock, frames: int, mels: int, dtype: torch.dtype) -> None:
        """`frames` are what will mostly come out."""
        self._strides = (block.frame_stride, block.mel_stride)
        first = scaled_rows(block.conv1.weight, block.norm1)
        second = scaled_rows(block.conv2.weight, block.norm2)
        taken = frames_taken(frames, block.frame_stride)
        self._conv1 = FrontConvolution(*first, self._strides, taken, mels, dtype)
        mels //= block.mel_stride
        self._conv2 = FrontConvolution(*second, (1, 1), frames + 2, mels, dtype)
        self._shortcut: Product | None = None
        if block.shortcut is not None:
            matrix, bias = scaled_rows(block.shortcut.weight[:, :, 0, 0], block.shortcut_norm)
            self._shortcut = Product(matrix, bias, dtype)

    def __call__(self, frames: Tensor, stream: FrameStream, first: int) -> Tensor:
        """`stream` is that of what comes out, `first` the frame of it that comes out first."""
        hidden = stream.zero_gaps(self._conv1(frames), first - 1)
        added = frames_beside(frames, *self._strides)
        if self._shortcut is not None:
            rows = self._shortcut(added.reshape(-1, added.shape[2]))
            added = rows.view(added.shape)
        return stream.zero_gaps(self._conv2(hidden, added), first)


def frames_taken(made: int, frame_stride: int) -> int:
    """How many frames a block takes for so many that it gives."""
    return frame_stride * made + frame_stride + 3


def frames_beside(frames: Tensor, frame_stride: int, mel_stride: int) -> Tensor:
    """Of what a block takes, what its shortcut sees."""
    first = frame_stride + 1
    return frames[first : len(frames) - 2 : frame_stride, ::mel_stride]


class FoldedFront:
    """`FrontConvolutions` of a stream: (F, M) -> (F, M / 8 × C), a mel's channels together."""

    chunk_frames = CHUNK_FRAMES
    kept_dtype: torch.dtype | None = None
    """of what layers hand on, if it is not that of the features"""

    def __init__(self, front: FrontConvolutions, mels: int, dtype: torch.dtype) -> None:
        self._dtype, self._stride = dtype, front.frame_stride
        usual = self.chunk_frames * torch.get_num_threads() // self._stride
        self._first = self._folded_first(front, frames_taken(usual, self._stride) + 2, mels)
        self._kept_mels: list[int] = []
        self._blocks: list[Callable[[Tensor, FrameStream, int], Tensor]] = []
        for block in front.blocks:
            assert isinstance(block, ResidualBlock)
            self._kept_mels.append(mels)
            self._blocks.append(self._folded_block(block, usual, mels))
            mels //= block.mel_stride
        self._last_mels = mels
        self._last = self._folded_last(front, usual + 2, mels)
        self._channels = front.conv1.out_channels

    def _folded_first(
        self, front: FrontConvolutions, frames: int, mels: int
    ) -> Callable[[Tensor], Tensor]:
        first = scaled_rows(front.conv1.weight, front.norm1)
        return FrontConvolution(*first, (1, 1), frames, mels, self._dtype)

    def _folded_block(
        self, block: ResidualBlock, frames: int, mels: int
    ) -> Callable[[Tensor, FrameStream, int], Tensor]:
        return FoldedBlock(block, frames, mels, self._dtype)

    def _folded_last(
        self, front: FrontConvolutions, frames: int, mels: int
    ) -> Callable[[Tensor], Tensor]:
        last = scaled_rows(front.conv2.weight, front.norm2)
        return FrontConvolution(*last, (1, 2), frames, mels, self._dtype)

    def __call__(self, features: Tensor, stream: FrameStream) -> Tensor:
        stride, behind = self._stride, stream.strided(self._stride)
        usual = self.chunk_frames * torch.get_num_threads() // stride
        size, chunks = _chunks(behind.size + FRAMES_BEHIND, usual)
        taken = frames_taken(size, stride)
        before = stride + 2  # the first chunk sees features from so far before the first on
        padded = features.new_zeros(chunks * size * stride + taken, features.shape[1], 1)
        padded[before : before + len(features), :, 0] = features
        kept = self._no_frames()
        outputs = []
        for chunk in range(chunks):
            start = chunk * size
            begin = start * stride
            seen = self._first(padded[begin : begin + taken + 2])
            seen = stream.zero_gaps(seen, begin - stride - 1)
            for row, block in enumerate(self._blocks):
                if row:
                    seen = torch.cat([kept[row], seen])
                    kept[row] = seen[size:].clone()
                    start -= 2
                seen = block(seen, behind, start)
            seen = torch.cat([kept[-1], seen])
            kept[-1] = seen[size:].clone()
            outputs.append(behind.zero_gaps(self._last(seen), start - 1).flatten(1))
        return torch.cat(outputs)[FRAMES_BEHIND : FRAMES_BEHIND + behind.size]

    def _no_frames(self) -> list[Tensor]:
        """What each block keeps of the chunk before, and the last convolution, at first."""
        sizes = [(KEPT, mels) for mels in self._kept_mels] + [(2, self._last_mels)]
        dtype = self.kept_dtype or self._dtype
        return [torch.zeros(*each, self._channels, dtype=dtype) for each in sizes]


def _chunks(frames: int, most: int) -> tuple[int, int]:
    """Into how many frames, and how many chunks of them, `frames` are divided about evenly; of
    `most`."""
    chunks = -(-frames // most)
    return -(-frames // (chunks * CHUNK_STEP)) * CHUNK_STEP, chunks
