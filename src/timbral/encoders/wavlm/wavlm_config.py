"""Sizes of WavLM, under the names of transformers' ``WavLMConfig``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from timbral.encoders.base import LARGEST_SIZE, MOST_LAYERS
from timbral.errors import ConfigError, check_choice, check_ranges

__all__ = ["TINY_SIZES", "WavlmConfig"]

TINY_SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
"""sizes of a small but complete WavLM, for the `tiny_config` of encoders that contain one"""


@dataclass(frozen=True)
class WavlmConfig:
    """Sizes of the network; the defaults are those of ``wavlm-base-plus-sv``."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    """hidden size of the feed-forward networks"""
    conv_dim: tuple[int, ...] = (512, 512, 512, 512, 512, 512, 512)
    """channels of each convolution over samples"""
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    feat_extract_norm: str = "group"
    """group (base models): normalize each channel of the first convolution over time | layer
    (large): normalize each frame of every convolution over channels"""
    do_stable_layer_norm: bool = False
    """layer norm before attention and feed-forward network (large) instead of after them"""
    num_conv_pos_embeddings: int = 128
    """kernel size of the convolution that encodes positions"""
    num_conv_pos_embedding_groups: int = 16
    num_buckets: int = 320
    """number of buckets for relative positions"""
    max_bucket_distance: int = 800
    """distance in frames from which on all share the last bucket"""
    do_normalize: bool = False
    """normalize the samples of each utterance to zero mean and unit variance"""
    use_weighted_layer_sum: bool = True
    """whether the head takes a learned mean of all hidden states, instead of the last one"""
    tdnn_dim: tuple[int, ...] = (512, 512, 512, 512, 1500)
    tdnn_kernel: tuple[int, ...] = (5, 3, 3, 1, 1)
    tdnn_dilation: tuple[int, ...] = (1, 2, 3, 1, 1)
    embedding_dim: int = 512
    """transformers' `xvector_output_dim`"""
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    layerdrop: float = 0.05
    """probability of skipping a layer in a training step"""
    mask_time_prob: float = 0.05
    """fraction of an utterance's frames that are replaced by a learned vector in training, in
    spans; 0: none"""
    mask_time_length: int = 10
    """frames in such a span"""
    mask_time_min_masks: int = 2
    """least number of spans in an utterance that is long enough"""
    lora_rank: int = 0
    """above 0: only low-rank updates of the attention's projections are trained (Hu et al., LoRA,
    2021; needs peft)"""

    def __post_init__(self) -> None:
        sizes = ("hidden_size", "num_attention_heads", "intermediate_size")
        positions = ("num_conv_pos_embeddings", "num_conv_pos_embedding_groups")
        positive = (*sizes, *positions, "embedding_dim", "mask_time_length")
        check_ranges(self, "encoder", **dict.fromkeys(positive, (1, LARGEST_SIZE)))
        check_ranges(
            self,
            "encoder",
            num_hidden_layers=(1, MOST_LAYERS),
            num_buckets=(4, LARGEST_SIZE),
            max_bucket_distance=(1, LARGEST_SIZE),
        )
        check_ranges(
            self,
            "encoder",
            **dict.fromkeys(("lora_rank", "mask_time_min_masks"), (0, LARGEST_SIZE)),
        )
        fractions = ("hidden_dropout", "attention_dropout", "layerdrop", "mask_time_prob")
        check_ranges(self, "encoder", **dict.fromkeys(fractions, (0.0, 1.0)))
        check_choice("encoder.feat_extract_norm", self.feat_extract_norm, ("group", "layer"))
        for name in ("num_attention_heads", "num_conv_pos_embedding_groups"):
            if self.hidden_size % getattr(self, name):
                raise ConfigError(
                    f"encoder.hidden_size {self.hidden_size} must be divisible by "
                    f"encoder.{name} {getattr(self, name)}"
                )
        self._check_lengths("conv_dim", "conv_kernel", "conv_stride")
        self._check_lengths("tdnn_dim", "tdnn_kernel", "tdnn_dilation")

    def _check_lengths(self, *names: str) -> None:
        values = {f"encoder.{name}": getattr(self, name) for name in names}
        numbers = [number for each in values.values() for number in each]
        same_length = len({len(each) for each in values.values()}) == 1
        in_range = all(1 <= number <= LARGEST_SIZE for number in numbers)
        if not same_length or not in_range or not 1 <= len(numbers) <= MOST_LAYERS:
            raise ConfigError(
                f"these need equally many values, from 1 to {LARGEST_SIZE:,} each: "
                f"{', '.join(f'{name} {each}' for name, each in values.items())}"
            )
