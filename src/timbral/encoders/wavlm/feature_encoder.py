"""WavLM's front-end: convolutions over samples."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.frontends import Frontend
from timbral.encoders.layers.conv import FrameConv
from timbral.encoders.layers.frames import at_least_float32, frame_mask
from timbral.encoders.wavlm.wavlm_config import WavlmConfig

__all__ = ["FeatureEncoder"]


class FeatureEncoder(Frontend):
    """Seven convolutions, each followed by GELU: waves (B, T) -> frames (B, F, C) of 20 ms."""

    config: WavlmConfig

    def __init__(self, config: WavlmConfig, wave_epsilon: float = 1e-7) -> None:
        """`wave_epsilon` is added to the variance that normalizes an utterance's samples."""
        super().__init__()
        self.wave_epsilon = wave_epsilon
        self.config = config
        self.sample_rate = 16_000
        self.hop_samples = math.prod(config.conv_stride)
        self.num_features = config.conv_dim[-1]
        self.group_norm = config.feat_extract_norm == "group"
        inputs = (1, *config.conv_dim[:-1])
        sizes = zip(inputs, config.conv_dim, config.conv_kernel, config.conv_stride, strict=True)
        self.convs = nn.ModuleList(
            FrameConv(size, channels, kernel, stride=stride, bias=False)
            for size, channels, kernel, stride in sizes
        )
        normalized = config.conv_dim[:1] if self.group_norm else config.conv_dim
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for channels in normalized)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        for kernel, stride in zip(self.config.conv_kernel, self.config.conv_stride, strict=True):
            lengths = (lengths - kernel) // stride + 1
        return lengths

    def forward(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        inside = frame_mask(lengths, waves.shape[1])
        waves = at_least_float32(waves).masked_fill(~inside, 0.0)
        if self.config.do_normalize:
            waves = normalized_waves(waves, inside, self.wave_epsilon)
        frames = waves[:, :, None]
        for index, conv in enumerate(self.convs):
            if not self.group_norm:
                frames = self.norms[index](conv(frames))
            elif index == 0:
                frames = self._group_normalized(frames, lengths)
            else:
                frames = conv(frames)
            frames = functional.gelu(frames)
        return frames, self.output_lengths(lengths)

    def _group_normalized(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """The first convolution and its group norm as one product, with weights per utterance.

        A channel is w·x over the taps x. Over an utterance its mean is w·E[x] and its variance
        wᵀ Cov[x] w, so both are computed from the few taps, without padding.
        """
        conv, norm = cast(FrameConv, self.convs[0]), cast(nn.LayerNorm, self.norms[0])
        (kernel,), (stride,) = conv.kernel_size, conv.stride
        with torch.autocast(frames.device.type, enabled=False):
            taps, matrix = conv.taps(at_least_float32(frames)), conv.matrix()
            count = (lengths - kernel) // stride + 1
            inside = frame_mask(count, taps.shape[1])[:, :, None]
            mean = (taps * inside).sum(1, keepdim=True) / count[:, None, None]
            centered = (taps - mean) * inside
            # (B, taps, taps)
            covariance = centered.transpose(1, 2) @ centered / count[:, None, None]
            variance = ((matrix @ covariance) * matrix).sum(2)  # (B, C)
            scale = norm.weight * (variance + norm.eps).rsqrt()
            weights = matrix * scale[:, :, None]  # (B, C, taps)
        return torch.baddbmm(norm.bias[None, None], taps - mean, weights.transpose(1, 2))


def normalized_waves(waves: Tensor, inside: Tensor, epsilon: float) -> Tensor:
    """Waves (B, T), zero outside, normalized to zero mean and unit variance inside."""
    count = inside.sum(1, keepdim=True)
    centered = (waves - waves.sum(1, keepdim=True) / count) * inside
    variance = centered.square().sum(1, keepdim=True) / count
    return centered / (variance + epsilon).sqrt()
