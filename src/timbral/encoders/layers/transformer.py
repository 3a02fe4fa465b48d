"""The two parts of WavLM (Chen et al., WavLM: Large-Scale Self-Supervised Pre-Training for Full
Stack Speech Processing, 2022): convolutions over samples, and a transformer with gated relative
positions. Time-major throughout, and blind to padding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.base import at_least_float32
from timbral.encoders.frontends import frame_mask
from timbral.encoders.layers.conv import TimeConv
from timbral.encoders.layers.linear import Linear

__all__ = ["TransformerConfig", "Waveform", "WavlmTransformer"]

NORM_EPSILON = 1e-5


class Waveform(nn.Module):
    """Seven convolutions, GELU after each: waves (B, T) -> frames (B, F, C), one each 20 ms.

    `norm` is ``group`` (each channel of the first layer over the utterance's own time) or
    ``layer`` (each frame of every layer over channels).
    """

    def __init__(
        self, channels: int, kernels: tuple[int, ...], strides: tuple[int, ...], norm: str
    ) -> None:
        super().__init__()
        self.by_group = norm == "group"
        inputs = (1, *[channels] * (len(kernels) - 1))
        self.shapes = tuple(zip(kernels, strides, strict=True))
        self.convs = nn.ModuleList(
            TimeConv(size, channels, kernel, stride=stride, bias=False)
            for size, (kernel, stride) in zip(inputs, self.shapes, strict=True)
        )
        norms = 1 if self.by_group else len(kernels)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(norms))

    def output_lengths(self, lengths: Tensor) -> Tensor:
        for kernel, stride in self.shapes:
            lengths = (lengths - kernel) // stride + 1
        return lengths

    def forward(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Waves (B, T) with `lengths` (B,) samples -> frames (B, F, C) and their number (B,)."""
        frames = waves[:, :, None]
        for index, conv in enumerate(self.convs):
            if not self.by_group:
                frames = self.norms[index](conv(frames))
            elif index == 0:
                frames = self._group_normalized(frames, lengths)
            else:
                frames = conv(frames)
            frames = functional.gelu(frames)
        return frames, self.output_lengths(lengths)

    def _group_normalized(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """The first layer and its norm in one product, with weights of each utterance's own.

        A channel is w·x over the taps x. Over an utterance its mean is w·E[x] and its variance
        wᵀ Cov[x] w, so that both follow from the few taps, and padding is never counted.
        """
        conv, norm = cast(TimeConv, self.convs[0]), cast(nn.LayerNorm, self.norms[0])
        with torch.autocast(frames.device.type, enabled=False):
            taps = conv.taps(at_least_float32(frames))
            count = (lengths - conv.kernel) // conv.stride + 1
            inside = frame_mask(count, taps.shape[1])[:, :, None]
            mean = (taps * inside).sum(1, keepdim=True) / count[:, None, None]
            centered = (taps - mean) * inside
            covariance = centered.mT @ centered / count[:, None, None]  # (B, taps, taps)
            variance = ((conv.weight @ covariance) * conv.weight).sum(2)  # (B, C)
            scale = norm.weight * (variance + norm.eps).rsqrt()
            weights = conv.weight * scale[:, :, None]  # (B, C, taps)
        return torch.baddbmm(norm.bias[None, None], taps - mean, weights.mT)


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of the transformer, and what is dropped in training."""

    inputs: int
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    norm_first: bool
    position_kernel: int
    position_groups: int
    buckets: int
    max_distance: int
    dropout: float
    attention_dropout: float
    layer_dropout: float
    mask_share: float
    mask_frames: int
    mask_least: int


class Attention(nn.Module):
    """Section 3.2: self-attention whose relative positions are gated by what a frame holds."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        size, self.heads = config.hidden_size, config.heads
        self.dropout = config.attention_dropout
        self.q_proj = Linear(size, size)
        self.k_proj = Linear(size, size)
        self.v_proj = Linear(size, size)
        self.out_proj = Linear(size, size)
        self.gate_constant = nn.Parameter(torch.ones(self.heads))
        self.gate = Linear(size // self.heads, 8)

    def forward(self, frames: Tensor, positions: Tensor, padding: Tensor) -> Tensor:
        """`positions` (heads, F, F) by head; `padding` (B, 1, 1, F) is -inf behind an end."""
        logits = self.gate(self._by_head(frames))  # (B, heads, F, 8)
        logits = at_least_float32(logits.view(*logits.shape[:3], 2, 4)).sum(4)
        update, reset = torch.sigmoid(logits).unbind(3)  # (B, heads, F)
        gate = update * (reset * self.gate_constant[:, None] - 1.0) + 2.0
        bias = gate[..., None] * positions + padding
        projections = (self.q_proj, self.k_proj, self.v_proj)
        query, key, value = (self._by_head(projection(frames)) for projection in projections)
        dropout = self.dropout if self.training else 0.0
        heard = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias.to(query.dtype), dropout_p=dropout
        )
        outputs: Tensor = self.out_proj(heard.transpose(1, 2).flatten(2))
        return outputs

    def _by_head(self, frames: Tensor) -> Tensor:  # (B, F, H) -> (B, heads, F, H / heads)
        return frames.reshape(*frames.shape[:2], self.heads, -1).transpose(1, 2)


class Layer(nn.Module):
    """Attention and a feed-forward network, each added to its input and normalized."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.norm_first = config.norm_first
        self.attention = Attention(config)
        self.attention_norm = nn.LayerNorm(size, eps=NORM_EPSILON)
        self.expand = Linear(size, config.intermediate_size)
        self.contract = Linear(config.intermediate_size, size)
        self.final_norm = nn.LayerNorm(size, eps=NORM_EPSILON)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, frames: Tensor, positions: Tensor, padding: Tensor) -> Tensor:
        if self.norm_first:
            heard = self.attention(self.attention_norm(frames), positions, padding)
            frames = frames + self.dropout(heard)
            return frames + self._feed_forward(self.final_norm(frames))
        heard = self.attention(frames, positions, padding)
        frames = self.attention_norm(frames + self.dropout(heard))
        outputs: Tensor = self.final_norm(frames + self._feed_forward(frames))
        return outputs

    def _feed_forward(self, frames: Tensor) -> Tensor:
        outputs: Tensor = self.dropout(self.contract(functional.gelu(self.expand(frames))))
        return outputs


class WavlmTransformer(nn.Module):
    """Frames (B, F, C) to the hidden states (B, F, H) before and behind each of its layers."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        size, kernel = config.hidden_size, config.position_kernel
        self.input_norm = nn.LayerNorm(config.inputs, eps=NORM_EPSILON)
        self.projection = Linear(config.inputs, size)
        self.hidden_frame = nn.Parameter(torch.empty(size).uniform_())
        self.position_conv = nn.Conv1d(
            size, size, kernel, padding=kernel // 2, groups=config.position_groups
        )
        self.norm = nn.LayerNorm(size, eps=NORM_EPSILON)
        self.relative = nn.Embedding(config.buckets, config.heads)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, features: Tensor, mask: Tensor) -> list[Tensor]:
        frames = self.dropout(self.projection(self.input_norm(features)))
        if self.training and self.config.mask_share:
            hidden = self._hidden(mask)
            frames = torch.where(hidden[:, :, None], self.hidden_frame.to(frames.dtype), frames)
        frames = frames * mask[:, :, None]
        frames = frames + self._positions(frames)
        if not self.config.norm_first:
            frames = self.norm(frames)
        frames = self.dropout(frames)
        positions = self.relative(self._buckets(mask.shape[1], mask.device)).permute(2, 0, 1)
        padding = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, -torch.inf)
        states = [frames]
        for index, layer in enumerate(self.layers):
            if not self._dropped(index):
                frames = layer(frames, positions, padding[:, None, None])
            states.append(frames)
        if self.config.norm_first:
            states[-1] = self.norm(frames)
        return states

    def _dropped(self, index: int) -> bool:
        """Whether training leaves this layer out for once (Fan et al., LayerDrop, 2020)."""
        if not (self.training and index and self.config.layer_dropout):
            return False
        return bool(torch.rand(()) < self.config.layer_dropout)

    def _hidden(self, mask: Tensor) -> Tensor:
        """Which frames training hides, (B, F): spans at random places that may overlap.

        As transformers draws them (Baevski et al., wav2vec 2.0, 2020, section 3.1, with a number
        of spans that hides about `mask_share` of the frames).
        """
        config, hidden = self.config, torch.zeros_like(mask)
        steps = torch.arange(config.mask_frames, device=mask.device)
        for row, frames in enumerate(mask.sum(1).tolist()):
            exact = config.mask_share * frames / config.mask_frames
            count = max(int(exact + torch.rand(()).item()), config.mask_least)
            places = max(frames - config.mask_frames + 1, 0)
            starts = torch.randperm(places)[: min(count, frames // config.mask_frames)]
            hidden[row, (starts.to(mask.device)[:, None] + steps).flatten()] = True
        return hidden

    def _positions(self, frames: Tensor) -> Tensor:
        count = frames.shape[1]
        return functional.gelu(self.position_conv(frames.mT)[:, :, :count]).mT

    def _buckets(self, count: int, device: torch.device) -> Tensor:
        """Bucket of every distance: exact when near, logarithmic when far: (F, F)."""
        times = torch.arange(count, device=device)
        distance = times[None, :] - times[:, None]
        side = self.config.buckets // 2
        exact = side // 2
        span = math.log(self.config.max_distance / exact)
        far = torch.log(distance.abs().clamp(min=1).float() / exact) / span * (side - exact)
        far = (exact + far).long().clamp(max=side - 1)
        near = torch.where(distance.abs() < exact, distance.abs(), far)
        return near + side * (distance > 0)
