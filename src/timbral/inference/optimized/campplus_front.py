"""CAM++'s two-dimensional convolutions over a stream of frames, in chunks that stay in cache.

With a whole utterance at a time, these layers would wait for memory: ten seconds of the first
one's output are 10 MB. So a chunk goes through all of them before the next one begins. A 3 × 3
convolution returns one frame less at both ends than it takes, so a block of two takes 4 frames more
than it returns: the last 4 of the previous chunk, which are kept (those of the first block are
computed again).

    features              1 + [ size + 4 ] + 1
    first convolution         [ size + 4 ]          begins at frame `start` - 2
    block 1                     [ size ]            begins at start
    block 2, 4 frames kept  [ 4 + size ] -> [ size ]        begins at start - 2, and so on
    last, 2 frames kept           [ 2 + size ] -> [ size ]  begins 2 × blocks - 1 before start

A first convolution of kernel × kernel with a stride takes stride × (size + 3) + kernel features,
from kernel // 2 before the center of its first output.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from timbral.encoders.campplus import FrontConvolutions, ResidualBlock
from timbral.inference.optimized.folding import scaled_rows
from timbral.inference.optimized.frame_stream import FrameStream
from timbral.inference.optimized.products import Convolution

__all__ = ["CHUNK_FRAMES", "KEPT", "FoldedFront"]

CHUNK_FRAMES = 256
"""most frames of a chunk per thread: few enough for a core's cache, and many compared with the kept
ones"""
CHUNK_STEP = 16
"""sizes of chunks are multiples of this, because oneDNN caches kernels by shape"""
KEPT = 4
"""frames that a block takes more than it returns"""


class FoldedBlock:
    """A `ResidualBlock` for a chunk: (F + 4, M, C) -> (F, M', C)."""

    def __init__(self, block: ResidualBlock, frames: int, mels: int, dtype: torch.dtype) -> None:
        """`frames` is the usual number of output frames."""
        first = scaled_rows(block.conv1.weight, block.norm1)
        second = scaled_rows(block.conv2.weight, block.norm2)
        size, strides = (frames + KEPT, mels), (1, block.mel_stride)
        self._conv1 = Convolution(*first, size, dtype, strides=strides)
        self._conv2 = Convolution(*second, (frames + 2, mels // block.mel_stride), dtype)
        self._shortcut: Convolution | None = None
        if block.shortcut is not None:
            shortcut = scaled_rows(block.shortcut.weight, block.shortcut_norm)
            self._shortcut = Convolution(*shortcut, (frames, mels), dtype, strides=strides)

    def __call__(self, frames: Tensor, stream: FrameStream, first: int) -> Tensor:
        """`first` is the position in `stream` of the first output."""
        hidden = stream.zero_gaps(self._conv1(frames, relu=True), first - 1)
        added = frames[KEPT // 2 : -KEPT // 2]
        if self._shortcut is not None:
            added = self._shortcut(added)
        return stream.zero_gaps(self._conv2(hidden, added=added), first)


class FoldedFront:
    """`FrontConvolutions` for a stream: (F, M) -> (F, M / 8 × C), mel by mel."""

    chunk_frames = CHUNK_FRAMES
    kept_dtype: torch.dtype | None = None
    """type of the layers' outputs, if it is not that of the features"""

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
        convolution = Convolution(*first, (frames, mels), self._dtype, strides=strides)
        return partial(convolution, relu=True)

    def _folded_block(
        self, block: ResidualBlock, frames: int, mels: int
    ) -> Callable[[Tensor, FrameStream, int], Tensor]:
        return FoldedBlock(block, frames, mels, self._dtype)

    def _folded_last(
        self, front: FrontConvolutions, frames: int, mels: int
    ) -> Callable[[Tensor], Tensor]:
        last = scaled_rows(front.conv2.weight, front.norm2)
        convolution = Convolution(*last, (frames, mels), self._dtype, strides=(1, 2))
        return partial(convolution, relu=True)

    def __call__(self, features: Tensor, stream: FrameStream) -> Tensor:
        stride, stream = self._stride, stream.strided(self._stride)
        late = 2 * len(self._blocks) - 1  # delay of the outputs in frames
        usual = self.chunk_frames * torch.get_num_threads() // stride
        sizes = _chunks(stream.end + late, usual)
        before = 2 * stride + self._kernel // 2  # zeros before the first feature
        padded = features.new_zeros(self._features_taken(sum(sizes)), features.shape[1], 1)
        inside = padded[before:, :, 0]
        inside[: len(features)] = features[: len(inside)]
        kept = self._no_frames()
        outputs = []
        end = 0
        for size in sizes:
            start, end = end, end + size
            seen = self._first(padded[start * stride :][: self._features_taken(size)])
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
        missing = max(0, stream.size + late - sum(sizes))
        outputs.append(outputs[0].new_zeros(missing, outputs[0].shape[1]))
        return torch.cat(outputs)[late : late + stream.size]

    def _features_taken(self, size: int) -> int:
        """Number of features that the first convolution takes for a chunk of `size` frames."""
        return self._stride * (size + KEPT - 1) + self._kernel

    def _no_frames(self) -> list[Tensor]:
        """The kept frames of each block and of the last convolution, before the first chunk."""
        sizes = [(KEPT, mels) for mels in self._kept_mels] + [(2, self._last_mels)]
        dtype = self.kept_dtype or self._dtype
        return [torch.zeros(*each, self._channels, dtype=dtype) for each in sizes]


def _chunks(frames: int, most: int) -> list[int]:
    """The sizes of chunks, about `most` or fewer frames each, for `frames` frames or a few more."""
    chunks = -(-frames // most)
    steps, more = divmod(-(-frames // CHUNK_STEP), chunks)
    return [(steps + (chunk < more)) * CHUNK_STEP for chunk in range(chunks)]
