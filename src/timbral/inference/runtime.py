"""What computes vectors: the interface of an encoder's runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from timbral.audio.decode import Wave
from timbral.encoders.base import SpeakerEncoder, Windows
from timbral.errors import ConfigError
from timbral.io.types import Vectors

__all__ = ["NetworkFacts", "Runtime", "torch_network"]


class NetworkFacts(Protocol):
    """What must be known of a network to use it; `SpeakerEncoder` says what each is."""

    @property
    def name(self) -> str: ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def embedding_dim(self) -> int: ...

    @property
    def min_samples(self) -> int: ...

    @property
    def hop_samples(self) -> int: ...

    @property
    def windows(self) -> Windows | None: ...

    def check_takes_mels(self) -> None: ...


class Runtime(Protocol):
    """Preprocessed waves to unit vectors; `TorchRuntime` says what each method does."""

    @property
    def network(self) -> NetworkFacts: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def precision(self) -> str: ...

    def to(self, device: torch.device) -> None: ...

    def embed_waves(self, waves: Sequence[Wave], windows: Windows | None) -> Vectors: ...

    def embed_mels(self, mels: Sequence[Vectors], windows: Windows) -> Vectors: ...

    def embed_windows(self, wave: Wave, windows: Windows) -> Vectors: ...


def torch_network(runtime: Runtime) -> SpeakerEncoder:
    """The network of a runtime of torch; ConfigError for an exported model, which has none."""
    if isinstance(runtime.network, SpeakerEncoder):
        return runtime.network
    raise ConfigError(
        f"{runtime.network.name}: an exported model has no network of torch, so it can be neither "
        "saved, trained nor exported again; load the encoder that it was exported from"
    )
