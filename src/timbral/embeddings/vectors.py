"""Arithmetic on vectors (N, E): unit length, means, the medoid, centering."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbral.io.types import Ints, Vectors

__all__ = [
    "LARGEST_NUMBER",
    "centered",
    "finite_rows",
    "has_direction",
    "has_directions",
    "medoid_row",
    "project_out",
    "speaker_sums",
    "unit_length",
    "unit_mean",
]

BLOCK_ROWS = 8192
LARGEST_NUMBER = 1e15
"""largest component of a vector whose length does not overflow in float32"""


def unit_length(vectors: NDArray[Any]) -> Vectors:
    """Vectors (..., E) divided by their length, in float32; a zero vector stays zero.

    Non-finite vectors stay so, without a warning; callers check for them.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def finite_rows(vectors: Vectors) -> NDArray[np.bool_]:
    """Which of the vectors (N, E) are finite (N,)."""
    return np.asarray(np.isfinite(vectors).all(axis=-1))


def has_direction(vectors: NDArray[Any]) -> bool:
    """Whether all vectors (..., E) can be normalized to unit length: they are finite, not zero, and
    their lengths neither overflow nor underflow in float32.
    """
    return bool(has_directions(vectors).all())


def has_directions(vectors: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of the vectors (..., E) can be normalized to unit length (...)."""
    lengths = np.linalg.norm(unit_length(vectors), axis=-1)
    return np.asarray(np.abs(lengths - 1) < 1e-3)


def unit_mean(vectors: Vectors) -> Vectors:
    """The mean of vectors (N, E), at unit length (E,)."""
    return unit_length(vectors.mean(axis=0))


def project_out(vectors: Vectors, directions: Vectors) -> Vectors:
    """Vectors (..., E) without their components along orthonormal `directions` (D, E), at unit
    length.
    """
    unit = unit_length(vectors)
    return unit_length(unit - (unit @ directions.T) @ directions)


def medoid_row(unit_vectors: Vectors) -> int:
    """The row of the unit vector with the highest mean cosine to all rows of (N, E)."""
    return int(np.argmax(unit_vectors @ unit_vectors.sum(axis=0)))


def speaker_sums(vectors: Vectors, codes: Ints, num_speakers: int) -> Vectors:
    """The sums of each speaker's vectors (S, E); `codes` (N,) are the vectors' speakers."""
    sums = np.zeros((num_speakers, vectors.shape[1]), dtype=np.float32)
    np.add.at(sums, codes, vectors)
    return sums


def centered(vectors: Vectors, codes: Ints) -> Vectors:
    """Vectors (N, E) minus the mean of the speakers' means, at unit length."""
    counts = np.bincount(codes)
    means = speaker_sums(vectors, codes, len(counts)) / counts[:, None]
    common = means.mean(axis=0)
    shifted = np.empty_like(vectors, dtype=np.float32)
    for start in range(0, len(vectors), BLOCK_ROWS):  # a million in float64 would take 1.5 GB
        rows = slice(start, start + BLOCK_ROWS)
        shifted[rows] = unit_length(vectors[rows] - common)
    return shifted
