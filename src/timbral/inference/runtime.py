"""The interface of an encoder's runtimes, which compute vectors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from timbral.audio.decode import Wave
from timbral.encoders.native_windows import Windows
from timbral.errors import ConfigError
from timbral.io.loaded_torch import Device
from timbral.io.types import Progress, Vectors

if TYPE_CHECKING:  # an exported model needs no torch
    import torch

    from timbral.encoders.base import SpeakerEncoder

__all__ = ["NetworkFacts", "Runtime", "no_progress", "torch_network"]


class NetworkFacts(Protocol):
    """Properties of a network that are needed to use it; see `SpeakerEncoder`."""

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
    """From preprocessed waves to unit vectors; see `TorchRuntime` for the methods."""

    progress: Progress
    """called with the samples embedded so far and in all, while waves are embedded whole"""

    @property
    def network(self) -> NetworkFacts: ...

    @property
    def device(self) -> Device: ...

    @property
    def precision(self) -> str: ...

    @property
    def seconds_per_batch(self) -> int: ...

    def to(self, device: str | torch.device) -> None: ...

    def embed_waves(self, waves: Sequence[Wave], windows: Windows | None) -> Vectors: ...

    def embed_mels(self, mels: Sequence[Vectors], windows: Windows) -> Vectors: ...

    def embed_windows(self, wave: Wave, windows: Windows) -> Vectors: ...


def no_progress(done: int, total: int) -> None:
    """Report nothing."""


def torch_network(runtime: Runtime) -> SpeakerEncoder:
    """The network of torch's runtime; ConfigError for an exported model, which has none."""
    if "torch" in sys.modules:
        from timbral.encoders.base import SpeakerEncoder

        if isinstance(runtime.network, SpeakerEncoder):
            return runtime.network
    raise ConfigError(
        f"an exported model ({runtime.network.name}) contains no torch network, so it cannot be "
        "saved, trained or exported again; load the encoder that it was exported from"
    )
