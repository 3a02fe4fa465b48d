"""What a reader of another project's weights takes and gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from timbral.audio.preprocessing import Preprocessing
from timbral.encoders.base import EncoderConfig
from timbral.errors import CheckpointError

__all__ = ["Container", "Content", "ConvertedWeights", "Format", "only_tensors", "rename"]

Container = Literal["torch", "safetensors", "arrays"]
"""how the weights are stored; `arrays`: a pickle of NumPy arrays, as Paddle writes it"""


@dataclass(frozen=True)
class Content:
    """What a file of weights holds."""

    values: Mapping[Any, Any]
    """tensors by name, maybe below other keys"""
    container: Container = "torch"
    config: Mapping[str, Any] | None = None
    """what config.json and preprocessor_config.json beside the file say, if they are there"""


@dataclass(frozen=True)
class ConvertedWeights:
    """Weights of another project in our terms."""

    encoder: EncoderConfig
    """config of the encoder, its sizes read off the tensors"""
    tensors: dict[str, Tensor]
    """named ``encoder.*`` and, of a GE2E loss, ``loss.*``"""
    step: int = 0
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    """what the original does to audio before its features"""
    uninitialized_prefixes: tuple[str, ...] = ()
    """starts of names of encoder tensors that the source has not got: newly initialized"""


@dataclass(frozen=True)
class Format:
    """One project's files of weights: how they are recognized and converted."""

    description: str
    recognizes: Callable[[Content], bool]
    convert: Callable[[Content], ConvertedWeights]
    """raises CheckpointError for weights of another project"""


def only_tensors(values: object) -> dict[str, Tensor]:
    """The tensors of a dictionary by name; CheckpointError for anything but a dictionary."""
    if not isinstance(values, Mapping):
        raise CheckpointError(f"a dictionary of tensors is needed, got {type(values).__name__}")
    return {str(key): value for key, value in values.items() if isinstance(value, Tensor)}


def rename(name: str, patterns: Sequence[tuple[str, str]]) -> str:
    """Apply every (pattern, replacement) to a name, in their order."""
    for pattern, replacement in patterns:
        name = re.sub(pattern, replacement, name)
    return name
