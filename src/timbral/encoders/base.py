"""The contract of every speaker encoder.

Dimensions, one alphabet everywhere: B batch, S speakers, U utterances per speaker, T samples,
F frames, M mels, C channels, E embedding.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from timbral.encoders.frontends import GE2E_MEL, MelConfig
from timbral.errors import ConfigError

__all__ = ["EncoderConfig", "SpeakerEncoder", "Windows", "at_least_float32"]


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision to float32; float32 and float64 as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


@dataclass(frozen=True)
class Windows:
    """How an encoder of fixed length hears a longer utterance: windows, averaged.

    The rule is that of Real-Time-Voice-Cloning, Resemblyzer and PaddleSpeech.
    """

    frames: int = 160
    step: int = 80
    min_coverage: float = 0.75

    def starts(self, samples: int, hop_samples: int) -> list[int]:
        """First frames of the windows over an utterance of `samples` samples.

        The last window may hang over the end; it goes when less than `min_coverage` of it
        is audio, unless it is the only one.
        """
        frames = math.ceil((samples + 1) / hop_samples)
        starts = list(range(0, max(1, frames - self.frames + self.step + 1), self.step))
        covered = (samples - starts[-1] * hop_samples) / (self.frames * hop_samples)
        return starts[:-1] if covered < self.min_coverage and len(starts) > 1 else starts


class EncoderConfig(Protocol):
    """The frozen dataclass of any encoder: a config names its class in `ENCODERS`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class SpeakerEncoder(nn.Module, ABC):
    """Waveforms (B, T) to embeddings (B, E): a front-end and a backbone.

    The embedding of one utterance depends neither on its batch mates nor on padding. It has the
    scale that the architecture's authors gave it; the Embedder makes it unit length.
    """

    name: ClassVar[str]
    """the encoder's name in `ENCODERS` and in configs"""
    config_type: ClassVar[type]
    """frozen dataclass whose instance the constructor takes"""

    config: Any
    sample_rate: int
    hop_samples: int
    """samples between two frames of `features`"""
    embedding_dim: int
    min_samples: int
    """shorter audio is an error"""
    windows: Windows | None = None
    """None: utterances are embedded whole"""
    mel: MelConfig | None = None
    """the front-end, where it is one whose frames precomputed mels may hold"""
    longest_seconds: ClassVar[float] = 120.0
    """longer utterances are embedded in equal parts no longer than this, whose vectors are
    averaged: memory stays bounded"""

    def parts(self) -> dict[str, list[nn.Module]]:
        """Modules from input to output, in named parts that can be frozen (`optimizer.freeze`).

        The part `head` has a learning rate of its own; the modules before it are the layers of
        `optimizer.layer_decay`. A module takes over what an earlier one holds too; what none holds
        counts as the first module's. Default: everything is one layer of the part `body`.
        """
        return {"body": [self]}

    @abstractmethod
    def features(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Waves (B, T), lengths (B,) in samples -> features (B, F, M), frame lengths (B,)."""

    @abstractmethod
    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        """Features (B, F, M), frame lengths (B,) -> embeddings (B, E)."""

    def forward(self, waves: Tensor, lengths: Tensor) -> Tensor:
        """Waves (B, T), lengths (B,) in samples -> embeddings (B, E)."""
        return self.embed_features(*self.features(waves, lengths))

    def check_takes_mels(self) -> None:
        """Raise ConfigError unless this encoder hears what precomputed mels holds."""
        if self.mel != GE2E_MEL:
            own = f"{self.mel.n_mels} mels" if self.mel else "features of its own from waveforms"
            raise ConfigError(
                f"{self.name} takes {own}, and precomputed mels are {GE2E_MEL.n_mels} linear ones "
                "for the LSTM encoder; prepare the recordings with --format arrow instead"
            )
