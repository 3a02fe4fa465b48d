"""A small time-delay neural network, for training on a few cores.

The architecture of x-vectors (Snyder et al., X-vectors: Robust DNN embeddings for speaker
recognition, 2018) at a quarter of their size, on 80 log mels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from timbral.encoders.base import LARGEST_SIZE, SpeakerEncoder
from timbral.encoders.frontends import LOG_MEL_80, MelSpectrogram
from timbral.encoders.layers.frames import at_least_float32, frame_mask
from timbral.encoders.layers.norm import BatchNorm
from timbral.encoders.layers.pooling import statistics_pooling
from timbral.encoders.layers.time_delay import TimeDelayLayer
from timbral.errors import check_ranges

__all__ = ["TdnnConfig", "TdnnEncoder"]


@dataclass(frozen=True)
class TdnnConfig:
    """Sizes of the network; the defaults have 1.1 million parameters."""

    channels: int = 256
    pooled_channels: int = 768
    embedding_dim: int = 192
    stride: int = 1
    """stride of the first layer over time: 2 halves the work of all others"""
    mean_normalize: bool = True
    """subtract each utterance's mean log mel, which removes most of the channel"""

    def __post_init__(self) -> None:
        sizes = ("channels", "pooled_channels", "embedding_dim")
        check_ranges(self, "encoder", **dict.fromkeys(sizes, (1, LARGEST_SIZE)), stride=(1, 4))


class TdnnEncoder(SpeakerEncoder):
    """Five time-delay layers, mean and standard deviation, linear."""

    name = "tdnn"
    config_type = TdnnConfig
    tiny_config = TdnnConfig(channels=16, pooled_channels=24, embedding_dim=16)
    config: TdnnConfig

    def __init__(self, config: TdnnConfig) -> None:
        super().__init__(config)
        mel = replace(LOG_MEL_80, mean_normalize=config.mean_normalize)
        self.frontend = MelSpectrogram(mel)
        self.embedding_dim = config.embedding_dim
        self.min_samples = self.sample_rate // 5
        channels, pooled = config.channels, config.pooled_channels
        self.layers = nn.ModuleList(
            [
                TimeDelayLayer(mel.n_mels, channels, kernel=5, stride=config.stride),
                TimeDelayLayer(channels, channels, kernel=3, dilation=2),
                TimeDelayLayer(channels, channels, kernel=3, dilation=3),
                TimeDelayLayer(channels, channels),
                TimeDelayLayer(channels, pooled),
            ]
        )
        self.pooled_norm = BatchNorm(2 * pooled)
        self.linear = nn.Linear(2 * pooled, config.embedding_dim)

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        return {"body": list(self.layers), "head": [self.pooled_norm, self.linear]}

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        mask = frame_mask(frame_lengths, features.shape[1])
        frames = features
        for layer in self.layers:
            frames = layer(frames, mask)
            mask = mask[:, :: layer.stride]
        pooled = self.pooled_norm(statistics_pooling(frames, mask))
        embeddings: Tensor = self.linear(pooled)
        return at_least_float32(embeddings)
