"""Sizes of w2v-BERT 2.0 and of the heads on it."""

from __future__ import annotations

from dataclasses import dataclass

from timbral.encoders.base import LARGEST_SIZE, MOST_LAYERS
from timbral.encoders.small_ecapa import SmallEcapaSizes
from timbral.errors import ConfigError, check_ranges

__all__ = ["W2vBertConfig", "W2vBertEcapaConfig", "W2vBertMhfaConfig", "W2vBertSizes"]


@dataclass(frozen=True)
class W2vBertSizes:
    """Sizes of w2v-BERT; the defaults are those of ``facebook/w2v-bert-2.0``."""

    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    conv_kernel: int = 31
    """number of frames in the causal convolutions"""
    left_positions: int = 64
    """farthest frame before the current one with its own relative position"""
    right_positions: int = 8
    """the same after the current one"""

    def check_body(self) -> None:
        """Raise ConfigError for impossible sizes."""
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
    """w2v-BERT with WeSpeaker's adapters and pooling."""

    states: int = 25
    """number of hidden states that the head takes, the last ones"""
    adapter_channels: int = 128
    """outputs of each state's adapter"""
    attention_channels: int = 128
    """hidden channels of the pooling's attention"""
    embedding_dim: int = 256

    def __post_init__(self) -> None:
        self.check_body()
        head = ("adapter_channels", "attention_channels", "embedding_dim")
        check_ranges(self, "encoder", **dict.fromkeys(head, (1, LARGEST_SIZE)))
        check_ranges(self, "encoder", states=(1, self.num_hidden_layers + 1))


@dataclass(frozen=True)
class W2vBertMhfaConfig(W2vBertSizes):
    """w2v-BERT under MHFA; the defaults of the head are those on WavLM large."""

    pooling_heads: int = 64
    """number of attention heads of the pooling"""
    compressed_channels: int = 128
    """channels of keys and values"""
    embedding_dim: int = 256

    def __post_init__(self) -> None:
        self.check_body()
        head = ("pooling_heads", "compressed_channels", "embedding_dim")
        check_ranges(self, "encoder", **dict.fromkeys(head, (1, LARGEST_SIZE)))


@dataclass(frozen=True)
class W2vBertEcapaConfig(SmallEcapaSizes, W2vBertSizes):
    """w2v-BERT under a small ECAPA-TDNN; the head's defaults are UniSpeech's on WavLM large."""

    def __post_init__(self) -> None:
        self.check_body()
        self.ecapa()  # check its own sizes
