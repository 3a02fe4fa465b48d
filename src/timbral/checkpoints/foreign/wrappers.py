"""Find an encoder's tensors in a file, whatever wrapped them when it was saved.

Trainers nest a state dict below keys (``state_dict``, ``model``, ``net``), and add prefixes to its
names: ``module.`` of DataParallel, ``_orig_mod.`` of torch.compile, ``model.`` of Lightning. An
encoder is found by names of tensors that only it has; what precedes all of them is its prefix:

    file["state_dict"]["model.encoder.lstm.weight_ih_l0"]
         keys          prefix         mark
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from timbral.checkpoints.foreign.base import Content, only_tensors
from timbral.errors import CheckpointError

__all__ = ["check_beside", "find_encoders", "only_encoder"]

DEEPEST = 4
"""deepest nesting of dictionaries to search"""
WRAPPERS = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""parts of names that torch.compile and FSDP insert anywhere"""
CLASSIFIER = re.compile(r"(?:\w*classif|loss|criterion|margin|aam|arc_?face|softmax|speaker_fc)")
"""prefixes of names of layers on top of an encoder in training"""
TRAINING_ONLY = re.compile(
    CLASSIFIER.pattern + r"|(?:\w*(?:objective|metric|accuracy|augment|spectrogram|features?|"
    r"fbank|mean_var_norm|normalizer)|similarity_|spec_?aug|mel|eer|n_averaged)"
)
"""prefixes of names next to an encoder that only training needs, or that compute its features,
which timbral computes itself"""
STEP_KEYS = ("step", "global_step")


def find_encoders(content: Content, marks: tuple[str, ...]) -> list[Content]:
    """The encoders in a file that have all `marks`, each with its prefix removed."""
    return [
        _encoder(content, keys, level, prefix)
        for keys, level in _levels(content.values, ())
        for prefix in _prefixes(level, marks)
    ]


def only_encoder(encoders: list[Content]) -> Content:
    """The encoder of a file, which may contain copies; CheckpointError for different encoders."""
    first = encoders[0]
    for other in encoders[1:]:
        if not _same_tensors(first, other):
            places = " and ".join(_place(one) for one in (first, other))
            raise CheckpointError(
                f"it contains two different encoders, below {places}; save the state_dict of the "
                "one you want to a file"
            )
    return first


def _place(encoder: Content) -> str:
    return ".".join((*encoder.keys, encoder.prefix)).strip(".") or "its top"


def check_beside(encoder: Content) -> None:
    """Raise CheckpointError if tensors next to an encoder may be part of it."""
    unknown = [
        name
        for name in encoder.beside
        if not TRAINING_ONLY.match(_first_own_part(name, encoder.prefix))
    ]
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise CheckpointError(
            f"next to the encoder (below {encoder.prefix.rstrip('.')}) the file contains "
            f"{', '.join(unknown[:3])}{more}, which may belong to it; save only the encoder's "
            "state_dict to a file, and give that"
        )


def _first_own_part(name: str, prefix: str) -> str:
    """The first part of a name that is not in a prefix.

    It is ``loss`` for the name ``model.loss.weight`` and the prefix ``model.encoder.``.
    """
    parts, above = name.split("."), prefix.split(".")
    pairs = itertools.zip_longest(parts[:-1], above)
    return next((part for part, other in pairs if part and part != other), parts[-1])


def _levels(
    values: Mapping[Any, Any], keys: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    """Every dictionary in a file, with the keys that lead to it."""
    yield keys, values
    if len(keys) < DEEPEST:
        for key, value in values.items():
            if isinstance(value, Mapping):
                yield from _levels(value, (*keys, str(key)))


def _prefixes(level: Mapping[Any, Any], marks: tuple[str, ...]) -> list[str]:
    """Prefixes with which all marks are names of tensors."""
    names = _tensors(level).keys()
    starts = [name.removesuffix(marks[0]) for name in names if name.endswith(marks[0])]
    return [
        start
        for start in starts
        if (not start or start.endswith(".")) and all(start + mark in names for mark in marks)
    ]


def _tensors(level: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {WRAPPERS.sub("", name): tensor for name, tensor in only_tensors(level).items()}


def _encoder(
    content: Content, keys: tuple[str, ...], level: Mapping[Any, Any], prefix: str
) -> Content:
    tensors = _tensors(level)
    inside = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    return replace(
        content,
        values={key: value for key, value in inside.items() if not CLASSIFIER.match(key)},
        keys=keys,
        prefix=prefix,
        beside=tuple(name for name in tensors if not name.startswith(prefix)),
        other_keys=frozenset(str(key) for key in level if str(key) not in tensors),
        step=_step(content.values, keys),
        whole=content.values,
    )


def _step(values: Mapping[Any, Any], keys: tuple[str, ...]) -> int:
    """The training step in a file, next to its state dict or above it; 0 if there is none."""
    step = 0
    for key in (*keys, None):
        for name in STEP_KEYS:
            step = _whole_number(values.get(name)) or step
        if key is not None:
            values = next(value for name, value in values.items() if str(name) == key)
    return step


def _whole_number(value: object) -> int | None:
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_floating_point():
        value = int(value)
    return value if isinstance(value, int) and 0 <= value < 2**63 else None


def _same_tensors(one: Content, other: Content) -> bool:
    return one.values.keys() == other.values.keys() and all(
        torch.equal(one.values[name], other.values[name]) for name in one.values
    )
