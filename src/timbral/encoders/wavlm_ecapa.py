"""WavLM under a small ECAPA-TDNN, as UniSpeech's speaker verification has it (Chen et al., WavLM,
2022, section V-C): what papers on speech synthesis compute SIM-o with.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.ecapa import (
    EcapaConfig,
    PlainAttentiveStatistics,
    PlainLinear,
    SERes2NetBlock,
    ecapa_layer,
)
from timbral.encoders.layers.frames import at_least_float32, frame_mask
from timbral.encoders.layers.norm import BatchNorm
from timbral.encoders.wavlm.encoder import WeightedLayerSum
from timbral.encoders.wavlm.feature_encoder import FeatureEncoder
from timbral.encoders.wavlm.transformer import WavlmTransformer
from timbral.encoders.wavlm.wavlm_config import TINY_SIZES
from timbral.encoders.wavlm.wavlm_sizes import WavlmSizes

__all__ = ["WavlmEcapaConfig", "WavlmEcapaEncoder"]

NORM_EPSILON = 1e-5
WAVE_EPSILON = 1e-5
"""of s3prl's WavLM; transformers' has 1e-7"""
MIN_VARIANCE = 1e-9
"""below which the pooling takes no variance"""


@dataclass(frozen=True)
class WavlmEcapaConfig(WavlmSizes):
    """Sizes of the network; the defaults are those of ``wavlm_large_finetune.pth``."""

    channels: int = 512
    """of the ECAPA-TDNN"""
    pooled_channels: int = 1536
    attention_channels: int = 128
    se_channels: int = 128
    res2net_scale: int = 8

    def __post_init__(self) -> None:
        self.wavlm()  # check their own sizes
        self.ecapa()

    def ecapa(self) -> EcapaConfig:
        """The sizes of the ECAPA-TDNN, which is built as WeSpeaker's."""
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


class WavlmEcapaEncoder(SpeakerEncoder):
    """WavLM, its layers weighted, under a small ECAPA-TDNN: UniSpeech's, for SIM-o."""

    name = "wavlm-ecapa"
    config_type = WavlmEcapaConfig
    tiny_config = WavlmEcapaConfig(
        **TINY_SIZES,
        channels=16,
        pooled_channels=24,
        attention_channels=8,
        se_channels=8,
        res2net_scale=4,
        embedding_dim=16,
        mask_time_prob=0.05,
    )
    longest_seconds = 30.0
    config: WavlmEcapaConfig

    def __init__(self, config: WavlmEcapaConfig) -> None:
        super().__init__(config)
        wavlm, ecapa = config.wavlm(), config.ecapa()
        self.frontend = FeatureEncoder(wavlm, WAVE_EPSILON)
        self.embedding_dim = config.embedding_dim
        self.min_samples = self.sample_rate // 10
        self.transformer = WavlmTransformer(wavlm)
        self.layer_sum = WeightedLayerSum(config.num_hidden_layers + 1)
        self.input = ecapa_layer(ecapa, config.hidden_size, config.channels, 5)
        self.blocks = nn.ModuleList(SERes2NetBlock(ecapa, dilation) for dilation in (2, 3, 4))
        self.mfa = PlainLinear(3 * config.channels, config.pooled_channels)
        self.asp = PlainAttentiveStatistics(ecapa, min_variance=MIN_VARIANCE)
        self.asp_bn = BatchNorm(2 * config.pooled_channels)
        self.fc = nn.Linear(2 * config.pooled_channels, config.embedding_dim)

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        return {
            "cnn": [self.frontend],
            "transformer": [self.transformer, *self.transformer.layers, self.layer_sum],
            "head": [self.input, *self.blocks, self.mfa, self.asp, self.asp_bn, self.fc],
        }

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        mask = frame_mask(frame_lengths, features.shape[1])
        frames = self.layer_sum(self.transformer(features, mask))
        frames = self.input(_instance_normalized(frames, mask), mask)
        outputs = []
        for block in self.blocks:
            frames = block(frames, mask)
            outputs.append(frames)
        pooled = self.asp(self.mfa(torch.cat(outputs, dim=2), mask), mask)
        embeddings: Tensor = self.fc(self.asp_bn(pooled))
        return at_least_float32(embeddings)


def _instance_normalized(frames: Tensor, mask: Tensor) -> Tensor:
    """Frames (B, F, C), each channel to zero mean and unit variance over an utterance's own."""
    inside = mask[:, :, None]
    count = inside.sum(1, keepdim=True)
    exact = at_least_float32(frames)
    mean = (exact * inside).sum(1, keepdim=True) / count
    centered = (exact - mean) * inside
    variance = centered.square().sum(1, keepdim=True) / count
    return (centered * (variance + NORM_EPSILON).rsqrt()).to(frames.dtype)
