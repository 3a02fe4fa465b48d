"""Number words that are repeated many times: a hash table that looks up arrays of words.

Words are looked up by the hundred thousand, so that waiting for memory overlaps with comparing.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["LANE", "MOST_LANES", "Lanes", "OddWordsError", "WordTable"]

LANE = 8
"""bytes of a word per number"""
MOST_LANES = 64
FEWEST_SLOTS = 2**12
SLOTS_PER_WORD = 4
MOST_STEPS = 256
"""most steps from a word's own slot to a free one: only words chosen to share slots need more"""
MIX = np.uint64(0x9E3779B97F4A7C15)
FACTORS = np.random.default_rng(0).integers(2**63, 2**64, MOST_LANES, dtype=np.uint64)
FACTORS |= np.uint64(1)  # odd, so that no bit of a word is lost

Lanes = NDArray[np.uint64]
"""(L, N): N words of at most 8 · L bytes, padded with zeros"""


class OddWordsError(Exception):
    """Words chosen to share their slots, which would make every look-up slow."""


class WordTable:
    """Different words, numbered in the order in which they first occurred."""

    def __init__(self) -> None:
        self._count = 0
        self._lanes = np.zeros((1, FEWEST_SLOTS), np.uint64)
        self._lengths = np.zeros(FEWEST_SLOTS, np.int32)
        self._hashes = np.zeros(FEWEST_SLOTS, np.uint64)
        self._slots = np.full(FEWEST_SLOTS, -1, np.int32)

    def __len__(self) -> int:
        return self._count

    def number(self, lanes: Lanes, lengths: NDArray[np.int32]) -> NDArray[np.int32]:
        """Numbers (N,) of words with `lengths` (N,) in bytes; new words are added.

        At most `MOST_LANES` lanes. Raises OddWordsError for words chosen to share their slots.
        """
        self._widen(len(lanes))
        hashes = _hashes(lanes)
        numbers = self._slots.take(self._home(hashes))
        left = np.flatnonzero(~self._are(numbers, lanes, lengths))
        if left.size:
            self._reserve(self._count + left.size)
            self._find_or_add(numbers, left, lanes, lengths, hashes)
        return numbers

    def words(self) -> pa.Array:
        """All words, in the order of their numbers; ArrowInvalid if they are not UTF-8."""
        lengths = self._lengths[: self._count]
        width = LANE * len(self._lanes)
        rows = np.ascontiguousarray(self._lanes[:, : self._count].T, dtype="<u8")
        content = rows.view(np.uint8).reshape(self._count, width)
        content = content[np.arange(width) < lengths[:, None]]
        offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(content)]
        array = pa.Array.from_buffers(pa.large_string(), self._count, buffers)
        array.validate(full=True)
        return array.cast(pa.string())

    def _are(
        self, numbers: NDArray[np.int32], lanes: Lanes, lengths: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        """Whether words (N,) are those with these numbers (N,); -1: no number."""
        rows = numbers.astype(np.intp)
        same = self._lengths.take(rows, mode="wrap") == lengths  # of -1 the last
        for known, lane in zip(self._lanes, lanes, strict=False):
            same &= known.take(rows, mode="wrap") == lane
        return np.asarray(same & (numbers >= 0))

    def _find_or_add(
        self,
        numbers: NDArray[np.int32],
        left: NDArray[np.int64],
        lanes: Lanes,
        lengths: NDArray[np.int32],
        hashes: NDArray[np.uint64],
    ) -> None:
        """Write the numbers of the words in the rows `left` (M,), which rise.

        All words try their slots at once. In an empty one the first of them is entered; the others
        compare with it and, where they differ from it, try the next slot.
        """
        before, rows = self._count, left
        slots = self._home(hashes[left])
        for _ in range(MOST_STEPS):
            free = np.flatnonzero(self._slots[slots] < 0)
            if free.size:
                self._enter(slots[free], rows[free], lanes, lengths, hashes)
            found = self._slots[slots]
            same = self._are(found, lanes[:, rows], lengths[rows])
            numbers[rows[same]] = found[same]
            rows, slots = rows[~same], (slots[~same] + 1) % len(self._slots)
            if not rows.size:
                self._sort_new(before, numbers, left)
                return
        raise OddWordsError(f"{len(rows)} words share their slots")

    def _enter(
        self,
        slots: NDArray[np.int64],
        rows: NDArray[np.int64],
        lanes: Lanes,
        lengths: NDArray[np.int32],
        hashes: NDArray[np.uint64],
    ) -> None:
        """Enter words in empty slots; of several for one slot, only the first."""
        _, first = np.unique(slots, return_index=True)
        first.sort()
        new = np.arange(self._count, self._count + len(first))
        self._slots[slots[first]] = new
        self._lanes[: len(lanes), new] = lanes[:, rows[first]]
        self._lengths[new] = lengths[rows[first]]
        self._hashes[new] = hashes[rows[first]]
        self._count += len(first)

    def _sort_new(self, before: int, numbers: NDArray[np.int32], rows: NDArray[np.int64]) -> None:
        """Number the words from `before` on as they come in these rows."""
        new = numbers[rows] - before
        met, first = np.unique(new[new >= 0], return_index=True)
        order = met[np.argsort(first)]
        if np.array_equal(order, np.arange(len(order))):
            return
        renumbered = np.empty(len(order), np.int32)
        renumbered[order] = before + np.arange(len(order))
        at = slice(before, self._count)
        self._lanes[:, at] = self._lanes[:, before + order]
        self._lengths[at] = self._lengths[before + order]
        self._hashes[at] = self._hashes[before + order]
        for array in (self._slots, numbers):
            is_new = array >= before
            array[is_new] = renumbered[array[is_new] - before]

    def _widen(self, lanes: int) -> None:
        more = lanes - len(self._lanes)
        if more > 0:
            self._lanes = np.pad(self._lanes, ((0, more), (0, 0)))

    def _reserve(self, words: int) -> None:
        """Make room for `words` words in total."""
        size = len(self._lengths)
        if words > size:
            more = max(words, 2 * size) - size
            self._lanes = np.pad(self._lanes, ((0, 0), (0, more)))
            self._lengths = np.pad(self._lengths, (0, more))
            self._hashes = np.pad(self._hashes, (0, more))
        if SLOTS_PER_WORD * words > len(self._slots):
            count = 2 ** (2 * SLOTS_PER_WORD * words - 1).bit_length()
            self._slots = np.full(count, -1, np.int32)
            left = np.arange(self._count)
            slots = self._home(self._hashes[left])
            while left.size:
                free = np.flatnonzero(self._slots[slots] < 0)
                self._slots[slots[free]] = left[free]
                kept = self._slots[slots] != left
                left, slots = left[kept], (slots[kept] + 1) % count

    def _home(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The slot where the search for each word begins."""
        bits = len(self._slots).bit_length() - 1
        return (hashes >> np.uint64(64 - bits)).astype(np.int64)


def _hashes(lanes: Lanes) -> NDArray[np.uint64]:
    hashes = lanes[0] * FACTORS[0]
    for lane, factor in zip(lanes[1:], FACTORS[1:], strict=False):
        hashes += lane * factor
    hashes ^= hashes >> np.uint64(32)
    hashes *= MIX
    return np.asarray(hashes)
