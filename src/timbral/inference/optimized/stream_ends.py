"""What convolutions over time see beside the utterances of a stream."""

from __future__ import annotations

import torch
from torch import Tensor

from timbral.inference.optimized.frame_stream import FrameStream

__all__ = ["StreamEnds"]


class StreamEnds:
    """Frames beside both ends of each utterance: its own ones mirrored, or zeros."""

    def __init__(self, stream: FrameStream, padding: int, mirrored: bool) -> None:
        self._size, self._padding = stream.size, padding
        beside, inside = [], []
        for start, length in zip(stream.starts, stream.lengths, strict=True):
            for first, step in ((start, -1), (start + length - 1, 1)):
                beside += [first + step * each for each in range(1, padding + 1)]
                inside += [first - step * each for each in range(1, padding + 1)]
        self._beside = torch.tensor(beside) + padding
        self._inside = torch.tensor(inside) + padding if mirrored else None

    def padded(self, frames: Tensor, zero: Tensor, added: Tensor | None = None) -> Tensor:
        """Frames (size, C) -> (size + 2 padding, C); `zero` (C,) stands for the number 0.

        `added` (size, C) is added to the frames first. Rows that no utterance's outputs depend on
        are undefined.
        """
        padded = frames.new_empty(self._size + 2 * self._padding, frames.shape[1])
        inside = padded[self._padding : self._padding + self._size]
        if added is None:
            inside.copy_(frames)
        else:
            torch.add(frames, added, out=inside)
        padded[self._beside] = zero if self._inside is None else padded[self._inside]
        return padded
