"""Batches of waves of many lengths, and means of their vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from timbral.audio.decode import Wave
from timbral.embeddings.vectors import unit_length
from timbral.io.types import Vectors

__all__ = ["equal_segments", "owner_means", "rows_by_length"]


def equal_segments(waves: Sequence[Wave], longest: int) -> tuple[list[Wave], list[int]]:
    """Waves split into equal segments of at most `longest` samples, and each segment's wave."""
    owners: list[int] = []
    segments: list[Wave] = []
    for row, wave in enumerate(waves):
        pieces = np.array_split(wave, -(-len(wave) // longest))
        owners += [row] * len(pieces)
        segments += pieces
    return segments, owners


def rows_by_length(lengths: Sequence[int], limit: float) -> Iterator[list[int]]:
    """Rows in order of length, in batches of at most `limit` padded samples, or one longer row."""
    rows: list[int] = []
    for row in np.argsort(lengths, kind="stable").tolist():
        if rows and lengths[row] * (len(rows) + 1) > limit:
            yield rows
            rows = []
        rows.append(row)
    yield rows


def owner_means(vectors: Vectors, owners: Sequence[int], count: int) -> Vectors:
    """The mean of each owner's unit vectors (W, E), at unit length (N, E); N = `count`."""
    sums = np.zeros((count, vectors.shape[1]), dtype=np.float32)
    np.add.at(sums, owners, vectors)
    return unit_length(sums)
