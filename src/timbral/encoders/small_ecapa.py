"""A small ECAPA-TDNN on the weighted sum of a network's hidden states, as in UniSpeech's speaker
verification (Chen et al., WavLM, 2022, section V-C)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from timbral.encoders.ecapa import (
    EcapaConfig,
    PlainAttentiveStatistics,
    PlainLinear,
    SERes2NetBlock,
    ecapa_layer,
)
from timbral.encoders.layers.frames import at_least_float32
from timbral.encoders.layers.layer_sum import WeightedLayerSum
from timbral.encoders.layers.norm import BatchNorm

__all__ = ["TINY_ECAPA", "SmallEcapa", "SmallEcapaSizes"]

NORM_EPSILON = 1e-5
MIN_VARIANCE = 1e-9
"""lower limit of the variance in the pooling"""
TINY_ECAPA: dict[str, Any] = {
    "channels": 16,
    "pooled_channels": 24,
    "attention_channels": 8,
    "se_channels": 8,
    "res2net_scale": 4,
    "embedding_dim": 16,
}
"""sizes of the smallest one, for the `tiny_config` of encoders that contain one"""


@dataclass(frozen=True)
class SmallEcapaSizes:
    """Sizes of the head in the config of an encoder; the defaults are UniSpeech's."""

    embedding_dim: int = 256
    channels: int = 512
    """channels of the ECAPA-TDNN"""
    pooled_channels: int = 1536
    attention_channels: int = 128
    se_channels: int = 128
    res2net_scale: int = 8

    def ecapa(self) -> EcapaConfig:
        """The config of the ECAPA-TDNN, WeSpeaker's variant; ConfigError for impossible sizes."""
        return EcapaConfig(
            channels=self.channels,
            pooled_channels=self.pooled_channels,
            attention_channels=self.attention_channels,
            se_channels=self.se_channels,
            res2net_scale=self.res2net_scale,
            embedding_dim=self.embedding_dim,
            variant="wespeaker",
            global_context=False,
        )


class SmallEcapa(nn.Module):
    """Weighted sum of states, normalization over an utterance's frames, and an ECAPA-TDNN."""

    def __init__(self, config: EcapaConfig, states: int, state_size: int) -> None:
        super().__init__()
        self.layer_sum = WeightedLayerSum(states)
        self.input = ecapa_layer(config, state_size, config.channels, 5)
        self.blocks = nn.ModuleList(SERes2NetBlock(config, dilation) for dilation in (2, 3, 4))
        self.mfa = PlainLinear(3 * config.channels, config.pooled_channels)
        self.asp = PlainAttentiveStatistics(config, min_variance=MIN_VARIANCE)
        self.asp_bn = BatchNorm(2 * config.pooled_channels)
        self.fc = nn.Linear(2 * config.pooled_channels, config.embedding_dim)

    def forward(self, states: list[Tensor], mask: Tensor) -> Tensor:
        """States (B, F, H) before and after each layer, mask (B, F) -> (B, E)."""
        frames = self.input(_instance_normalized(self.layer_sum(states), mask), mask)
        outputs = []
        for block in self.blocks:
            frames = block(frames, mask)
            outputs.append(frames)
        pooled = self.asp(self.mfa(torch.cat(outputs, dim=2), mask), mask)
        embeddings: Tensor = self.fc(self.asp_bn(pooled))
        return embeddings


def _instance_normalized(frames: Tensor, mask: Tensor) -> Tensor:
    """Frames (B, F, C), each channel at zero mean and unit variance over an utterance's frames."""
    inside = mask[:, :, None]
    count = inside.sum(1, keepdim=True)
    exact = at_least_float32(frames)
    mean = (exact * inside).sum(1, keepdim=True) / count
    centered = (exact - mean) * inside
    variance = centered.square().sum(1, keepdim=True) / count
    return (centered * (variance + NORM_EPSILON).rsqrt()).to(frames.dtype)
