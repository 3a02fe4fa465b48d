"""Pooling: from the frames of an utterance to one vector."""

from __future__ import annotations

import torch
from torch import Tensor

from timbral.encoders.layers.frames import at_least_float32

__all__ = ["masked_mean", "statistics_pooling"]


def masked_mean(frames: Tensor, mask: Tensor) -> Tensor:
    """Mean over the frames inside, in float32 or wider: (B, F, C), mask (B, F) -> (B, C)."""
    return (at_least_float32(frames) * _equal_weights(mask)).sum(1)


def statistics_pooling(
    frames: Tensor,
    mask: Tensor,
    weights: Tensor | None = None,
    *,
    unbiased: bool = False,
    min_variance: float = 1e-10,
    added_variance: float = 0.0,
) -> Tensor:
    """Mean and standard deviation over time (Snyder et al., X-vectors, 2018).

    Frames (B, F, C), mask (B, F) -> (B, 2 C); computed in float32 or wider.

    Args:
        frames: (B, F, C)
        mask: (B, F), true inside
        weights: (B, F, 1 or C), which sum to one over an utterance and are zero outside it (Okabe
            et al., Attentive statistics pooling, 2018); None: equal weights
        unbiased: divide the variance by F - 1 instead of F
        min_variance: lower limit of the variance
        added_variance: added to the variance, after the limit
    """
    frames = at_least_float32(frames)
    weights = _equal_weights(mask) if weights is None else weights
    mean = (frames * weights).sum(1)
    variance = ((frames - mean[:, None]).square() * weights).sum(1)
    if unbiased:
        count = mask.sum(1, keepdim=True)
        variance = variance * (count / (count - 1).clamp(min=1))
    variance = variance.clamp(min=min_variance) + added_variance
    return torch.cat([mean, variance.sqrt()], dim=1)


def _equal_weights(mask: Tensor) -> Tensor:
    """Equal weights (B, F, 1) of the frames inside, zero outside."""
    return (mask / mask.sum(1, keepdim=True))[:, :, None]
