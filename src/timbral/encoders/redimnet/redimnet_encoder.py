"""ReDimNet (Yakovlev et al., Reshape Dimensions Network for Speaker Recognition, Interspeech 2024)
and ReDimNet2 (Yakovlev and Okhotnikov, ReDimNet2: Scaling Speaker Verification via Time-Pooled
Dimension Reshaping, Interspeech 2026).

A map has mels × channels values per frame, the same number in all stages, so that it is both frames
(B, F, mels, channels) and rows (B, F, mels × channels), without copying. The stem computes the
first map; each stage takes a weighted sum of all earlier maps:

    stage    sum of maps -> fewer mels, more channels -> blocks over (mel, time)
             -> layers over time, on rows -> the next map

The vector is pooled from the sum of all maps.

Stages of ReDimNet2 have strides over time: a map with stride 4 has a fourth of the frames, each of
which is repeated four times in a sum. Frames after the last complete stride of an utterance are not
used.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.ecapa import EcapaConfig, PlainAttentiveStatistics
from timbral.encoders.frontends import WESPEAKER_FBANK_80, Frontend, KaldiFbank
from timbral.encoders.layers.frames import at_least_float32, frame_mask
from timbral.encoders.layers.linear import Linear
from timbral.encoders.layers.norm import BatchNorm
from timbral.encoders.redimnet.log_mels import (
    WINDOW_SAMPLES,
    RedimnetMel,
    RedimnetMelConfig,
)
from timbral.encoders.redimnet.mel_blocks import (
    BLOCK_TYPES,
    GroupedConv,
    SqueezeAfterConv,
    SqueezeChannels,
    StrideConv,
)
from timbral.encoders.redimnet.redimnet_config import RedimnetConfig, StageSizes
from timbral.encoders.redimnet.time_context import NORM_EPSILON, TimeContext

__all__ = ["RedimnetEncoder"]

MAP_EPSILON = 1e-5
"""epsilon of the group norms of maps"""


class Map(NamedTuple):
    """An output of the stem or of a stage."""

    rows: Tensor
    """(B, F / frame_stride, mels × channels)"""
    frame_stride: int


class MapSum(nn.Module):
    """A weighted sum of maps; the weights of each channel sum to one."""

    def __init__(self, maps: int, size: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(maps, size))

    def forward(self, maps: list[Map]) -> Tensor:
        """Maps -> rows (B, F, mels × channels) at the frame rate of the front-end."""
        weights = torch.softmax(self.weights, dim=0).to(maps[0].rows.dtype)
        sums: dict[int, Tensor] = {}
        for (rows, stride), weight in zip(maps, weights, strict=True):
            weighted = rows * weight
            sums[stride] = sums[stride] + weighted if stride in sums else weighted
        total = sums.pop(1)
        for stride, rows in sums.items():
            total = total + rows[:, :, None].expand(-1, -1, stride, -1).flatten(1, 2)
        return total


class MapNorm(nn.Module):
    """Group norm of a map over an utterance's own frames (Wu and He, Group Normalization, 2018)."""

    def __init__(self, groups: int, size: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        """(B, F, C), mask (B, F) -> (B, F, C)."""
        grouped = at_least_float32(rows).reshape(*rows.shape[:2], self.groups, -1)
        inside = mask[:, :, None, None]
        count = inside.sum(1, keepdim=True) * grouped.shape[3]
        mean = (grouped * inside).sum((1, 3), keepdim=True) / count
        centered = grouped - mean
        variance = (centered.square() * inside).sum((1, 3), keepdim=True) / count
        normalized = (centered * (variance + MAP_EPSILON).rsqrt()).flatten(2)
        scaled: Tensor = normalized * self.weight + self.bias
        return scaled.to(rows.dtype)


class Stage(nn.Module):
    """Blocks over (mel, time) and layers over time, on a weighted sum of the earlier maps."""

    def __init__(self, config: RedimnetConfig, sizes: StageSizes) -> None:
        super().__init__()
        self.sizes, self.dual = sizes, config.dual
        inputs, width, outputs = sizes.channels, sizes.width, sizes.outputs
        size, mels = config.map_size, sizes.mels // sizes.mel_stride
        self.sum = MapSum(sizes.maps, size) if sizes.maps > 1 else None
        groups = math.gcd(inputs, width) if config.version == 2 else 1
        self.conv = StrideConv(inputs, width, sizes.mel_stride, sizes.frame_stride, groups)
        block = BLOCK_TYPES[config.block]
        self.blocks = nn.ModuleList(
            block(width, config.group_divisor, mels) for _ in range(sizes.blocks)
        )
        self.squeeze: nn.Module | None = None
        if width != outputs:
            self.squeeze = (
                SqueezeChannels(width, outputs)
                if config.version == 2
                else SqueezeAfterConv(width, outputs, config.group_divisor)
            )
        self.context: TimeContext | None = None
        if sizes.context_channels:
            self.context = TimeContext(size, sizes.context_channels, config.context)
        self.norm = MapNorm(config.channels, size) if config.map_norm else None
        self.plain_norm: MapNorm | None = None
        if config.map_norm and config.dual and self.context is not None:
            self.plain_norm = MapNorm(config.channels, size)

    def forward(self, maps: list[Map], mask: Tensor) -> list[Map]:
        """Earlier maps, mask (B, F) -> one map; with `dual`, also that before the layers over
        time.
        """
        stride = self.sizes.frame_stride
        mask = mask[:, ::stride]
        rows = maps[0].rows if self.sum is None else self.sum(maps)
        frames = self.conv(rows.reshape(*rows.shape[:2], self.sizes.mels, self.sizes.channels))
        for block in self.blocks:
            frames = block(frames, mask)
        if self.squeeze is not None:
            frames = self.squeeze(frames, mask)
        plain = frames.flatten(2)
        if self.context is None:
            return [Map(_normalized(self.norm, plain, mask), stride)]
        outputs = [Map(_normalized(self.norm, self.context(plain, mask), mask), stride)]
        if self.dual:
            outputs.insert(0, Map(_normalized(self.plain_norm, plain, mask), stride))
        return outputs


def _normalized(norm: nn.Module | None, rows: Tensor, mask: Tensor) -> Tensor:
    return rows if norm is None else norm(rows, mask)


class Head(nn.Module):
    """Projects the frames of the last map to the channels that are pooled, per mel or of all."""

    def __init__(self, config: RedimnetConfig) -> None:
        super().__init__()
        self.mels = config.mels // math.prod(config.mel_strides) if config.head_per_mel else 1
        self.product = Linear(config.map_size // self.mels, config.head_channels)

    def forward(self, rows: Tensor) -> Tensor:  # (B, F, mels × channels) -> (B, F, C)
        projected: Tensor = self.product(rows.reshape(*rows.shape[:2], self.mels, -1))
        return projected.flatten(2)


def _frontend(config: RedimnetConfig) -> Frontend:
    if config.features == "kaldi":
        return KaldiFbank(replace(WESPEAKER_FBANK_80, n_mels=config.mels))
    return RedimnetMel(
        RedimnetMelConfig(config.features, config.mels, config.hop_samples, config.normalize_waves)
    )


class RedimnetEncoder(SpeakerEncoder):
    """ReDimNet or ReDimNet2, with maps processed over (mel, time) and time in turn."""

    name = "redimnet"
    config_type = RedimnetConfig
    tiny_config = RedimnetConfig(
        mels=8,
        channels=4,
        mel_strides=(2, 1),
        frame_strides=(1, 2),
        blocks=(1, 1),
        widths=(8, 12),
        context_channels=(0, 8),
        block="resnet-fwse",
        dual=True,
        head_channels=6,
        head_per_mel=True,
        attention_channels=8,
        embedding_dim=16,
    )
    longest_seconds = 60.0
    config: RedimnetConfig

    def __init__(self, config: RedimnetConfig) -> None:
        super().__init__(config)
        self.frontend = _frontend(config)
        self.embedding_dim = config.embedding_dim
        # at least two frames, for a standard deviation
        two_frames = 2 * config.frame_stride * config.hop_samples + WINDOW_SAMPLES
        self.min_samples = max(self.sample_rate // 5, two_frames)
        self.stem = GroupedConv(1, config.channels)
        self.stem_norm = nn.LayerNorm(config.channels, eps=NORM_EPSILON)
        self.map_norm = MapNorm(config.channels, config.map_size) if config.map_norm else None
        self.stages = nn.ModuleList(Stage(config, sizes) for sizes in config.stages())
        self.sum = MapSum(config.num_maps, config.map_size)
        self.head = Head(config) if config.head_channels else None
        pooling = EcapaConfig(
            pooled_channels=config.pooled_size,
            attention_channels=config.attention_channels,
            variant="wespeaker",
            global_context=config.global_context,
        )
        self.pooling = PlainAttentiveStatistics(pooling)
        self.pooling_norm = BatchNorm(2 * config.pooled_size) if config.pooling_norm else None
        self.linear = nn.Linear(2 * config.pooled_size, config.embedding_dim)

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        stem = [self.stem, self.stem_norm, *([] if self.map_norm is None else [self.map_norm])]
        last = [self.sum, *([] if self.head is None else [self.head])]
        return {
            "body": [nn.ModuleList(stem), *self.stages, nn.ModuleList(last)],
            "head": [self.pooling, *filter(None, [self.pooling_norm]), self.linear],
        }

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        stride = self.config.frame_stride
        whole = features.shape[1] // stride
        features = features[:, : whole * stride]
        mask = frame_mask(frame_lengths // stride * stride, whole * stride)
        stem = self.stem_norm(self.stem(features[..., None], mask))
        maps = [Map(_normalized(self.map_norm, stem.flatten(2), mask), 1)]
        for stage in self.stages:
            maps += stage(maps, mask)
        rows = self.sum(maps)
        if self.head is not None:
            rows = self.head(rows)
        pooled = self.pooling(rows, mask)
        if self.pooling_norm is not None:
            pooled = self.pooling_norm(pooled)
        embeddings: Tensor = self.linear(pooled)
        return at_least_float32(embeddings)
