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
"""upper limit for layers, kernels, strides and windows in configs, which may be untrusted"""
MOST_LAYERS = 1_000
"""upper limit for layers of one kind in an encoder"""


class EncoderConfig(Protocol):
    """The frozen config dataclass of any encoder; the config names its class in `ENCODERS`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class SpeakerEncoder(nn.Module, ABC):
    """Waveforms (B, T) to embeddings (B, E): a front-end and a backbone.

    An embedding must not depend on padding or on the other utterances of the batch. Its scale is
    that of the original architecture; the Embedder normalizes it to unit length.
    """

    name: ClassVar[str]
    """the encoder's name in `ENCODERS` and in configs"""
    config_type: ClassVar[type]
    """frozen dataclass whose instance the constructor takes"""
    tiny_config: ClassVar[Any] = None
    """a config of a few thousand parameters, for fast tests of this contract"""

    config: Any
    frontend: Frontend
    embedding_dim: int
    """E"""
    min_samples: int
    """shortest audio; anything shorter is an error"""
    windows: Windows | None = None
    """windows whose vectors are averaged; None: utterances are embedded whole"""
    zero_frames_after_end: bool = False
    """whether a window that extends past the end is padded with zero frames, instead of with the
    frames of a zero-padded wave"""
    unused_in_body: ClassVar[tuple[str, ...]] = ()
    """name prefixes of tensors in weights of the bare body that this encoder does not use"""
    renamed: ClassVar[Mapping[str, str]] = {}
    """name prefixes of tensors in files of older versions, mapped to the current ones"""
    longest_seconds: ClassVar[float] = 120.0
    """longer utterances are split into equal segments of at most this length, whose vectors are
    averaged, so that memory is bounded"""

    def __init__(self, config: Any) -> None:
        """Subclasses then set `frontend`, `embedding_dim` and `min_samples`."""
        super().__init__()
        self.config = config

    @property
    def sample_rate(self) -> int:
        """Sample rate of the waveforms in Hz."""
        return self.frontend.sample_rate

    @property
    def hop_samples(self) -> int:
        """Samples between two frames of `features`."""
        return self.frontend.hop_samples

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        """Layers from input to output, in named groups that can be frozen (`optimizer.freeze`).

        The group `head` has its own learning rate; `optimizer.layer_decay` applies to the layers
        before it. A parameter in several layers belongs to the last one; a parameter in none
        belongs to the first layer. Default: everything is one layer of the group `body`.
        """
        return {"body": [self]}

    def features(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Waves (B, T), lengths (B,) in samples -> features (B, F, M), frame lengths (B,)."""
        features: tuple[Tensor, Tensor] = self.frontend(waves, lengths)
        return features

    def check_takes_mels(self) -> None:
        """Raise ConfigError unless precomputed mels are what the front-end computes."""
        if self.frontend.config != GE2E_MEL:
            raise ConfigError(
                f"{self.name} does not take precomputed mels: they are {GE2E_MEL.n_mels} linear "
                "mel powers for the LSTM encoder, and this encoder computes other features; "
                "prepare the recordings themselves (format arrow) instead"
            )

    @abstractmethod
    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        """Features (B, F, M), frame lengths (B,) -> embeddings (B, E)."""

    def forward(self, waves: Tensor, lengths: Tensor) -> Tensor:
        """Waves (B, T), lengths (B,) in samples -> embeddings (B, E)."""
        return self.embed_features(*self.features(waves, lengths))
