"""Vectors as they were found in a file of another tool, before they are checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from timbral.errors import DataError

__all__ = ["FoundVector", "as_vector", "joined"]


@dataclass(frozen=True)
class FoundVector:
    """A named vector."""

    name: str
    vector: np.ndarray[Any, Any]
    """(E,) floats or integers"""
    speaker: str = ""
    """empty if the file does not have it"""
    path: str = ""
    """path of the recording; empty if the file does not have it"""
    columns: Mapping[str, str] = field(default_factory=dict)
    """values of further columns"""


def as_vector(value: Any, where: str) -> np.ndarray[Any, Any]:
    """An array, tensor or list of numbers, of shape (E,), (1, E) or (E, 1), as a vector (E,).

    Raises DataError, which begins with `where`, for anything else.
    """
    numpy = getattr(value, "numpy", None)
    if callable(numpy):  # a tensor of torch
        value = value.detach().float().numpy() if value.is_floating_point() else numpy()
    try:
        array = np.asarray(value)
    except ValueError:  # lists of several lengths
        raise DataError(f"{where}: is a list of lists of different lengths, not a vector") from None
    if array.dtype.kind not in "fiu" or not array.size:
        what = f"of the type {array.dtype}" if array.size else "empty"
        what = "text" if array.dtype.kind in "US" else what
        raise DataError(f"{where}: is {what}, not a vector of numbers")
    if array.size == 1:
        raise DataError(f"{where}: is a single number, not a vector")
    sizes = [size for size in array.shape if size != 1]
    if len(sizes) > 1:
        shape = " x ".join(map(str, array.shape))
        raise DataError(
            f"{where}: is {shape}, not a vector: one name has several; average them, or give each "
            "a name"
        )
    return array.reshape(-1)


def joined(files: Iterable[Iterable[FoundVector]]) -> list[FoundVector]:
    """The vectors of several files, in their order."""
    return [found for file in files for found in file]
