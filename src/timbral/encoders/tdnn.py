"""A small time-delay network for machines of a few cores.

The x-vector layout (Snyder et al., X-vectors: Robust DNN embeddings for speaker recognition,
2018) in a quarter of its size, on 80 log-mels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.base import SpeakerEncoder, at_least_float32
from timbral.encoders.frontends import LOG_MEL_80, MelSpectrogram, frame_mask
from timbral.encoders.layers.norm import BatchNorm, MaskedBatchNorm
from timbral.encoders.layers.pooling import statistics_pooling
from timbral.errors import check_ranges

__all__ = ["TdnnConfig", "TdnnEncoder"]


@dataclass(frozen=True)
class TdnnConfig:
    """Sizes of the network; the defaults have 1.1 million parameters."""

    channels: int = 256
    pooled_channels: int = 768
    embedding_size: int = 192
    stride: int = 1
    """frames that the first layer advances by: 2 halves the work of all others"""
    mean_normalize: bool = True
    """subtract each utterance's mean log-mel: takes away most of the channel"""

    def __post_init__(self) -> None:
        sizes = ("channels", "pooled_channels", "embedding_size")
        check_ranges(self, "encoder", **dict.fromkeys(sizes, (1, math.inf)), stride=(1, 4))


class TimeDelayLayer(nn.Module):
    """Dilated convolution, ReLU, batch norm: (B, C, F) -> (B, C', F'); zero outside the mask."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int, dilation: int = 1, stride: int = 1
    ) -> None:
        super().__init__()
        padding = dilation * (kernel - 1) // 2
        self.conv = nn.Conv1d(
            inputs, outputs, kernel, stride=stride, dilation=dilation, padding=padding
        )
        self.norm = MaskedBatchNorm(outputs)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        outputs: Tensor = self.norm(functional.relu(self.conv(frames)), mask)
        return outputs * mask[:, None, :]


class TdnnEncoder(SpeakerEncoder):
    """Five time-delay layers, mean and standard deviation, linear."""

    name = "tdnn"
    config_type = TdnnConfig

    def __init__(self, config: TdnnConfig) -> None:
        super().__init__()
        self.config = config
        mel = replace(LOG_MEL_80, mean_normalize=config.mean_normalize)
        self.frontend = MelSpectrogram(mel)
        self.sample_rate = mel.sample_rate
        self.hop_samples = mel.hop_samples
        self.embedding_dim = config.embedding_size
        self.min_samples = self.sample_rate // 5
        channels, pooled = config.channels, config.pooled_channels
        self.layers = nn.ModuleList(
            [
                TimeDelayLayer(mel.n_mels, channels, kernel=5, stride=config.stride),
                TimeDelayLayer(channels, channels, kernel=3, dilation=2),
                TimeDelayLayer(channels, channels, kernel=3, dilation=3),
                TimeDelayLayer(channels, channels, kernel=1),
                TimeDelayLayer(channels, pooled, kernel=1),
            ]
        )
        self.pooled_norm = BatchNorm(2 * pooled)
        self.linear = nn.Linear(2 * pooled, config.embedding_size)

    def parts(self) -> dict[str, list[nn.Module]]:
        return {"body": list(self.layers), "head": [self.pooled_norm, self.linear]}

    def features(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        features: tuple[Tensor, Tensor] = self.frontend(waves, lengths)
        return features

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        stride = self.config.stride
        kept = (features.shape[1] - 1) // stride + 1
        mask = frame_mask((frame_lengths - 1) // stride + 1, kept)
        frames = features.transpose(1, 2)  # (B, F, M) -> (B, M, F)
        for layer in self.layers:
            frames = layer(frames, mask)
        pooled = self.pooled_norm(statistics_pooling(frames, mask))
        embeddings: Tensor = self.linear(pooled)
        return at_least_float32(embeddings)
