"""Vectors (N, E) as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["unit_length"]


def unit_length(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Vectors (..., E) divided by their length, in float32; a zero vector stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)
