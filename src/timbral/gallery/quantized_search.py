"""Exact search in large galleries at a quarter of the memory traffic: int8 first, then float32.

One query against a million vectors of 192 numbers waits for memory: 768 MB in float32. So each
block of vectors is also held as 8-bit integers, v ≈ scale · c, with the largest error of the block,
e = max ‖v − scale · c‖. The product of two such vectors is then off by at most

    |v · q − scale · scale_q · (c · c_q)| ≤ e + (1 + e) · e_q          (unit v and q)

Every vector that may be among the best by that bound is multiplied in float32, so the result is
that of a search in float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbral.gallery.voice_index import best_of
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["QuantizedVectors"]

Integers = NDArray[np.int32]
BLOCK_ROWS = 8192
"""quantized together, again whenever one of them changes"""
GROUP_ROWS = 64
"""whose highest product is looked at first"""


@dataclass(frozen=True)
class Block:
    """Consecutive vectors as integers."""

    codes: Tensor
    """(R, E), int8"""
    scale: float
    error: float
    """the largest length of what was rounded off"""


class QuantizedVectors:
    """An int8 copy of a matrix of unit vectors, kept up with it block by block."""

    def __init__(self) -> None:
        self._blocks: dict[int, Block] = {}

    def forget(self, rows: Ints) -> None:
        """These rows have changed."""
        for number in set((rows // BLOCK_ROWS).tolist()):
            self._blocks.pop(number, None)

    def search(self, vectors: Vectors, query: Vectors, top: int) -> tuple[Ints, Vectors]:
        """The rows (K,) of (N, E) with the highest products with a unit query (E,), and these."""
        query_block = _quantize(query[None])
        column = query_block.codes.T.contiguous()
        scales, bounds, products = [], [], []
        for number in range(math.ceil(len(vectors) / BLOCK_ROWS)):
            block = self._block(number, vectors)
            products.append(torch._int_mm(block.codes, column)[:, 0].numpy())
            scales.append(block.scale * query_block.scale)
            bounds.append(block.error + (1 + block.error) * query_block.error)
        rows = _candidates(products, np.array(scales), np.array(bounds), top)
        return best_of(rows, vectors, query, top)

    def _block(self, number: int, vectors: Vectors) -> Block:
        rows = vectors[number * BLOCK_ROWS : (number + 1) * BLOCK_ROWS]
        block = self._blocks.get(number)
        if block is None or len(block.codes) != len(rows):
            block = self._blocks[number] = _quantize(rows)
        return block


def _candidates(products: list[Integers], scales: Floats, bounds: Floats, top: int) -> Ints:
    """The rows that may be among the best.

    The highest products of groups are of different rows: less their bounds, the `top`-th of them
    is what the best rows reach at least.
    """
    highest = [_highest(each) for each in products]
    reached = np.concatenate(
        [each * scale - bound for each, scale, bound in zip(highest, scales, bounds, strict=True)]
    )
    least = np.partition(reached, -top)[-top] if len(reached) >= top else -np.inf
    found = []
    for number, (each, scale, bound) in enumerate(zip(products, scales, bounds, strict=True)):
        if highest[number].max() * scale + bound >= least:
            rows = np.flatnonzero(each * scale + bound >= least)
            found.append(rows + number * BLOCK_ROWS)
    return np.concatenate(found)


def _highest(products: Integers) -> Integers:
    """The highest of each group: of rows far apart, as maxima of columns are fast."""
    whole = len(products) // GROUP_ROWS * GROUP_ROWS
    groups = products[:whole].reshape(GROUP_ROWS, -1).max(axis=0)
    return np.concatenate((groups, products[whole:]))


def _quantize(vectors: Vectors) -> Block:
    scale = max(float(np.abs(vectors).max()), 1e-12) / 127
    codes = np.rint(vectors / np.float32(scale))
    errors = np.linalg.norm(vectors - codes * np.float32(scale), axis=1)
    return Block(torch.from_numpy(codes.astype(np.int8)), scale, float(errors.max()))
