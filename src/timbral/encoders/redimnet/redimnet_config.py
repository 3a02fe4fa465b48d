"""Sizes of ReDimNet and ReDimNet2."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from timbral.encoders.base import LARGEST_SIZE, MOST_LAYERS
from timbral.errors import ConfigError, check_choice, check_ranges

__all__ = ["ATTENTION_HEADS", "RedimnetConfig", "StageSizes"]

ATTENTION_HEADS = 4
LARGEST_STRIDE = 16
BLOCKS = ("resnet", "resnet-fwse", "convnext")
CONTEXTS = ("att", "conv+att")
FEATURES = ("tf", "torchaudio", "kaldi")
KALDI_HOP = 160
PER_STAGE = ("mel_strides", "frame_strides", "blocks", "widths", "context_channels")


class StageSizes(NamedTuple):
    """Sizes of one stage."""

    mels: int
    """input mels"""
    channels: int
    """input channels; mels × channels is the same for every stage"""
    mel_stride: int
    frame_stride: int
    """frames of the front-end per frame of the stage"""
    blocks: int
    width: int
    """channels of its blocks"""
    context_channels: int
    """channels of the layers over time after its blocks; 0: none"""
    maps: int
    """number of maps from earlier stages, of which it takes a weighted sum"""

    @property
    def outputs(self) -> int:
        """Output channels of the stage, with mels / mel_stride mels."""
        return self.channels * self.mel_stride


@dataclass(frozen=True)
class RedimnetConfig:
    """Sizes of the network; the defaults are those of ReDimNet2-B3.

    `mel_strides`, `frame_strides`, `blocks`, `widths` and `context_channels` have a number for
    each stage. `timbral.encoders.redimnet.redimnet_sizes` has all published sizes.
    """

    version: int = 2
    """1: ReDimNet, in which stages have no strides over time; 2: ReDimNet2"""
    mels: int = 72
    channels: int = 24
    """channels of the first map; later maps have as many more as they have fewer mels"""
    mel_strides: tuple[int, ...] = (1, 2, 1, 2, 1, 2)
    """stride of each stage over mels"""
    frame_strides: tuple[int, ...] = (1, 1, 2, 1, 2, 1)
    """the same over time; a stage's frames have the product of all strides up to its own"""
    blocks: tuple[int, ...] = (2, 3, 4, 5, 4, 3)
    widths: tuple[int, ...] = (96, 144, 96, 96, 96, 192)
    """channels of the blocks"""
    context_channels: tuple[int, ...] = (72, 72, 72, 72, 72, 72)
    """channels of the layers over time after the blocks; 0: none"""
    block: str = "resnet"
    """resnet | resnet-fwse (with squeeze and excitation of mels) | convnext"""
    group_divisor: int = 1
    """channels per group in the blocks' 3 × 3 convolutions"""
    context: str = "conv+att"
    """att: positions and attention | conv+att: four convolutions and attention"""
    map_norm: bool = True
    """whether every map is group-normalized over its frames"""
    dual: bool = False
    """whether stages also output their map before the layers over time"""
    head_channels: int = 0
    """channels to which the last map is projected before pooling; 0: it is not"""
    head_per_mel: bool = False
    """whether each remaining mel has `head_channels`, instead of all together"""
    attention_channels: int = 128
    """hidden channels of the pooling's attention"""
    global_context: bool = True
    """whether the pooling's attention also sees the utterance's mean and standard deviation"""
    pooling_norm: bool = True
    """whether batch norm follows the pooling; not in WeSpeaker's ReDimNet"""
    features: str = "tf"
    """tf: mels as computed for TensorFlow Lite | torchaudio | kaldi: Kaldi's filter banks, as in
    WeSpeaker"""
    hop_samples: int = 160
    normalize_waves: bool = True
    """whether each utterance's samples are normalized to zero mean and unit variance"""
    embedding_dim: int = 192

    def __post_init__(self) -> None:
        check_ranges(
            self,
            "encoder",
            version=(1, 2),
            mels=(1, LARGEST_SIZE),
            channels=(1, LARGEST_SIZE),
            group_divisor=(1, LARGEST_SIZE),
            head_channels=(0, LARGEST_SIZE),
            attention_channels=(1, LARGEST_SIZE),
            hop_samples=(1, LARGEST_SIZE),
            embedding_dim=(1, LARGEST_SIZE),
        )
        for name, allowed in (("block", BLOCKS), ("context", CONTEXTS), ("features", FEATURES)):
            check_choice(f"encoder.{name}", getattr(self, name), allowed)
        if self.features == "kaldi" and (self.normalize_waves or self.hop_samples != KALDI_HOP):
            raise ConfigError(
                f"encoder.features kaldi needs encoder.hop_samples {KALDI_HOP} and "
                f"encoder.normalize_waves false, got {self.hop_samples} and "
                f"{self.normalize_waves}"
            )
        self._check_stages()

    def _check_stages(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in PER_STAGE}
        if len(set(lengths.values())) > 1 or not 1 <= len(self.blocks) <= MOST_LAYERS:
            raise ConfigError(
                "these settings need one number per stage each: encoder."
                + ", ".join(f"{name} ({length})" for name, length in lengths.items())
            )
        bounds = {
            "mel_strides": (1, LARGEST_STRIDE),
            "frame_strides": (1, LARGEST_STRIDE if self.version == 2 else 1),
            "blocks": (0, MOST_LAYERS),
            "widths": (1, LARGEST_SIZE),
            "context_channels": (0, LARGEST_SIZE),
        }
        for name, (low, high) in bounds.items():
            if not all(low <= value <= high for value in getattr(self, name)):
                raise ConfigError(
                    f"encoder.{name} must be numbers from {low} to {high}"
                    f"{' (version 1)' if high == 1 else ''}, got {getattr(self, name)}"
                )
        if self.frame_stride > LARGEST_SIZE:
            raise ConfigError(
                f"the product of encoder.frame_strides must be at most {LARGEST_SIZE:,}, got "
                f"{self.frame_strides}"
            )
        if self.mels % math.prod(self.mel_strides):
            raise ConfigError(
                f"encoder.mels ({self.mels}) must be a multiple of the product of mel_strides, "
                f"{self.mel_strides}"
            )
        for width, context in zip(self.widths, self.context_channels, strict=True):
            if context % ATTENTION_HEADS or width % max(1, width // self.group_divisor):
                raise ConfigError(
                    f"encoder.context_channels must be multiples of {ATTENTION_HEADS}, and widths "
                    f"of group_divisor ({self.group_divisor}): {context}, {width}"
                )

    @property
    def map_size(self) -> int:
        """Values per frame, mels × channels, of every map."""
        return self.mels * self.channels

    @property
    def frame_stride(self) -> int:
        """Frames of the front-end per frame of the last stage."""
        return math.prod(self.frame_strides)

    def stages(self) -> Iterator[StageSizes]:
        """The sizes of each stage, in order."""
        mels, channels, frame_stride, maps = self.mels, self.channels, 1, 1
        for row in zip(*(getattr(self, name) for name in PER_STAGE), strict=True):
            mel_stride, own_stride, blocks, width, context = row
            frame_stride *= own_stride
            yield StageSizes(mels, channels, mel_stride, frame_stride, blocks, width, context, maps)
            mels, channels = mels // mel_stride, channels * mel_stride
            maps += 2 if self.dual and context else 1

    @property
    def num_maps(self) -> int:
        """Number of maps from the stem and all stages."""
        contexts = sum(1 for context in self.context_channels if context)
        return 1 + len(self.blocks) + (contexts if self.dual else 0)

    @property
    def pooled_size(self) -> int:
        """Channels that are pooled."""
        if not self.head_channels:
            return self.map_size
        mels_left = self.mels // math.prod(self.mel_strides)
        return self.head_channels * (mels_left if self.head_per_mel else 1)
