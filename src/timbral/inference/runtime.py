"""What computes vectors: the interface of an encoder's runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from timbral.audio.decode import Wave
from timbral.encoders.base import SpeakerEncoder, Windows
from timbral.io.types import Vectors

__all__ = ["Runtime"]


class Runtime(Protocol):
    """Preprocessed waves to unit vectors; `TorchRuntime` says what each method does."""

    @property
    def network(self) -> SpeakerEncoder: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def precision(self) -> str: ...

    def to(self, device: torch.device) -> None: ...

    def embed_waves(self, waves: Sequence[Wave], windows: Windows | None) -> Vectors: ...

    def embed_mels(self, mels: Sequence[Vectors], windows: Windows) -> Vectors: ...

    def embed_windows(self, wave: Wave, windows: Windows) -> Vectors: ...
