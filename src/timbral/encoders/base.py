"""The contract of every speaker encoder.

Dimensions, one alphabet everywhere: B batch, S speakers, U utterances per speaker, T samples,
F frames, M mels, C channels, E embedding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from timbral.encoders.frontends import GE2E_MEL, Frontend
from timbral.encoders.native_windows import Windows
from timbral.errors import ConfigError

__all__ = ["LARGEST_SIZE", "MOST_LAYERS", "EncoderConfig", "SpeakerEncoder"]

LARGEST_SIZE = 65_536
"""of a layer, kernel, stride or window: what configs of strangers may ask for"""
MOST_LAYERS = 1_000
"""of one kind in an encoder"""


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
    tiny_config: ClassVar[Any] = None
    """a config of a few thousand parameters, with which the contract is tested in seconds"""

    config: Any
    frontend: Frontend
    embedding_dim: int
    """E"""
    min_samples: int
    """shorter audio is an error"""
    windows: Windows | None = None
    """None: utterances are embedded whole"""
    zero_frames_behind: bool = False
    """whether a window that hangs over the end sees frames of zeros there, not those of a wave
    with zeros behind it"""
    unused_in_body: ClassVar[tuple[str, ...]] = ()
    """starts of names of tensors that weights of its body alone have, and it does not use"""
    renamed: ClassVar[Mapping[str, str]] = {}
    """starts of names of tensors in files of older versions, each with what it is now"""
    longest_seconds: ClassVar[float] = 120.0
    """longer utterances are embedded in equal segments no longer than this, whose vectors are
    averaged: memory stays bounded"""

    def __init__(self, config: Any) -> None:
        """A subclass then sets `frontend`, `embedding_dim` and `min_samples`."""
        super().__init__()
        self.config = config

    @property
    def sample_rate(self) -> int:
        """Of the waveforms, in Hz."""
        return self.frontend.sample_rate

    @property
    def hop_samples(self) -> int:
        """Samples between two frames of `features`."""
        return self.frontend.hop_samples

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        """Layers from input to output, in named groups that can be frozen (`optimizer.freeze`).

        The group `head` has a learning rate of its own; the layers before it are those of
        `optimizer.layer_decay`. A layer takes over what an earlier one holds too; what none holds
        counts as the first layer's. Default: everything is one layer of the group `body`.
        """
        return {"body": [self]}

    def features(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Waves (B, T), lengths (B,) in samples -> features (B, F, M), frame lengths (B,)."""
        features: tuple[Tensor, Tensor] = self.frontend(waves, lengths)
        return features

    def check_takes_mels(self) -> None:
        """Raise ConfigError unless precomputed mels hold what the front-end computes."""
        if self.frontend.config != GE2E_MEL:
            raise ConfigError(
                f"{self.name} does not take precomputed mels: they are {GE2E_MEL.n_mels} linear "
                "mel powers for the LSTM encoder, and its front-end makes other features; prepare "
                "the recordings themselves (format arrow) instead"
            )

    @abstractmethod
    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        """Features (B, F, M), frame lengths (B,) -> embeddings (B, E)."""

    def forward(self, waves: Tensor, lengths: Tensor) -> Tensor:
        """Waves (B, T), lengths (B,) in samples -> embeddings (B, E)."""
        return self.embed_features(*self.features(waves, lengths))
