"""ECAPA-TDNN (Desplanques et al., ECAPA-TDNN: Emphasized Channel Attention, Propagation and
Aggregation in TDNN Based Speaker Verification, Interspeech 2020), as SpeechBrain builds it, or
as WeSpeaker does.

Frames stay time-major (B, F, C), so that every convolution is one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.base import LARGEST_SIZE, MOST_LAYERS, SpeakerEncoder
from timbral.encoders.frontends import (
    DECIBEL_MEL_80,
    WESPEAKER_FBANK_80,
    KaldiFbank,
    MelSpectrogram,
)
from timbral.encoders.layers.conv import FrameConv
from timbral.encoders.layers.frames import at_least_float32, frame_mask
from timbral.encoders.layers.norm import BatchNorm
from timbral.encoders.layers.pooling import masked_mean, statistics_pooling
from timbral.encoders.layers.time_delay import TimeDelayLayer
from timbral.errors import ConfigError, check_choice, check_ranges

__all__ = [
    "EcapaConfig",
    "EcapaEncoder",
    "PlainAttentiveStatistics",
    "PlainLinear",
    "SERes2NetBlock",
    "ecapa_layer",
]

MIN_VARIANCE = 1e-12
"""lower limit of the variance in SpeechBrain's attentive pooling"""
WESPEAKER_VARIANCE = 1e-7
"""the same in WeSpeaker's, and what it adds to the variances that its attention sees"""
VARIANTS = ("speechbrain", "wespeaker")


@dataclass(frozen=True)
class EcapaConfig:
    """Sizes of the network; the defaults are those of ``spkrec-ecapa-voxceleb``."""

    channels: int = 1024
    pooled_channels: int = 3072
    attention_channels: int = 128
    se_channels: int = 128
    res2net_scale: int = 8
    """groups that a Res2Net block splits the channels into"""
    embedding_dim: int = 192
    stride: int = 1
    """stride of the first layer over time: 2 halves the work of all others"""
    variant: str = "speechbrain"
    """speechbrain: decibel mels, frames mirrored at both ends, ReLU and batch norm within the
    attention | wespeaker: Kaldi's filter banks, zeros at both ends, neither"""
    global_context: bool = True
    """whether the attention sees the mean and deviation of all frames beside each; SpeechBrain's
    always does"""

    def __post_init__(self) -> None:
        sizes = ("channels", "pooled_channels", "attention_channels", "se_channels")
        check_ranges(self, "encoder", **dict.fromkeys((*sizes, "embedding_dim"), (1, LARGEST_SIZE)))
        check_ranges(self, "encoder", res2net_scale=(2, MOST_LAYERS), stride=(1, 4))
        if self.channels % self.res2net_scale:
            raise ConfigError(
                f"encoder.channels must be divisible by encoder.res2net_scale: {self.channels} is "
                f"not divisible by {self.res2net_scale}"
            )
        check_choice("encoder.variant", self.variant, VARIANTS)
        if self.variant == "speechbrain" and not self.global_context:
            raise ConfigError("encoder.global_context may be false only with the variant wespeaker")


def ecapa_layer(
    config: EcapaConfig,
    inputs: int,
    outputs: int,
    kernel: int = 1,
    dilation: int = 1,
    stride: int = 1,
) -> TimeDelayLayer:
    """Convolution, ReLU, batch norm over frames (B, F, C), padded as the variant pads."""
    mode: Literal["reflect", "zeros"] = "reflect" if config.variant == "speechbrain" else "zeros"
    return TimeDelayLayer(
        inputs, outputs, kernel, stride=stride, dilation=dilation, padding_mode=mode
    )


class Res2NetBlock(nn.Module):
    """Channels split into `scale` groups; each group but the first is convolved, from the third on
    together with what came out of the group before it (Gao et al., Res2Net, 2019).

        splits    0      1      2      3
                  |      |      |      |
                  |    conv  ->(+)   ->(+)
                  |      |  /  conv /  conv
        outputs   0      1      2      3
    """

    def __init__(self, config: EcapaConfig, dilation: int) -> None:
        super().__init__()
        size = config.channels // config.res2net_scale
        self.blocks = nn.ModuleList(
            ecapa_layer(config, size, size, 3, dilation) for _ in range(config.res2net_scale - 1)
        )

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        first, *splits = frames.chunk(len(self.blocks) + 1, dim=2)
        outputs = [first]
        for index, (block, split) in enumerate(zip(self.blocks, splits, strict=True)):
            outputs.append(block(split + outputs[-1] if index else split, mask))
        return torch.cat(outputs, dim=2)


