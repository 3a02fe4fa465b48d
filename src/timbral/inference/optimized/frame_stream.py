"""The utterances of a batch in one sequence of frames, with gaps between them.

    frames   a a a a a . . . . b b b . . . . c …        gaps are zero where a layer sees them

Besides the gaps no padding is computed, whatever the lengths in a batch, and blocks of frames can
be as large as a cache, whatever the number of utterances.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["FrameStream", "SegmentedStream", "block_sizes"]

FAR = 2**60


@dataclass(frozen=True)
class FrameStream:
    """The positions of utterances: u is in frames [starts[u], starts[u] + lengths[u])."""

    starts: list[int]
    lengths: list[int]
    size: int
    """frames altogether, gaps included"""

    @classmethod
    def of(
        cls, lengths: Sequence[int], gap: int, multiple: int, step: int, gap_at_end: bool = True
    ) -> FrameStream:
        """Each utterance is followed by a gap of `gap` frames or more, the last one if wanted.

        Starts are multiples of `step`, the size is one of `multiple`.
        """
        starts, end = [], 0
        for length in lengths:
            starts.append(end)
            end += length + gap
            end += -end % step
        used = end if gap_at_end else starts[-1] + lengths[-1]
        return cls(starts, list(lengths), -(-used // multiple) * multiple)

    def strided(self, stride: int) -> FrameStream:
        """The positions after a layer with a stride, such as frames 0, 2, 4, … of an utterance."""
        if stride == 1:
            return self
        return FrameStream(
            [start // stride for start in self.starts],
            [(length - 1) // stride + 1 for length in self.lengths],
            self.size // stride,
        )

    @property
    def end(self) -> int:
        """The last utterance's end."""
        return self.starts[-1] + self.lengths[-1]

    @cached_property
    def gaps(self) -> list[tuple[int, int]]:
        """Frames [begin, end) of no utterance, also before the first and after the last one."""
        ends = [start + length for start, length in zip(self.starts, self.lengths, strict=True)]
        return list(zip([-FAR, *ends], [*self.starts, FAR], strict=True))

    @cached_property
    def gaps_inside(self) -> list[tuple[int, int]]:
        """The gaps within [0, size)."""
        inside = [(max(begin, 0), min(end, self.size)) for begin, end in self.gaps]
        return [(begin, end) for begin, end in inside if begin < end]

    def zero_gaps(self, frames: Tensor, first: int) -> Tensor:
        """Set gaps to zero, in place, in frames (F, ...): the stream's from `first` on."""
        for begin, end in self.gaps:
            begin, end = max(begin - first, 0), min(end - first, len(frames))
            if begin < end:
                frames[begin:end].zero_()
        return frames

    def gather(self, batch: Tensor) -> Tensor:
        """Utterances (B, F, M) in a stream (size, M)."""
        stream = batch.new_zeros(self.size, batch.shape[2])
        for row, (start, length) in enumerate(zip(self.starts, self.lengths, strict=True)):
            stream[start : start + length] = batch[row, :length]
        return stream

    def split(self, stream: Tensor) -> Iterator[Tensor]:
        """Each utterance (F, C) of a stream (size, C)."""
        for start, length in zip(self.starts, self.lengths, strict=True):
            yield stream[start : start + length]


class SegmentedStream:
    """A stream with segments of `segment_frames` in each utterance, and with blocks of rows."""

    def __init__(self, stream: FrameStream, segment_frames: int, block_rows: int) -> None:
        self._stream = stream
        self.segment_of_row = torch.zeros(stream.size, dtype=torch.long)
        bounds: list[tuple[int, int]] = []
        owners: list[int] = []
        for owner, (start, length) in enumerate(zip(stream.starts, stream.lengths, strict=True)):
            for begin in range(start, start + length, segment_frames):
                end = min(begin + segment_frames, start + length)
                self.segment_of_row[begin:end] = len(bounds)
                bounds.append((begin, end))
                owners.append(owner)
        self._rows = torch.arange(stream.size)
        self._begins = torch.tensor([begin for begin, _ in bounds])
        owner_of = torch.tensor(owners)
        self._same = (owner_of[:, None] == owner_of).float()
        """(segments, segments): 1 if both are of the same utterance"""
        in_segment = torch.tensor([[float(end - begin)] for begin, end in bounds])
        in_utterance = self._same @ in_segment
        self.per_frame = in_utterance.reciprocal()
        """(segments, 1): 1 / number of frames of a segment's utterance"""
        self._segments = in_utterance / in_segment
        self._block_sizes = block_sizes(stream.size, block_rows)

    def in_blocks(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Rows (size, C) in blocks, whose sizes are those of many streams."""
        return torch.split(rows, self._block_sizes)

    def zero_gaps(self, rows: Tensor) -> Tensor:
        """Set gaps to zero, in place, in all rows (size, ...)."""
        for begin, end in self._stream.gaps_inside:
            rows[begin:end].zero_()
        return rows

    @cached_property
    def context(self) -> Tensor:
        """(segments, segments): maps sums over segments to a segment's mean plus its utterance's"""
        weights: Tensor = self._same + torch.diag(self._segments[:, 0])
        return weights * self.per_frame

    def whole_context(self, sums: Tensor) -> Tensor:
        """`context` @ `sums` / `per_frame`, for sums of whole numbers (S, C).

        These are exact, so the result does not depend on what else is in the stream.
        """
        return (sums * self._segments).add_(self._same @ sums)

    def segment_sums(self, rows: Tensor) -> Tensor:
        """Sums over all segments (S, C) of rows (size, C), which are zero in the gaps."""
        # each bag is a segment and the gap after it
        sums, *_ = torch.embedding_bag(rows, self._rows, self._begins)
        return sums.float()


def block_sizes(size: int, unit: int) -> list[int]:
    """Sizes of 4, 2 and 1 `unit`, and one of 1/2 to 3/2 or, alone, less; the largest first.

    oneDNN makes kernels for each shape, which takes about as long as using them, and keeps those of
    a thousand shapes.
    """
    sizes = []
    while 2 * size > 3 * unit:
        sizes.append(next(unit * n for n in (4, 2, 1) if 2 * (size - unit * n) >= unit))
        size -= sizes[-1]
    return sorted([*sizes, size], reverse=True)
