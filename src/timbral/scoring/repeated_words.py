"""A column of text in which few words are repeated many times, read block by block."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["RepeatedWords"]

MANY = 2**21
"""words, from which on looking blocks up in them is slower than to number each block by itself"""


class RepeatedWords:
    """Words as numbers into those seen before, in the order in which they came.

    Arrow's own reading numbers the words of every block from new and then joins the numberings,
    which takes twice as long as to look the words up among those of the first block.
    """

    def __init__(self) -> None:
        self._words = pa.array([], pa.string())
        self._rows: list[NDArray[np.int32]] = []
        self._behind: list[pa.DictionaryArray] = []
        """blocks of a column that does not repeat its words, such as one of scores"""

    def add(self, block: pa.Array) -> None:
        """Take the next words (N,), none of them null."""
        if len(self._words) > MANY:
            self._behind.append(block.dictionary_encode())
            return
        if not len(self._words):
            first = block.dictionary_encode()
            self._words, rows = first.dictionary, first.indices
        else:
            rows = pc.index_in(block, value_set=self._words)
            if rows.null_count:
                new = pc.unique(block.filter(pc.is_null(rows)))
                self._words = pa.concat_arrays([self._words, new])
                rows = pc.index_in(block, value_set=self._words)
        self._rows.append(np.asarray(rows, dtype=np.int32))

    def encoded(self) -> pa.DictionaryArray:
        """All words that were added, and their numbers."""
        rows = np.concatenate(self._rows) if self._rows else np.empty(0, np.int32)
        column = pa.DictionaryArray.from_arrays(pa.array(rows), self._words)
        if not self._behind:
            return column
        joined = pa.chunked_array([column, *self._behind]).unify_dictionaries().combine_chunks()
        return joined.chunk(0) if isinstance(joined, pa.ChunkedArray) else joined
