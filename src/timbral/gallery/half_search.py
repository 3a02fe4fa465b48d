"""Exact search in large galleries at half the memory traffic: float16 first, then float32.

One query against a million vectors of 192 numbers waits for memory: 768 MB in float32. So each
block of vectors is also held in float16, h ≈ v, with the largest error of the block,
e = max ‖v − h‖. Sums are computed in float32, so for a unit query q

    |v · q − h · q| ≤ e + ROUNDING

Every vector that may be among the best by that bound is multiplied in float32, so the result is
that of a search in float32. The products are FBGEMM's, which torch has on x86 processors; 8-bit
integers are no faster there, as their products wait for the processor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch

from timbral.gallery.voice_index import best_of
from timbral.io.types import Ints, Vectors

__all__ = ["HalfVectors", "has_half_products"]

BLOCK_ROWS = 16_384
"""held together; converted again when many of them have changed (50 ms)"""
MOST_CHANGED = 512
"""rows of a block that are multiplied in float32 instead"""
GROUP_ROWS = 64
"""whose highest product is looked at first"""
ROUNDING = 1e-5
"""of sums of a few hundred products of unit vectors in float32, and more"""


@cache
def has_half_products() -> bool:
    """Whether torch multiplies by float16 here."""
    try:
        _pack(np.zeros((1, 8), np.float32))
    except (RuntimeError, AttributeError):
        return False
    return True


@dataclass(frozen=True)
class Block:
    """Consecutive vectors in float16."""

    packed: Any
    """(R, E), as FBGEMM reads it"""
    count: int
    error: float
    """the largest length of what was rounded off"""
    changed: set[int] = field(default_factory=set)
    """rows of the block that are others now"""

    def products(self, query: torch.Tensor, count: int) -> Vectors:
        """With a query (1, E), those of the first `count` rows; of changed ones -inf."""
        found: Vectors = torch.ops.quantized.linear_dynamic_fp16(query, self.packed)[0].numpy()
        found = found[:count]
        found[[row for row in self.changed if row < count]] = -np.inf
        return found


class HalfVectors:
    """A float16 copy of a matrix of unit vectors, kept up with it block by block."""

    def __init__(self) -> None:
        self._blocks: dict[int, Block] = {}

    def change(self, rows: Ints) -> None:
        """These rows are new, or others now."""
        for number in np.unique(rows // BLOCK_ROWS).tolist():
            block = self._blocks.get(number)
            if block is not None:
                inside = rows[rows // BLOCK_ROWS == number] - number * BLOCK_ROWS
                block.changed.update(inside[inside < block.count].tolist())

    def forget(self, rows: Ints) -> None:
        """Nothing of these rows is kept."""
        for number in np.unique(rows // BLOCK_ROWS).tolist():
            self._blocks.pop(number, None)

    @torch.inference_mode()
    def search(self, vectors: Vectors, query: Vectors, top: int) -> tuple[Ints, Vectors]:
        """The rows (K,) of (N, E) with the highest products with a unit query (E,), and these."""
        given = torch.from_numpy(np.ascontiguousarray(query[None], np.float32))
        products, errors, others = [], [], []
        for start in range(0, len(vectors), BLOCK_ROWS):
            block = self._block(start, vectors)
            count = min(block.count, len(vectors) - start)
            products.append(block.products(given, count))
            errors.append(block.error + ROUNDING)
            others += [start + row for row in block.changed if row < count]
            others += range(start + count, min(start + BLOCK_ROWS, len(vectors)))
        rows = _candidates(products, errors, top)
        return best_of(np.append(rows, np.array(others, np.int64)), vectors, query, top)

    def _block(self, start: int, vectors: Vectors) -> Block:
        rows = vectors[start : start + BLOCK_ROWS]
        block = self._blocks.get(start // BLOCK_ROWS)
        if block is None or len(block.changed) + max(len(rows) - block.count, 0) > MOST_CHANGED:
            error = np.linalg.norm(rows - rows.astype(np.float16), axis=1).max()
            block = Block(_pack(rows), len(rows), float(error))
            self._blocks[start // BLOCK_ROWS] = block
        return block


def _pack(rows: Vectors) -> Any:
    given = torch.from_numpy(np.ascontiguousarray(rows, np.float32))
    return torch.ops.quantized.linear_prepack_fp16(given, None)


def _candidates(products: list[Vectors], errors: list[float], top: int) -> Ints:
    """The rows that may be among the best.

    The highest products of groups are of different rows: less their errors, the `top`-th of them
    is what the best rows reach at least.
    """
    highest = [_highest(each) for each in products]
    reached = np.concatenate([each - error for each, error in zip(highest, errors, strict=True)])
    least = np.partition(reached, -top)[-top] if len(reached) >= top else -np.inf
    found = [np.zeros(0, np.int64)]
    for number, (each, error) in enumerate(zip(products, errors, strict=True)):
        if highest[number].max(initial=-np.inf) + error >= least:
            found.append(np.flatnonzero(each + error >= least) + number * BLOCK_ROWS)
    return np.concatenate(found)


def _highest(products: Vectors) -> Vectors:
    """The highest of each group: of rows far apart, as maxima of columns are fast."""
    whole = len(products) // GROUP_ROWS * GROUP_ROWS
    groups = products[:whole].reshape(GROUP_ROWS, -1).max(axis=0)
    return np.concatenate((groups, products[whole:]))
