"""Input and output of the readers of other projects' weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from timbral.audio.preprocessing import Preprocessing
from timbral.encoders.base import EncoderConfig
from timbral.errors import CheckpointError

__all__ = [
    "Container",
    "Content",
    "ConvertedWeights",
    "WeightsFormat",
    "check_marks",
    "count_layers",
    "only_tensors",
    "rename",
    "requiring_tensors_of",
    "without_weight_norm",
]

Container = Literal["torch", "safetensors", "arrays", "onnx"]
"""how the weights are stored; `arrays`: a pickle of NumPy arrays, as Paddle writes it; `onnx`: by
the order of a graph's layers"""


@dataclass(frozen=True)
class Content:
    """The content of a file of weights, or the part of it that belongs to an encoder.

    `timbral.checkpoints.foreign.wrappers` extracts that part.
    """

    values: Mapping[Any, Any]
    """for a file: tensors by name, perhaps nested below other keys; for an encoder: its tensors by
    its project's names"""
    container: Container = "torch"
    config: Mapping[str, Any] | None = None
    """config.json and preprocessor_config.json next to the file, merged; None if there are none"""
    hyperparams: str = ""
    """text of SpeechBrain's hyperparams.yaml next to the file; empty if there is none"""
    recipe: str = ""
    """text of WeSpeaker's config.yaml next to the file; empty if there is none"""
    keys: tuple[str, ...] = ()
    """keys below which the encoder is in the file, such as ``model_state``"""
    prefix: str = ""
    """prefix of the encoder's names in the file, such as ``module.``"""
    beside: tuple[str, ...] = ()
    """names of tensors without the prefix"""
    other_keys: frozenset[str] = frozenset()
    """keys next to the encoder's tensors that are not tensors"""
    step: int = 0
    """training step, if the file contains it"""
    whole: Mapping[Any, Any] = field(default_factory=dict)
    """for an encoder: all content of its file, which may contain its sizes"""


@dataclass(frozen=True)
class ConvertedWeights:
    """Converted weights of another project."""

    encoder: EncoderConfig
    """config of the encoder, with sizes read from the tensors"""
    tensors: dict[str, Tensor]
    """named ``encoder.*`` and, for a GE2E loss, ``loss.*``"""
    step: int = 0
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    """preprocessing of the original, before its features"""
    uninitialized_prefixes: tuple[str, ...] = ()
    """prefixes of names of encoder tensors that the source lacks and that are newly initialized"""


@dataclass(frozen=True)
class WeightsFormat:
    """A project's format of weights: how files are recognized and converted."""

    description: str
    marks: tuple[tuple[str, ...], ...]
    """names of tensors, after any prefix, that only its encoders have together; each tuple suffices
    to recognize one"""
    convert: Callable[[Content], ConvertedWeights]
    """converts an encoder's content; raises CheckpointError for weights of another project"""
    fits: Callable[[Content], bool] = lambda content: True
    """further condition for a file whose format is not given; a file may fit several formats, and
    must then be given one"""


def only_tensors(values: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of a dictionary, by name."""
    return {str(key): value for key, value in values.items() if isinstance(value, Tensor)}


def check_marks(state: Mapping[str, Tensor], marks: Sequence[str], network: str) -> None:
    """Raise CheckpointError, with the `network`'s name, if one of its marks is missing."""
    missing = next((mark for mark in marks if mark not in state), None)
    if missing is not None:
        raise CheckpointError(f"these are not weights of {network}: {missing} is missing")


@contextmanager
def requiring_tensors_of(network: str) -> Iterator[None]:
    """Within this, a KeyError means that a tensor of the `network` is missing: CheckpointError."""
    try:
        yield
    except KeyError as error:
        raise CheckpointError(f"these are not weights of {network}: {error} is missing") from None


def count_layers(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many layers there are: the distinct values of the pattern's group at starts of names."""
    return len({match[1] for name in state if (match := re.match(pattern, name))})


def without_weight_norm(state: Mapping[str, Tensor], layer: str) -> dict[str, Tensor]:
    """The tensors with the weight normalization of WavLM's positional convolution multiplied out.

    The weight is g v / |v|, with one g per tap; torch has named both halves in two ways. `layer` is
    the prefix of the convolution's names.
    """
    merged = dict(state)
    for length, direction in (
        ("weight_g", "weight_v"),
        ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    ):
        if layer + length in merged and layer + direction in merged:
            g, v = merged.pop(layer + length), merged.pop(layer + direction)
            norm = torch.linalg.vector_norm(v, dim=(0, 1), keepdim=True)
            merged[f"{layer}weight"] = g * v / norm
    return merged


def rename(name: str, patterns: Sequence[tuple[str, str]]) -> str:
    """Apply regular expressions (pattern, replacement) to a name, in their order."""
    for pattern, replacement in patterns:
        name = re.sub(pattern, replacement, name)
    return name
