"""Sizes of w2v-BERT 2.0 and of the head above it."""

from __future__ import annotations

from dataclasses import dataclass

from timbral.encoders.base import LARGEST_SIZE, MOST_LAYERS
from timbral.errors import ConfigError, check_ranges

__all__ = ["W2vBertConfig"]


@dataclass(frozen=True)
class W2vBertConfig:
    """The defaults are those of ``facebook/w2v-bert-2.0`` under WeSpeaker's head."""

    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    conv_kernel: int = 31
    """frames that a convolution sees, its own and those before"""
    left_positions: int = 64
    """distances to frames before that attention tells apart"""
    right_positions: int = 8
    """the same behind"""
    states: int = 25
    """the last of the states before and behind each layer, that the head takes"""
    adapter_channels: int = 128
    """of each state, behind its adapter"""
    attention_channels: int = 128
    """of the pooling"""
    embedding_dim: int = 256

    def __post_init__(self) -> None:
        sizes = ("hidden_size", "num_attention_heads", "intermediate_size", "conv_kernel")
        head = ("adapter_channels", "attention_channels", "embedding_dim")
        check_ranges(self, "encoder", **dict.fromkeys((*sizes, *head), (1, LARGEST_SIZE)))
        check_ranges(
            self, "encoder", left_positions=(0, LARGEST_SIZE), right_positions=(0, LARGEST_SIZE)
        )
        check_ranges(self, "encoder", num_hidden_layers=(1, MOST_LAYERS))
        check_ranges(self, "encoder", states=(1, self.num_hidden_layers + 1))
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"encoder.hidden_size {self.hidden_size} must be divisible by "
                f"encoder.num_attention_heads {self.num_attention_heads}"
            )