class SqueezeExcitation(nn.Module):
    """Channels gated by the utterance's mean."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv1 = nn.Linear(channels, squeezed)
        self.conv2 = nn.Linear(squeezed, channels)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        mean = masked_mean(frames, mask).to(frames.dtype)
        gate = torch.sigmoid(self.conv2(functional.relu(self.conv1(mean))))
        return frames * gate[:, None]


class SERes2NetBlock(nn.Module):
    """Section 3.2: dense, Res2Net, dense, squeeze-excitation; added to the input."""

    def __init__(self, config: EcapaConfig, dilation: int) -> None:
        super().__init__()
        channels = config.channels
        self.dilation = dilation
        self.tdnn1 = ecapa_layer(config, channels, channels)
        self.res2net_block = Res2NetBlock(config, dilation)
        self.tdnn2 = ecapa_layer(config, channels, channels)
        self.se_block = SqueezeExcitation(channels, config.se_channels)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        outputs = self.res2net_block(self.tdnn1(frames, mask), mask)
        summed: Tensor = frames + self.se_block(self.tdnn2(outputs, mask), mask)
        return summed


class AttentiveStatistics(nn.Module):
    """Section 3.1: mean and deviation, each channel weighting the frames by its own attention.

    The attention sees [frame; mean; deviation]. The last two are the same for all frames, so
    their product is taken once an utterance.
    """

    def __init__(self, channels: int, attention: int) -> None:
        super().__init__()
        self.tdnn = TimeDelayLayer(3 * channels, attention)
        self.conv = nn.Linear(attention, channels)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        channels = frames.shape[2]
        context = statistics_pooling(frames, mask, min_variance=MIN_VARIANCE).to(frames.dtype)
        weight, bias = self.tdnn.conv.matrix(), self.tdnn.conv.bias
        hidden = functional.linear(frames, weight[:, :channels])
        hidden = hidden + functional.linear(context, weight[:, channels:], bias)[:, None]
        hidden = torch.tanh(self.tdnn.norm(functional.relu(hidden), mask))
        scores = self.conv(hidden).masked_fill(~mask[:, :, None], -torch.inf)
        attention = torch.softmax(at_least_float32(scores), dim=1)
        return statistics_pooling(frames, mask, attention, min_variance=MIN_VARIANCE)


class PlainAttentiveStatistics(nn.Module):
    """The same as WeSpeaker builds it: nothing but tanh between the two layers of the attention,
    which may see the frame alone.
    """

    def __init__(self, config: EcapaConfig, min_variance: float = WESPEAKER_VARIANCE) -> None:
        super().__init__()
        channels = config.pooled_channels
        self.min_variance = min_variance
        self.global_context = config.global_context
        seen = channels * (3 if self.global_context else 1)
        self.hidden = nn.Linear(seen, config.attention_channels)
        self.scores = nn.Linear(config.attention_channels, channels)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        channels = frames.shape[2]
        hidden = functional.linear(frames, self.hidden.weight[:, :channels], self.hidden.bias)
        if self.global_context:
            context = statistics_pooling(
                frames, mask, unbiased=True, min_variance=0.0, added_variance=WESPEAKER_VARIANCE
            )
            weight = self.hidden.weight[:, channels:]
            hidden = hidden + functional.linear(context.to(frames.dtype), weight)[:, None]
        scores = self.scores(torch.tanh(hidden)).masked_fill(~mask[:, :, None], -torch.inf)
        attention = torch.softmax(at_least_float32(scores), dim=1)
        return statistics_pooling(frames, mask, attention, min_variance=self.min_variance)


class PlainLinear(nn.Module):
    """A linear layer over each frame, and ReLU: where the other variant has batch norm besides."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = FrameConv(inputs, outputs, 1)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        return functional.relu(self.conv(frames))


class EcapaEncoder(SpeakerEncoder):
    """ECAPA-TDNN of SpeechBrain, on 80 mel filter banks in decibel, or of WeSpeaker."""

    name = "ecapa"
    config_type = EcapaConfig
    tiny_config = EcapaConfig(16, 24, 8, 8, 4, 16)
    config: EcapaConfig

    def __init__(self, config: EcapaConfig) -> None:
        super().__init__(config)
        is_plain = config.variant == "wespeaker"
        self.frontend = (
            KaldiFbank(WESPEAKER_FBANK_80) if is_plain else MelSpectrogram(DECIBEL_MEL_80)
        )
        self.embedding_dim = config.embedding_dim
        self.min_samples = config.stride * self.sample_rate // 10
        channels, pooled = config.channels, config.pooled_channels
        mels = self.frontend.num_features
        self.input = ecapa_layer(config, mels, channels, 5, stride=config.stride)
        self.blocks = nn.ModuleList(SERes2NetBlock(config, dilation) for dilation in (2, 3, 4))
        self.mfa: nn.Module
        self.asp: nn.Module
        if is_plain:
            self.mfa = PlainLinear(3 * channels, pooled)
            self.asp = PlainAttentiveStatistics(config)
        else:
            self.mfa = ecapa_layer(config, 3 * channels, pooled)
            self.asp = AttentiveStatistics(pooled, config.attention_channels)
        self.asp_bn = BatchNorm(2 * pooled)
        self.fc = nn.Linear(2 * pooled, config.embedding_dim)

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        return {
            "body": [self.input, *self.blocks, self.mfa],
            "head": [self.asp, self.asp_bn, self.fc],
        }

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        mask = frame_mask(frame_lengths, features.shape[1])
        frames = self.input(features, mask)
        mask = mask[:, :: self.input.stride]
        outputs = []
        for block in self.blocks:
            frames = block(frames, mask)
            outputs.append(frames)
        frames = self.mfa(torch.cat(outputs, dim=2), mask)
        embeddings: Tensor = self.fc(self.asp_bn(self.asp(frames, mask)))
        return at_least_float32(embeddings)
