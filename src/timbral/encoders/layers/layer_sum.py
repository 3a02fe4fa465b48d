"""A learned mean of the hidden states of a pretrained network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["WeightedLayerSum"]


class WeightedLayerSum(nn.Module):
    """A learned weighted mean of hidden states (Yang et al., SUPERB, 2021)."""

    def __init__(self, states: int) -> None:
        super().__init__()
        self.layer_weights = nn.Parameter(torch.ones(states) / states)

    def forward(self, states: list[Tensor]) -> Tensor:
        """Hidden states, each (B, F, H) -> their mean (B, F, H)."""
        weights = torch.softmax(self.layer_weights, dim=0)
        weighted = [weight * state for weight, state in zip(weights, states, strict=True)]
        return torch.stack(weighted).sum(0)
