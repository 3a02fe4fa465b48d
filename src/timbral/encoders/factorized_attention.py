"""Multi-head factorized attentive pooling, MHFA (Peng et al., An Attention-Based Backend Allowing
Efficient Fine-Tuning of Transformer Models for Speaker Verification, SLT 2022)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from timbral.encoders.layers.frames import at_least_float32
from timbral.encoders.layers.layer_sum import WeightedLayerSum
from timbral.encoders.layers.linear import Linear

__all__ = ["FactorizedAttention", "MhfaSizes"]


class MhfaSizes(Protocol):
    """The sizes that the pooling reads from the config of an encoder."""

    @property
    def num_hidden_layers(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def compressed_channels(self) -> int: ...
    @property
    def pooling_heads(self) -> int: ...
    @property
    def embedding_dim(self) -> int: ...


class FactorizedAttention(nn.Module):
    """Section 3: keys and values are two compressed weighted sums of all hidden states.

    The keys give each head's weights of the frames; the vector is linear in the heads' weighted
    means of the values.
    """

    def __init__(self, config: MhfaSizes) -> None:
        super().__init__()
        states, channels = config.num_hidden_layers + 1, config.compressed_channels
        self.key_sum = WeightedLayerSum(states)
        self.value_sum = WeightedLayerSum(states)
        self.key = Linear(config.hidden_size, channels)
        self.value = Linear(config.hidden_size, channels)
        self.scores = nn.Linear(channels, config.pooling_heads)
        self.output = nn.Linear(config.pooling_heads * channels, config.embedding_dim)

    def forward(self, states: list[Tensor], mask: Tensor) -> Tensor:
        """States (B, F, H) before and after each layer, mask (B, F) -> (B, E)."""
        scores = at_least_float32(self.scores(self.key(self.key_sum(states))))
        attention = torch.softmax(scores.masked_fill(~mask[:, :, None], -torch.inf), dim=1)
        values = at_least_float32(self.value(self.value_sum(states)))
        pooled = attention.transpose(1, 2) @ values  # (B, heads, C)
        embeddings: Tensor = self.output(pooled.flatten(1))
        return embeddings
