"""From frames to one vector, over the frames that belong to the utterance."""

from __future__ import annotations

import torch
from torch import Tensor

from timbral.encoders.base import at_least_float32

__all__ = ["statistics_pooling"]


def statistics_pooling(frames: Tensor, mask: Tensor, *, unbiased: bool = False) -> Tensor:
    """Mean and standard deviation over time (Snyder et al., X-vectors, 2018).

    Frames (B, C, F), mask (B, F) -> (B, 2 C); computed in float32 or wider. `unbiased` divides the
    variance by one frame less.
    """
    frames = at_least_float32(frames)
    mask = mask[:, None, :]
    count = mask.sum(-1)
    mean = (frames * mask).sum(-1) / count
    squares = ((frames - mean[:, :, None]).square() * mask).sum(-1)
    variance = squares / (count - 1).clamp(min=1) if unbiased else squares / count
    return torch.cat([mean, variance.clamp(min=1e-10).sqrt()], dim=1)
