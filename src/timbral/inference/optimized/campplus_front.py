"""CAM++'s two-dimensional convolutions over a stream of frames, in chunks that stay in cache.

A whole utterance at a time these layers wait for memory: ten seconds of the first one's output
are 10 MB. A chunk goes through all of them before the next one begins. Each 3 × 3 convolution
takes a frame off both ends of what it sees, so a block of two takes 4 frames more than it gives:
the last 4 of the chunk before, which are kept (the first block's are computed again).

    features              1 + [ size + 4 ] + 1
    first convolution         [ size + 4 ]          begins at frame `start` - 2
    block 1                     [ size ]            begins at start
    block 2, 4 frames kept  [ 4 + size ] -> [ size ]        begins at start - 2, and so on
    last, 2 frames kept           [ 2 + size ] -> [ size ]  begins 2 × blocks - 1 before start

If the first convolution is of kernel × kernel and has a stride, it takes stride × (size + 3) +
kernel features, from kernel // 2 before the first that it gives a frame for.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from timbral.encoders.campplus import FrontConvolutions, ResidualBlock
from timbral.inference.optimized.folding import scaled_rows
from timbral.inference.optimized.frame_stream import FrameStream
from timbral.inference.optimized.products import FrontConvolution, Product

__all__ = ["FoldedFront"]

CHUNK_FRAMES = 192
"""at most, for each thread: few enough for a core's cache, enough for the kept frames to weigh
little"""
CHUNK_STEP = 16
"""of a chunk's frames: few shapes, for which oneDNN keeps kernels"""
KEPT = 4


class FoldedBlock:
    """A `ResidualBlock` of a chunk: (F + 4, M, C) -> (F, M', C)."""

    def __init__(self, block: ResidualBlock, frames: int, mels: int, dtype: torch.dtype) -> None:
        """`frames` are what will mostly come out."""
        self._mel_stride = block.mel_stride
        first = scaled_rows(block.conv1.weight, block.norm1)
        second = scaled_rows(block.conv2.weight, block.norm2)
        strides = (1, block.mel_stride)
        self._conv1 = FrontConvolution(*first, strides, frames + KEPT, mels, dtype)
        mels //= block.mel_stride
        self._conv2 = FrontConvolution(*second, (1, 1), frames + 2, mels, dtype)
        self._shortcut: Product | None = None
        if block.shortcut is not None:
            matrix, bias = scaled_rows(block.shortcut.weight[:, :, 0, 0], block.shortcut_norm)
            self._shortcut = Product(matrix, bias, dtype)

    def __call__(self, frames: Tensor, stream: FrameStream, first: int) -> Tensor:
        """`first` is the frame of `stream` that comes out first."""
        hidden = stream.zero_gaps(self._conv1(frames), first - 1)
        added = frames_beside(frames, self._mel_stride)
        if self._shortcut is not None:
            rows = self._shortcut(added.reshape(-1, added.shape[2]))
            added = rows.view(added.shape)
        return stream.zero_gaps(self._conv2(hidden, added), first)


def frames_beside(frames: Tensor, mel_stride: int) -> Tensor:
    """Of what a block takes, what its shortcut sees."""
    return frames[KEPT // 2 : -KEPT // 2, ::mel_stride]


class FoldedFront:
    """`FrontConvolutions` of a stream: (F, M) -> (F, M / 8 × C), a mel's channels together."""

    chunk_frames = CHUNK_FRAMES
    kept_dtype: torch.dtype | None = None
    """of what layers hand on, if it is not that of the features"""

    def __init__(self, front: FrontConvolutions, mels: int, dtype: torch.dtype) -> None:
        self._dtype, self._stride = dtype, front.frame_stride
        self._kernel = front.conv1.kernel_size[0]
        usual = self.chunk_frames * torch.get_num_threads() // self._stride
        self._first = self._folded_first(front, self._features_taken(usual), mels)
        mels = -(-mels // self._stride)
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
        strides = (self._stride, self._stride)
        return FrontConvolution(*first, strides, frames, mels, self._dtype)

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
        stride, stream = self._stride, stream.strided(self._stride)
        late = 2 * len(self._blocks) - 1  # frames from what comes out to what went in
        usual = self.chunk_frames * torch.get_num_threads() // stride
        size, chunks = _chunks(stream.size + late, usual)
        taken = self._features_taken(size)
        before = 2 * stride + self._kernel // 2  # features that the first chunk sees before any
        padded = features.new_zeros(chunks * size * stride + taken, features.shape[1], 1)
        padded[before : before + len(features), :, 0] = features
        kept = self._no_frames()
        outputs = []
        for chunk in range(chunks):
            start = chunk * size
            seen = self._first(padded[start * stride : start * stride + taken])
            seen = stream.zero_gaps(seen, start - 2)
            for row, block in enumerate(self._blocks):
                if row:
                    seen = torch.cat([kept[row], seen])
                    kept[row] = seen[size:].clone()
                    start -= 2
                seen = block(seen, stream, start)
            seen = torch.cat([kept[-1], seen])
            kept[-1] = seen[size:].clone()
            outputs.append(stream.zero_gaps(self._last(seen), start - 1).flatten(1))
        return torch.cat(outputs)[late : late + stream.size]

    def _features_taken(self, size: int) -> int:
        """By the first convolution, for a chunk of `size` frames."""
        return self._stride * (size + KEPT - 1) + self._kernel

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
