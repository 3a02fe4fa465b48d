"""Which frames belong to an utterance, and the precision of what is summed over them."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["at_least_float32", "frame_mask"]


def frame_mask(lengths: Tensor, frames: int) -> Tensor:
    """True where a frame lies inside its utterance: lengths (B,) -> (B, F)."""
    return torch.arange(frames, device=lengths.device)[None, :] < lengths[:, None]


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision to float32; float32 and float64 as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
