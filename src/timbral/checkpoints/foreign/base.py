"""What a reader of another project's weights takes and gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from timbral.audio.preprocessing import Preprocessing
from timbral.encoders.base import EncoderConfig

__all__ = ["Container", "Content", "ConvertedWeights", "Format", "only_tensors", "rename"]

Container = Literal["torch", "safetensors", "arrays", "onnx"]
"""how the weights are stored; `arrays`: a pickle of NumPy arrays, as Paddle writes it; `onnx`: by
the order of a graph's layers"""


@dataclass(frozen=True)
class Content:
    """What a file of weights holds, or the part of it that is an encoder's.

    `timbral.checkpoints.foreign.wrappers` takes the part out of the whole.
    """

    values: Mapping[Any, Any]
    """of a file: tensors by name, maybe below other keys; of an encoder: its tensors by the names
    that its project gives them"""
    container: Container = "torch"
    config: Mapping[str, Any] | None = None
    """what config.json and preprocessor_config.json beside the file say, if they are there"""
    hyperparams: str = ""
    """SpeechBrain's hyperparams.yaml beside the file, if it is there, as text"""
    recipe: str = ""
    """WeSpeaker's config.yaml beside the file, if it is there, as text"""
    keys: tuple[str, ...] = ()
    """below which the encoder lies in the file, such as ``model_state``"""
    prefix: str = ""
    """of the encoder's names in the file, such as ``module.``"""
    beside: tuple[str, ...] = ()
    """names of the tensors that do not have the prefix"""
    other_keys: frozenset[str] = frozenset()
    """beside the encoder's tensors, of what is no tensor"""
    step: int = 0
    """of training, where the file tells it"""
    whole: Mapping[Any, Any] = field(default_factory=dict)
    """of an encoder: all that the file holds, its notes on sizes among it"""


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
    marks: tuple[tuple[str, ...], ...]
    """names of tensors that only its encoders have together, whatever stands before them; each
    tuple is one way to tell"""
    convert: Callable[[Content], ConvertedWeights]
    """takes an encoder's content; raises CheckpointError for weights of another project"""
    fits: Callable[[Content], bool] = lambda content: True
    """what has to be so, besides, of a file whose format is not named; more than one format may
    fit, and then the file does not say whose it is"""


def only_tensors(values: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of a dictionary by name."""
    return {str(key): value for key, value in values.items() if isinstance(value, Tensor)}


def rename(name: str, patterns: Sequence[tuple[str, str]]) -> str:
    """Apply every (pattern, replacement) to a name, in their order."""
    for pattern, replacement in patterns:
        name = re.sub(pattern, replacement, name)
    return name
