"""Cosines between vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbral.embeddings.vectors import finite_rows, unit_length
from timbral.errors import InputError
from timbral.io.loaded_torch import is_tensor
from timbral.io.masked_arrays import refuse_masked
from timbral.io.types import Vectors

__all__ = ["similarity"]


def similarity(first: Any, second: Any) -> Vectors:
    """Cosine of every vector of `first` with every vector of `second`.

    Args:
        first: vectors (N, E), or one (E,): a NumPy array, a tensor of any float type, or a list
        second: vectors (M, E), or one (E,)

    Returns:
        float32 cosines in [-1, 1] of shape (N, M); a single vector has no axis in the result, so
        that two vectors give one number, of shape (). The cosine of a zero vector is 0.

    Raises:
        InputError: arguments are not vectors, differ in size, are masked, or are not finite
    """
    left, right = _vectors(first, "first"), _vectors(second, "second")
    for vectors, argument in ((left, "first"), (right, "second")):
        finite = np.atleast_1d(finite_rows(vectors))
        if not finite.all():
            raise InputError(f"{argument}: vector {np.argmin(finite)} is not finite")
    if left.shape[-1] != right.shape[-1]:
        raise InputError(
            f"vectors with {left.shape[-1]} and {right.shape[-1]} numbers cannot be compared; "
            "they are from different encoders"
        )
    cosines = unit_length(left) @ unit_length(right).T
    return np.asarray(np.clip(cosines, -1.0, 1.0), dtype=np.float32)


def _vectors(values: Any, argument: str) -> Vectors:
    """Vectors (N, E) or (E,) as float32."""
    for each in values if isinstance(values, list | tuple) else (values,):
        refuse_masked(each, argument)
    try:
        if isinstance(values, list | tuple):
            return _checked(np.array([_array(row) for row in values]))
        return _checked(np.asarray(_array(values)))
    except (TypeError, ValueError):
        raise InputError(
            f"{argument}: vectors must be an array, a tensor or a list, of shape (N, E) or (E,); "
            f"got {_described(values)}"
        ) from None


def _described(values: Any) -> str:
    """The kind of an argument, with its shape if it has one."""
    if isinstance(values, list | tuple):
        return f"a {type(values).__name__} of {len(values)}"
    return f"{type(values).__name__} {getattr(values, 'shape', '')}".rstrip()


def _array(values: Any) -> Any:
    return values.detach().cpu().float().numpy() if is_tensor(values) else values


def _checked(vectors: NDArray[Any]) -> Vectors:
    if vectors.ndim not in (1, 2) or not vectors.shape[-1]:
        raise ValueError("neither one vector nor several")
    if np.iscomplexobj(vectors):
        raise TypeError("vectors must be real numbers")
    with np.errstate(over="ignore"):  # refused as not finite
        return np.asarray(vectors, dtype=np.float32)
