"""Scores of millions of trials from vectors, in blocks."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
from numpy.typing import NDArray

from timbral.embeddings.vectors import unit_length
from timbral.io.loaded_torch import torch_is_installed
from timbral.io.types import Ints, Vectors

__all__ = ["pair_cosines", "score_normalized"]

GROUP = 4096
"""vectors per group: pairs with second sides in one group follow each other, so that these vectors
stay in the processor's cache"""
MOST_GROUPS = 64
MOST_PAIRS = 2**24
"""pairs sorted per block"""
ROWS = 2**16
"""trials normalized per block, which fits in the processor's cache"""


def pair_cosines(vectors: Vectors, first: Ints, second: Ints) -> Vectors:
    """Cosine of each pair of rows of `vectors` (K, E): `first`, `second` (N,) -> (N,).

    The same for (a, b) and (b, a), and at any position in the list.
    """
    unit = unit_length(vectors)
    size = max(GROUP, -(-len(unit) // MOST_GROUPS))
    bits = (len(unit) - 1).bit_length() + ((len(unit) - 1) // size).bit_length()
    block = min(MOST_PAIRS, 2 ** (63 - bits))
    cosines = np.empty(len(first), dtype=np.float32)
    for start in range(0, len(first), block):
        rows = slice(start, start + block)
        _block_cosines(unit, first[rows], second[rows], size, cosines[rows])
    return cosines


def _block_cosines(unit: Vectors, first: Ints, second: Ints, size: int, cosines: Vectors) -> None:
    """Write the cosines (N,) of pairs of unit vectors (K, E).

    Pairs are the entries of a sparse matrix, rows `first` and columns `second`; torch computes
    those entries of the product of all vectors with each other. One group of `size` columns comes
    after another, so pairs are sorted by group, then by row. Group, row and position of a pair
    are the bits of one integer: numpy sorts these faster than it finds an order.
    """
    for_row, for_position = ((count - 1).bit_length() for count in (len(unit), len(first)))
    keys = np.asarray(second // size, dtype=np.int64)
    keys <<= for_row
    keys |= first
    keys <<= for_position
    keys |= np.arange(len(first))
    keys.sort()
    order = keys & (2**for_position - 1)
    keys >>= for_position
    columns = second[order].astype(np.int64)
    groups = np.arange(-(-len(unit) // size) + 1)
    bounds = np.searchsorted(keys, groups << for_row).tolist()
    keys &= 2**for_row - 1
    in_order = np.empty_like(cosines)
    for group, (begin, end) in enumerate(itertools.pairwise(bounds)):
        if begin < end:
            of_group = unit[group * size : (group + 1) * size]
            columns[begin:end] -= group * size
            pairs = slice(begin, end)
            in_order[pairs] = _sampled_product(unit, of_group, keys[pairs], columns[pairs])
    cosines[order] = in_order


def _sampled_product(
    left: Vectors, right: Vectors, rows: Ints, columns: Ints
) -> NDArray[np.float32]:
    """Entries (N,) of left @ right.T at `rows`, which rise, and `columns`."""
    if not torch_is_installed():
        entries = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), GROUP):
            some = slice(start, start + GROUP)
            np.einsum("ij,ij->i", left[rows[some]], right[columns[some]], out=entries[some])
        return entries
    import torch

    ends = np.cumsum(np.bincount(rows, minlength=len(left)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR", UserWarning)  # that it is in beta
        pattern = torch.sparse_csr_tensor(
            torch.from_numpy(np.append(0, ends)),
            torch.from_numpy(columns),
            torch.zeros(len(columns)),
            size=(len(left), len(right)),
            check_invariants=False,  # a pair may come more than once
        )
        factors = torch.from_numpy(left), torch.from_numpy(right).T
        product = torch.sparse.sampled_addmm(pattern, *factors, beta=0.0)
    return np.asarray(product.values().numpy())


def score_normalized(cosines: Vectors, first: Ints, second: Ints, statistics: Vectors) -> Vectors:
    """Adaptive s-norm of cosines (N,); `statistics` (K, 2) as `cohort_statistics` gives them."""
    normalized = np.empty_like(cosines)
    both = np.ascontiguousarray(statistics, dtype=np.float32).view(np.complex64)[:, 0]
    for start in range(0, len(cosines), ROWS):
        rows = slice(start, start + ROWS)
        sides = (both.take(each[rows]) for each in (first, second))  # one look-up for two numbers
        one, other = ((cosines[rows] - side.real) / side.imag for side in sides)
        normalized[rows] = (one + other) / 2
    return normalized
