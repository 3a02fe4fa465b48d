"""The time-delay layer of x-vectors and ECAPA-TDNN, which padding does not affect."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.layers.conv import FrameConv
from timbral.encoders.layers.norm import FrameBatchNorm

__all__ = ["TimeDelayLayer", "reflect_pad", "zero_pad"]


def zero_pad(frames: Tensor, mask: Tensor, count: int) -> Tensor:
    """Frames (B, F, C) padded with zeros at both ends of each utterance: (B, F + 2 count, C)."""
    return functional.pad(frames * mask[:, :, None], (0, 0, count, count))


def reflect_pad(frames: Tensor, mask: Tensor, count: int) -> Tensor:
    """Frames (B, F, C) mirrored at each utterance's first and last frame: (B, F + 2 count, C).

    Frames after the mirrored ones are undefined.

    With count 2, an utterance of 5 frames in a batch of 7:

        frames          a b c d e . .
        padded      c b a b c d e d c . .
        position    0 1 2 3 4 5 6 7 8 9 10        the mirrored e is at count + 5
    """
    batch, longest, channels = frames.shape
    before = frames[:, 1 : count + 1].flip(1)
    padded = torch.cat([before, frames, frames.new_zeros(batch, count, channels)], dim=1)
    # The rows of all utterances are concatenated, so that one index moves them. No row is used
    # twice, so the gradient is a plain copy and exact.
    lengths = mask.sum(1)[:, None]
    steps = torch.arange(count, device=frames.device)
    utterance = torch.arange(batch, device=frames.device)[:, None]
    source = utterance * longest + lengths - 2 - steps
    target = utterance * (longest + 2 * count) + count + lengths + steps
    mirrored = frames.flatten(0, 1).index_select(0, source.flatten())
    return padded.flatten(0, 1).index_copy(0, target.flatten(), mirrored).view_as(padded)


PADDINGS = {"zeros": zero_pad, "reflect": reflect_pad}


class TimeDelayLayer(nn.Module):
    """Convolution, ReLU, batch norm: (B, F, C) -> (B, F', C'), F' = ceil(F / stride).

    Each utterance is padded at its own ends with `padding_mode`, as in `nn.Conv1d`. `mask` (B, F)
    is true inside; outputs after an utterance's end are undefined.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        dilation: int = 1,
        padding_mode: Literal["zeros", "reflect"] = "zeros",
    ) -> None:
        super().__init__()
        self.conv = FrameConv(inputs, outputs, kernel, stride=stride, dilation=dilation)
        self.norm = FrameBatchNorm(outputs)
        self.stride = stride
        self.padding = self.conv.context // 2
        self.padding_mode = padding_mode

    def pad(self, frames: Tensor, mask: Tensor) -> Tensor:
        """What the convolution sees: (B, F + 2 padding, C)."""
        return PADDINGS[self.padding_mode](frames, mask, self.padding) if self.padding else frames

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        frames = self.pad(frames, mask)
        outputs = functional.relu(self.conv(frames), inplace=True)
        normalized: Tensor = self.norm(outputs, mask[:, :: self.stride])
        return normalized
