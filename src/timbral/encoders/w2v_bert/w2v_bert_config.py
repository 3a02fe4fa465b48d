"""Sizes of w2v-BERT 2.0 and of the heads above it."""

from __future__ import annotations

from dataclasses import dataclass

from timbral.encoders.base import LARGEST_SIZE, MOST_LAYERS
from timbral.encoders.small_ecapa import SmallEcapaSizes
from timbral.errors import ConfigError, check_ranges

__all__ = ["W2vBertConfig", "W2vBertEcapaConfig", "W2vBertMhfaConfig", "W2vBertSizes"]


@dataclass(frozen=True)
class W2vBertSizes:
    """The defaults are those of ``facebook/w2v-bert-2.0``."""

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

    def check_body(self) -> None:
        """ConfigError for sizes that cannot be built."""
        sizes = ("hidden_size", "num_attention_heads", "intermediate_size", "conv_kernel")
        check_ranges(self, "encoder", **dict.fromkeys(sizes, (1, LARGEST_SIZE)))
        check_ranges(
            self, "encoder", left_positions=(0, LARGEST_SIZE), right_positions=(0, LARGEST_SIZE)
        )
        check_ranges(self, "encoder", num_hidden_layers=(1, MOST_LAYERS))
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"encoder.hidden_size {self.hidden_size} must be divisible by "
                f"encoder.num_attention_heads {self.num_attention_heads}"
            )


@dataclass(frozen=True)
class W2vBertConfig(W2vBertSizes):
    """The defaults are those of WeSpeaker's head."""

    states: int = 25
    """the last of the states before and behind each layer, that the head takes"""
    adapter_channels: int = 128
    """of each state, behind its adapter"""
    attention_channels: int = 128
    """of the pooling"""
    embedding_dim: int = 256

    def __post_init__(self) -> None:
        self.check_body()
        head = ("adapter_channels", "attention_channels", "embedding_dim")
        check_ranges(self, "encoder", **dict.fromkeys(head, (1, LARGEST_SIZE)))
        check_ranges(self, "encoder", states=(1, self.num_hidden_layers + 1))


@dataclass(frozen=True)
class W2vBertMhfaConfig(W2vBertSizes):
    """The defaults of the head are those of WavLM large under it."""

    pooling_heads: int = 64
    """that each weight the frames in their own way"""
    compressed_channels: int = 128
    """of keys and of values"""
    embedding_dim: int = 256

    def __post_init__(self) -> None:
        self.check_body()
        head = ("pooling_heads", "compressed_channels", "embedding_dim")
        check_ranges(self, "encoder", **dict.fromkeys(head, (1, LARGEST_SIZE)))


@dataclass(frozen=True)
class W2vBertEcapaConfig(SmallEcapaSizes, W2vBertSizes):
    """The defaults of the head are those of UniSpeech's on WavLM large."""

    def __post_init__(self) -> None:
        self.check_body()
        self.ecapa()  # check its own sizes
