"""w2v-BERT 2.0, an adapter for each layer and attentive pooling (Li et al., Enhancing Speaker
Verification with W2V-BERT 2.0 and Knowledge Distillation-Guided Structured Pruning, 2025), as
WeSpeaker builds it.

A frame is 20 ms: two of the front-end's, side by side. Of an utterance with an odd number of them
the last one is half a frame: the conformer does not see it, yet the head pools what the conformer
gives in its place. So it is in the original, and so were its weights trained.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.layers.frames import at_least_float32, frame_mask
from timbral.encoders.layers.linear import Linear
from timbral.encoders.layers.norm import FrameBatchNorm
from timbral.encoders.layers.pooling import statistics_pooling
from timbral.encoders.w2v_bert.conformer import ConformerLayer
from timbral.encoders.w2v_bert.normalized_fbank import NormalizedFbank
from timbral.encoders.w2v_bert.w2v_bert_config import W2vBertConfig

__all__ = ["W2vBertEncoder"]

STACKED = 2
"""frames of the front-end in one of the conformer"""
MIN_VARIANCE = 1e-5


class AdaptedStatistics(nn.Module):
    """States compressed by adapters of their own, side by side; mean and deviation of their
    frames, each channel weighting them by its own attention."""

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
        """States (B, F, H), mask (B, F) -> (B, E)."""
        adapted = [adapter(state) for adapter, state in zip(self.adapters, states, strict=True)]
        rows = torch.cat(adapted, dim=2)
        scores = self.scores(self.norm(functional.relu(self.hidden(rows)), mask))
        scores = at_least_float32(scores.masked_fill(~mask[:, :, None], -torch.inf))
        attention = torch.softmax(scores, dim=1)
        pooled = statistics_pooling(rows, mask, attention, min_variance=MIN_VARIANCE)
        embeddings: Tensor = self.output(pooled)
        return embeddings


class W2vBertEncoder(SpeakerEncoder):
    """w2v-BERT 2.0 with an adapter for each layer and attentive pooling, on 80 filter banks."""

    name = "w2v-bert"
    config_type = W2vBertConfig
    tiny_config = W2vBertConfig(16, 2, 2, 24, 5, 6, 2, 3, 6, 8, 16)
    longest_seconds = 30.0
    config: W2vBertConfig

    def __init__(self, config: W2vBertConfig) -> None:
        super().__init__(config)
        self.frontend = NormalizedFbank()
        self.embedding_dim = config.embedding_dim
        self.min_samples = self.sample_rate // 10
        inputs = STACKED * self.frontend.num_features
        self.input_norm = nn.LayerNorm(inputs)
        self.projection = Linear(inputs, config.hidden_size)
        self.layers = nn.ModuleList(ConformerLayer(config) for _ in range(config.num_hidden_layers))
        self.pooling = AdaptedStatistics(config)

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        front = nn.ModuleList([self.input_norm, self.projection])
        return {"conformer": [front, *self.layers], "head": [self.pooling]}

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        count = (features.shape[1] + 1) // STACKED
        features = functional.pad(features, (0, 0, 0, count * STACKED - features.shape[1]))
        stacked = features.reshape(features.shape[0], count, -1)
        mask = frame_mask(frame_lengths // STACKED, count)
        rows = self.projection(self.input_norm(stacked)) * mask[:, :, None]
        states = [rows]
        for layer in self.layers:
            rows = layer(rows, mask)
            states.append(rows)
        pooled = frame_mask((frame_lengths + 1) // STACKED, count)
        return at_least_float32(self.pooling(states[-self.config.states :], pooled))
