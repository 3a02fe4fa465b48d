"""Masks of frames, and the precision of sums over them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["at_least_float32", "frame_mask", "relu_inside"]


def frame_mask(lengths: Tensor, frames: int) -> Tensor:
    """The mask of frames inside their utterance, from lengths (B,) -> (B, F), true inside."""
    return torch.arange(frames, device=lengths.device)[None, :] < lengths[:, None]


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision converted to float32; float32 and float64 unchanged."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def relu_inside(frames: Tensor, mask: Tensor) -> Tensor:
    """ReLU, and zero outside the mask (B, F), like the next convolution's padding; in place."""
    inside = mask.view(*mask.shape, *(1,) * (frames.dim() - 2))
    return functional.relu(frames.mul_(inside), inplace=True)
