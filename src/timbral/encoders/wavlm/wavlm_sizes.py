"""Sizes of a WavLM under another head than an x-vector's."""

from __future__ import annotations

from dataclasses import dataclass, fields

from timbral.encoders.base import LARGEST_SIZE, MOST_LAYERS
from timbral.encoders.wavlm.wavlm_config import WavlmConfig
from timbral.errors import ConfigError, check_ranges

__all__ = ["WavlmSizes"]


@dataclass(frozen=True)
class WavlmSizes:
    """Sizes of a WavLM, as in `WavlmConfig`; the defaults are those of WavLM large."""

    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    conv_dim: tuple[int, ...] = (512, 512, 512, 512, 512, 512, 512)
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    feat_extract_norm: str = "layer"
    do_stable_layer_norm: bool = True
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    num_buckets: int = 320
    max_bucket_distance: int = 800
    do_normalize: bool = True
    hidden_dropout: float = 0.0
    attention_dropout: float = 0.0
    layerdrop: float = 0.0
    mask_time_prob: float = 0.0
    embedding_dim: int = 256

    def wavlm(self) -> WavlmConfig:
        """The config of the WavLM alone; ConfigError for impossible sizes."""
        check_ranges(self, "encoder", embedding_dim=(1, LARGEST_SIZE))
        check_ranges(self, "encoder", num_hidden_layers=(1, MOST_LAYERS))
        lengths = [len(each) for each in (self.conv_dim, self.conv_kernel, self.conv_stride)]
        if len(set(lengths)) > 1:
            raise ConfigError(
                "encoder.conv_dim, conv_kernel and conv_stride must be equally long, got "
                f"{', '.join(map(str, lengths))} numbers"
            )
        shared = {field.name for field in fields(WavlmConfig)} - {"embedding_dim"}
        own = {field.name for field in fields(self)}
        return WavlmConfig(**{name: getattr(self, name) for name in shared & own})
