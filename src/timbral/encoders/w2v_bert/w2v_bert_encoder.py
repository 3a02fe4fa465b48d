"""w2v-BERT 2.0, an adapter for each layer and attentive pooling (Li et al., Enhancing Speaker
Verification with W2V-BERT 2.0 and Knowledge Distillation-Guided Structured Pruning, 2025), as
WeSpeaker builds it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.layers.frames import at_least_float32
from timbral.encoders.layers.linear import Linear
from timbral.encoders.layers.norm import FrameBatchNorm
from timbral.encoders.layers.pooling import statistics_pooling
from timbral.encoders.w2v_bert.w2v_bert_body import W2vBertBody
from timbral.encoders.w2v_bert.w2v_bert_config import W2vBertConfig

__all__ = ["W2vBertEncoder"]

MIN_VARIANCE = 1e-5


class AdaptedStatistics(nn.Module):
    """The last states, each compressed by its own adapter, then concatenated and pooled by
    attentive statistics, with an attention per channel.
    """

    def __init__(self, config: W2vBertConfig) -> None:
        super().__init__()
        channels = config.adapter_channels
        self.adapters = nn.ModuleList(
            nn.Sequential(
                Linear(config.hidden_size, channels),
                nn.LayerNorm(channels),
                nn.ReLU(),
                Linear(channels, channels),
            )
            for _ in range(config.states)
        )
        pooled = config.states * channels
        self.hidden = Linear(pooled, config.attention_channels)
        self.norm = FrameBatchNorm(config.attention_channels)
        self.scores = Linear(config.attention_channels, pooled)
        self.output = nn.Linear(2 * pooled, config.embedding_dim)

    def forward(self, states: list[Tensor], mask: Tensor) -> Tensor:
        """States (B, F, H) before and after each layer, mask (B, F) -> (B, E)."""
        last = states[-len(self.adapters) :]
        adapted = [adapter(state) for adapter, state in zip(self.adapters, last, strict=True)]
        rows = torch.cat(adapted, dim=2)
        scores = self.scores(self.norm(functional.relu(self.hidden(rows)), mask))
        scores = at_least_float32(scores.masked_fill(~mask[:, :, None], -torch.inf))
        attention = torch.softmax(scores, dim=1)
        pooled = statistics_pooling(rows, mask, attention, min_variance=MIN_VARIANCE)
        embeddings: Tensor = self.output(pooled)
        return embeddings


class W2vBertEncoder(W2vBertBody):
    """w2v-BERT 2.0 with an adapter for each layer and attentive pooling, on 80 filter banks."""

    name = "w2v-bert"
    config_type = W2vBertConfig
    tiny_config = W2vBertConfig(16, 2, 2, 24, 5, 6, 2, 3, 6, 8, 16)
    config: W2vBertConfig

    def __init__(self, config: W2vBertConfig) -> None:
        super().__init__(config, AdaptedStatistics(config), config.embedding_dim)
