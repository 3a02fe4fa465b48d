"""WavLM with the x-vector head of transformers' ``WavLMForXVector``."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.base import SpeakerEncoder, at_least_float32
from timbral.encoders.frontends import frame_mask
from timbral.encoders.layers.conv import TimeConv
from timbral.encoders.layers.linear import Linear
from timbral.encoders.layers.pooling import statistics_pooling
from timbral.encoders.layers.transformer import TransformerConfig, Waveform, WavlmTransformer
from timbral.errors import ConfigError, check_ranges

__all__ = ["WavlmConfig", "WavlmEncoder"]


@dataclass(frozen=True)
class WavlmConfig:
    """Sizes of the network; the defaults are those of ``wavlm-base-plus-sv``."""

    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate_size: int = 3072
    conv_channels: int = 512
    conv_kernels: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_strides: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_norm: str = "group"
    """group (base models) | layer (large)"""
    norm_first: bool = False
    """layer norm before attention and feed-forward (large) instead of behind them"""
    position_kernel: int = 128
    position_groups: int = 16
    buckets: int = 320
    max_distance: int = 800
    normalize_waves: bool = False
    """each utterance to zero mean and unit variance first: ``do_normalize``"""
    weighted_layers: bool = True
    """the head hears a learned mean of all hidden states, else the last one"""
    tdnn_channels: tuple[int, ...] = (512, 512, 512, 512, 1500)
    tdnn_kernels: tuple[int, ...] = (5, 3, 3, 1, 1)
    tdnn_dilations: tuple[int, ...] = (1, 2, 3, 1, 1)
    embedding_size: int = 512
    dropout: float = 0.1
    attention_dropout: float = 0.1
    layer_dropout: float = 0.05
    mask_share: float = 0.05
    """of an utterance's frames that training hides behind a learned vector, in spans; 0: none"""
    mask_frames: int = 10
    """length of such a span"""
    mask_least: int = 2
    """spans that an utterance has at least, if it is long enough"""
    lora_rank: int = 0
    """above 0: low-rank updates of the attention's projections are trained (Hu et al., LoRA,
    2021; needs peft)"""

    def __post_init__(self) -> None:
        sizes = ("hidden_size", "layers", "heads", "intermediate_size", "conv_channels")
        others = ("position_kernel", "position_groups", "embedding_size")
        check_ranges(self, "encoder", **dict.fromkeys((*sizes, *others), (1, math.inf)))
        check_ranges(self, "encoder", buckets=(4, math.inf), lora_rank=(0, math.inf))
        rates = ("dropout", "attention_dropout", "layer_dropout", "mask_share")
        check_ranges(self, "encoder", **dict.fromkeys(rates, (0.0, 1.0)))
        check_ranges(self, "encoder", mask_frames=(1, math.inf), mask_least=(0, math.inf))
        if self.conv_norm not in ("group", "layer"):
            raise ConfigError(f"encoder.conv_norm is group or layer, got {self.conv_norm!r}")
        if self.hidden_size % self.heads or self.hidden_size % self.position_groups:
            raise ConfigError(
                f"encoder.hidden_size {self.hidden_size} must be divisible by encoder.heads "
                f"{self.heads} and encoder.position_groups {self.position_groups}"
            )
        for group in (
            (self.conv_kernels, self.conv_strides),
            (self.tdnn_channels, self.tdnn_kernels, self.tdnn_dilations),
        ):
            if len({len(values) for values in group}) != 1 or not group[0]:
                raise ConfigError(f"encoder: these need equally many values, from one: {group}")

    def transformer(self) -> TransformerConfig:
        """What the transformer takes of it."""
        return TransformerConfig(
            inputs=self.conv_channels,
            hidden_size=self.hidden_size,
            layers=self.layers,
            heads=self.heads,
            intermediate_size=self.intermediate_size,
            norm_first=self.norm_first,
            position_kernel=self.position_kernel,
            position_groups=self.position_groups,
            buckets=self.buckets,
            max_distance=self.max_distance,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            layer_dropout=self.layer_dropout,
            mask_share=self.mask_share,
            mask_frames=self.mask_frames,
            mask_least=self.mask_least,
        )


