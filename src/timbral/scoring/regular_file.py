"""Read lines with the same number of words each, millions of them, as arrays of bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from timbral.scoring.word_table import LANE, MOST_LANES, OddWordsError, WordTable

__all__ = ["read_regular_columns"]

BLOCK_BYTES = 2**21
MARGIN = LANE * (MOST_LANES + 1)
TAIL_MASKS = np.array([2 ** (8 * count) - 1 for count in range(LANE + 1)], dtype=np.uint64)
"""masks that keep the first bytes of text in a number of 8 bytes"""
NEWLINE, RETURN, COMMENT = b"\n\r#"

Bytes = NDArray[np.uint8]


def read_regular_columns(path: Path, counts: Sequence[int]) -> list[pa.DictionaryArray] | None:
    """The columns of a file in which every line has the same number of words, one of `counts`.

    Words are separated by one tab, or, where the first line has none, by one blank; lines end with
    LF, or all with CRLF. None for any other file, for one with comments, and for one that is not
    UTF-8. Raises OSError.
    """
    columns: list[_Column] = []
    line_end, delimiter = b"\n", b" "
    try:
        for block in _blocks(path):
            if not columns:
                head = block[: int(np.argmax(block == NEWLINE)) + 1].tobytes()
                line_end = b"\r\n" if head.endswith(b"\r\n") else b"\n"
                delimiter = b"\t" if b"\t" in head else b" "
                if head.count(delimiter) + 1 not in counts:
                    return None
                columns = [_Column() for _ in range(head.count(delimiter) + 1)]
            bounds = _bounds(block, delimiter, line_end, len(columns))
            words = np.frombuffer(block, "<u8")
            for column, (starts, lengths) in zip(columns, bounds, strict=True):
                column.numbers.append(column.table.number(_lanes(words, starts, lengths), lengths))
        return [column.encoded() for column in columns] or None
    except (_IrregularError, OddWordsError, pa.ArrowInvalid):
        return None


class _IrregularError(Exception):
    """Not all lines have the same form."""


@dataclass(frozen=True)
class _Column:
    table: WordTable = field(default_factory=WordTable)
    numbers: list[NDArray[np.int32]] = field(default_factory=list)

    def encoded(self) -> pa.DictionaryArray:
        words = self.table.words()
        return pa.DictionaryArray.from_arrays(pa.array(np.concatenate(self.numbers)), words)


def _blocks(path: Path) -> Iterator[Bytes]:
    """Blocks of whole lines, each with its line feed, padded with zeros for the longest word."""
    left, line_end = b"", b"\n"
    with open(path, "rb") as file:
        while content := file.read(BLOCK_BYTES):
            lines, feed, rest = content.rpartition(b"\n")
            if feed:
                line_end = b"\r\n" if lines.endswith(b"\r") else b"\n"
                yield _padded(left + lines + feed)
                left = rest
            else:
                left += content
    if left:
        yield _padded(left + line_end)


def _padded(content: bytes) -> Bytes:
    return np.frombuffer(content + bytes(-len(content) % LANE + MARGIN), np.uint8)


def _bounds(
    block: Bytes, delimiter: bytes, line_end: bytes, columns: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int32]]]:
    """Starts and lengths (N,) of the words of each column."""
    separators = np.flatnonzero((block == ord(delimiter)) | (block == NEWLINE))
    if separators.size % columns:
        raise _IrregularError
    ends = separators.reshape(-1, columns)
    is_end = block[ends] == NEWLINE
    if is_end[:, :-1].any() or not is_end[:, -1].all():
        raise _IrregularError
    line_starts = np.append(0, ends[:-1, -1] + 1)
    if (block[line_starts] == COMMENT).any():
        raise _IrregularError
    starts = np.column_stack((line_starts, ends[:, :-1] + 1))
    if len(line_end) == 2:
        ends[:, -1] -= 1
        if (block[ends[:, -1]] != RETURN).any():
            raise _IrregularError
    lengths = (ends - starts).astype(np.int32)
    if lengths.min() <= 0 or lengths.max() > LANE * MOST_LANES:
        raise _IrregularError
    return [
        (np.ascontiguousarray(starts[:, column]), np.ascontiguousarray(lengths[:, column]))
        for column in range(columns)
    ]


def _lanes(
    words: NDArray[np.uint64], starts: NDArray[np.int64], lengths: NDArray[np.int32]
) -> NDArray[np.uint64]:
    """Pieces of text (N,) as numbers of 8 bytes (L, N); `words` are the text's numbers of 8 bytes.

    words   |........|..hello,|........|       start 10, so of word 1 the bytes from 2 on
    lane              hello... -> masked to the length of 5
    """
    shortest, longest = int(lengths.min()), int(lengths.max())
    count = -(-longest // LANE)
    lanes = np.empty((count, len(starts)), np.uint64)
    position = starts >> 3
    shift = ((starts & 7) << 3).astype(np.uint64)
    left_shift = np.uint64(63) - shift  # and one more: a shift by 64 does not exist
    here = words.take(position)
    for lane, piece in enumerate(lanes):
        position += 1
        there = words.take(position)
        np.right_shift(here, shift, out=piece)
        here = there << np.uint64(1)
        here <<= left_shift
        piece |= here
        here = there
        if shortest < LANE * (lane + 1):
            piece &= TAIL_MASKS.take(np.clip(lengths - LANE * lane, 0, LANE))
    return lanes
