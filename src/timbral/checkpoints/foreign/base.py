"""What every format of foreign weights gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from timbral.audio.preprocessing import Preprocessing
from timbral.errors import CheckpointError

__all__ = ["Format", "Weights", "only_tensors", "rename"]


@dataclass(frozen=True)
class Weights:
    """Foreign weights in our terms."""

    encoder: Any
    """config of the encoder, its sizes read off the tensors"""
    tensors: dict[str, Tensor]
    """named ``encoder.*`` and, of a GE2E loss, ``loss.*``"""
    step: int = 0
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    """what the original does to audio before its features"""
    fresh: tuple[str, ...] = ()
    """starts of names of encoder tensors that the source has not got: newly initialized"""


@dataclass(frozen=True)
class Format:
    """One kind of file: how it is known, and how it becomes ours."""

    about: str
    recognizes: Callable[[Any], bool]
    convert: Callable[[Any], Weights]


def only_tensors(content: Any) -> dict[str, Tensor]:
    """A plain dictionary of tensors; CheckpointError for anything else."""
    if not isinstance(content, Mapping):
        raise CheckpointError(f"a dictionary of tensors is needed, got {type(content).__name__}")
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def rename(name: str, patterns: Sequence[tuple[str, str]]) -> str:
    """Apply every (pattern, replacement) to a name, in their order."""
    for pattern, replacement in patterns:
        name = re.sub(pattern, replacement, name)
    return name