class LayerMean(nn.Module):
    """A learned mean of hidden states: weights of their softmax."""

    def __init__(self, states: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(states) / states)

    def forward(self, states: list[Tensor]) -> Tensor:
        shares = torch.softmax(self.weights, dim=0)
        weighted = [share * state for share, state in zip(shares, states, strict=True)]
        return torch.stack(weighted).sum(0)


class XVectorHead(nn.Module):
    """Projector, time-delay layers, mean and standard deviation, linear."""

    def __init__(self, config: WavlmConfig) -> None:
        super().__init__()
        channels = config.tdnn_channels
        self.projector = Linear(config.hidden_size, channels[0])
        sizes = zip(channels[:1] + channels, channels, config.tdnn_kernels, strict=False)
        layers = [
            TimeConv(*size, dilation=dilation)
            for size, dilation in zip(sizes, config.tdnn_dilations, strict=True)
        ]
        self.tdnn = nn.ModuleList(layers)
        self.linear = Linear(2 * channels[-1], config.embedding_size)
        self.reach = sum(layer.reach for layer in layers)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        frames = self.projector(frames)
        for layer in self.tdnn:
            frames = functional.relu(layer(frames))
        mask = frame_mask(lengths - self.reach, frames.shape[1])
        embeddings: Tensor = self.linear(statistics_pooling(frames.mT, mask, unbiased=True))
        return embeddings


class WavlmEncoder(SpeakerEncoder):
    """WavLM with an x-vector head, on raw samples; a frame is 20 ms."""

    name = "wavlm"
    config_type = WavlmConfig
    longest_seconds = 30.0

    def __init__(self, config: WavlmConfig) -> None:
        super().__init__()
        self.config = config
        self.sample_rate = 16_000
        self.hop_samples = math.prod(config.conv_strides)
        self.embedding_dim = config.embedding_size
        self.frontend = Waveform(
            config.conv_channels, config.conv_kernels, config.conv_strides, config.conv_norm
        )
        self.transformer = WavlmTransformer(config.transformer())
        self.mix = LayerMean(config.layers + 1) if config.weighted_layers else None
        self.head = XVectorHead(config)
        needed = self.head.reach + 2  # two pooled frames have a standard deviation
        for kernel, stride in zip(
            reversed(config.conv_kernels), reversed(config.conv_strides), strict=True
        ):
            needed = (needed - 1) * stride + kernel
        self.min_samples = needed
        if config.lora_rank:
            add_lora(self.transformer, config.lora_rank)

    def parts(self) -> dict[str, list[nn.Module]]:
        mix = [] if self.mix is None else [self.mix]
        return {
            "cnn": [self.frontend],
            "transformer": [self.transformer, *self.transformer.layers, *mix],
            "head": [self.head],
        }

    def features(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        inside = frame_mask(lengths, waves.shape[1])
        waves = torch.where(inside, at_least_float32(waves), 0.0)
        if self.config.normalize_waves:
            waves = normalized(waves, inside)
        features: tuple[Tensor, Tensor] = self.frontend(waves, lengths)
        return features

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        states = self.transformer(features, frame_mask(frame_lengths, features.shape[1]))
        frames = states[-1] if self.mix is None else self.mix(states)
        embeddings: Tensor = self.head(frames, frame_lengths)
        return at_least_float32(embeddings)


def normalized(waves: Tensor, inside: Tensor) -> Tensor:
    """Waves (B, T), zero outside, to zero mean and unit variance over their own samples."""
    count = inside.sum(1, keepdim=True)
    centered = (waves - waves.sum(1, keepdim=True) / count) * inside
    variance = centered.square().sum(1, keepdim=True) / count
    return centered / (variance + 1e-7).sqrt()


def add_lora(transformer: WavlmTransformer, rank: int) -> None:
    """Give the attention's projections low-rank updates; only these will be trained."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise ConfigError(
            "encoder.lora_rank needs peft; install it: pip install 'timbral[lora]'"
        ) from None
    targets = ["q_proj", "k_proj", "v_proj", "out_proj"]
    inject_adapter_in_model(
        LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets), transformer
    )
