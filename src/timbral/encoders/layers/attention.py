"""Reshaping and masking for self-attention over frames."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["attention_padding", "split_heads"]


def split_heads(rows: Tensor, heads: int) -> Tensor:
    """Rows (B, F, C) -> (B, heads, F, C / heads)."""
    return rows.reshape(*rows.shape[:2], heads, -1).transpose(1, 2)


def attention_padding(mask: Tensor) -> Tensor:
    """What is added to attention scores: 0 inside the mask (B, F), -inf outside; (B, 1, 1, F)."""
    padding = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, -torch.inf)
    return padding[:, None, None]
