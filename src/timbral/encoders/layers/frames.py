"""Which frames belong to an utterance, and the precision of what is summed over them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["at_least_float32", "frame_mask", "relu_inside"]


def frame_mask(lengths: Tensor, frames: int) -> Tensor:
    """True where a frame lies inside its utterance: lengths (B,) -> (B, F)."""
    return torch.arange(frames, device=lengths.device)[None, :] < lengths[:, None]


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision to float32; float32 and float64 as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def relu_inside(frames: Tensor, mask: Tensor) -> Tensor:
    """ReLU, and zero outside the mask (B, F), as the next convolution's padding is; in place."""
    inside = mask.view(*mask.shape, *(1,) * (frames.dim() - 2))
    return functional.relu(frames.mul_(inside), inplace=True)
