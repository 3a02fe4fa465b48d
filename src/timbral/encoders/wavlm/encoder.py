"""WavLM as a speaker encoder: front-end, transformer, x-vector head."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.layers.conv import FrameConv
from timbral.encoders.layers.frames import at_least_float32, frame_mask
from timbral.encoders.layers.layer_sum import WeightedLayerSum
from timbral.encoders.layers.linear import Linear
from timbral.encoders.layers.pooling import statistics_pooling
from timbral.encoders.wavlm.feature_encoder import FeatureEncoder
from timbral.encoders.wavlm.transformer import WavlmTransformer
from timbral.encoders.wavlm.wavlm_config import TINY_SIZES, WavlmConfig
from timbral.errors import MissingExtraError

__all__ = ["WavlmEncoder"]


class XVectorHead(nn.Module):
    """Linear projection, convolutions without padding, statistics pooling, linear layer."""

    def __init__(self, config: WavlmConfig) -> None:
        super().__init__()
        channels = config.tdnn_dim
        self.projector = Linear(config.hidden_size, channels[0])
        sizes = zip(channels[:1] + channels[:-1], channels, config.tdnn_kernel, strict=True)
        layers = [
            FrameConv(*size, dilation=dilation)
            for size, dilation in zip(sizes, config.tdnn_dilation, strict=True)
        ]
        self.tdnn = nn.ModuleList(layers)
        self.linear = Linear(2 * channels[-1], config.embedding_dim)
        self.context = sum(layer.context for layer in layers)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        frames = self.projector(frames)
        for layer in self.tdnn:
            frames = functional.relu(layer(frames))
        mask = frame_mask(lengths - self.context, frames.shape[1])
        embeddings: Tensor = self.linear(statistics_pooling(frames, mask, unbiased=True))
        return embeddings


class WavlmEncoder(SpeakerEncoder):
    """WavLM with an x-vector head, on raw samples, with frames of 20 ms."""

    name = "wavlm"
    config_type = WavlmConfig
    tiny_config = WavlmConfig(
        **TINY_SIZES,
        tdnn_dim=(8, 8, 8, 8, 12),
        embedding_dim=16,
    )
    longest_seconds = 30.0
    config: WavlmConfig

    def __init__(self, config: WavlmConfig) -> None:
        super().__init__(config)
        self.frontend = FeatureEncoder(config)
        self.embedding_dim = config.embedding_dim
        self.min_samples = _min_samples(config)
        self.transformer = WavlmTransformer(config)
        self.layer_sum = (
            WeightedLayerSum(config.num_hidden_layers + 1)
            if config.use_weighted_layer_sum
            else None
        )
        self.head = XVectorHead(config)
        if config.lora_rank:
            add_lora(self.transformer, config.lora_rank)

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        layer_sum = [] if self.layer_sum is None else [self.layer_sum]
        return {
            "cnn": [self.frontend],
            "transformer": [self.transformer, *self.transformer.layers, *layer_sum],
            "head": [self.head],
        }

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        states = self.transformer(features, frame_mask(frame_lengths, features.shape[1]))
        frames = states[-1] if self.layer_sum is None else self.layer_sum(states)
        embeddings: Tensor = self.head(frames, frame_lengths)
        return at_least_float32(embeddings)


def _min_samples(config: WavlmConfig) -> int:
    """Samples that give two frames to pool; fewer have no standard deviation."""
    frames = 2
    for kernel, dilation in zip(config.tdnn_kernel, config.tdnn_dilation, strict=True):
        frames += dilation * (kernel - 1)
    needed = frames
    convs = list(zip(config.conv_kernel, config.conv_stride, strict=True))
    for kernel, stride in reversed(convs):
        needed = (needed - 1) * stride + kernel
    return needed


def add_lora(transformer: WavlmTransformer, rank: int) -> None:
    """Add low-rank updates to the attention's projections; only the updates are then trained.

    Raises MissingExtraError without peft.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise MissingExtraError("encoder.lora_rank (peft)", "lora") from None
    targets = ["q_proj", "k_proj", "v_proj", "out_proj"]
    inject_adapter_in_model(
        LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets), transformer
    )
