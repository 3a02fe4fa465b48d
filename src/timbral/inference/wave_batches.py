"""Waves of many lengths in batches, and the means of what came out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from timbral.audio.decode import Wave
from timbral.embeddings.vectors import unit_length
from timbral.io.types import Vectors

__all__ = ["equal_segments", "owner_means", "rows_by_length"]


def equal_segments(waves: Sequence[Wave], longest: int) -> tuple[list[Wave], list[int]]:
    """Waves cut into equal segments of `longest` samples or less, and whose each of them is."""
    owners: list[int] = []
    segments: list[Wave] = []
    for row, wave in enumerate(waves):
        pieces = np.array_split(wave, -(-len(wave) // longest))
        owners += [row] * len(pieces)
        segments += pieces
    return segments, owners


def rows_by_length(lengths: Sequence[int], limit: float) -> Iterator[list[int]]:
    """Rows in order of length, in batches of so many padded samples, or of one longer row."""
    rows: list[int] = []
    for row in np.argsort(lengths, kind="stable").tolist():
        if rows and lengths[row] * (len(rows) + 1) > limit:
            yield rows
            rows = []
        rows.append(row)
    yield rows


def owner_means(vectors: Vectors, owners: Sequence[int], count: int) -> Vectors:
    """The mean of the unit vectors (W, E) of each of `count` owners, made unit length (N, E)."""
    sums = np.zeros((count, vectors.shape[1]), dtype=np.float32)
    np.add.at(sums, owners, vectors)
    return unit_length(sums)
