"""Text of millions of lines with as many words in each, read as arrays of bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from timbral.scoring.word_table import LANE, OddWordsError, WordTable

__all__ = ["read_regular_columns"]

BLOCK_BYTES = 2**20
"""what is computed of them stays in the processor's cache"""
TAIL_MASKS = np.array([2 ** (8 * count) - 1 for count in range(LANE + 1)], dtype=np.uint64)
"""of a number of 8 bytes, the first ones of the text"""
NEWLINE, RETURN, COMMENT = b"\n\r#"

Bytes = NDArray[np.uint8]


def read_regular_columns(path: Path, counts: Sequence[int]) -> list[pa.DictionaryArray] | None:
    """The columns of a file in which every line has the same number of words, one of `counts`.

    Words are separated by one tab, or, where the first line has none, by one blank; lines end with
    LF, or all with CRLF. None for any other file, for comments, and for what is no UTF-8. Raises
    OSError.
    """
    tables: list[WordTable] = []
    numbers: list[list[NDArray[np.int32]]] = []
    line_end, delimiter = b"\n", b" "
    for block in _blocks(path):
        if not tables:
            head = block[: int(np.argmax(block == NEWLINE)) + 1].tobytes()
            line_end = b"\r\n" if head.endswith(b"\r\n") else b"\n"
            delimiter = b"\t" if b"\t" in head else b" "
            if head.count(delimiter) + 1 not in counts:
                return None
            tables = [WordTable() for _ in range(head.count(delimiter) + 1)]
            numbers = [[] for _ in tables]
        bounds = _bounds(block, delimiter, line_end, len(tables))
        if bounds is None:
            return None
        words = np.frombuffer(block, "<u8")
        for table, found, (starts, lengths) in zip(tables, numbers, bounds, strict=True):
            try:
                found.append(table.number(_lanes(words, starts, lengths), lengths))
            except OddWordsError:
                return None
    try:
        dictionaries = [table.words() for table in tables]
    except pa.ArrowInvalid:
        return None
    return [
        pa.DictionaryArray.from_arrays(pa.array(np.concatenate(found)), words)
        for found, words in zip(numbers, dictionaries, strict=True)
    ] or None


def _blocks(path: Path) -> Iterator[Bytes]:
    """Whole lines, each with its line feed, then zeros up to a multiple of 8 bytes and 8 more."""
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
    return np.frombuffer(content + bytes(-len(content) % LANE + LANE), np.uint8)


def _bounds(
    block: Bytes, delimiter: bytes, line_end: bytes, columns: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int32]]] | None:
    """Starts and lengths (N,) of the words of each column; None where lines differ."""
    found = np.flatnonzero((block == ord(delimiter)) | (block == NEWLINE))
    if found.size % columns:
        return None
    ends = found.reshape(-1, columns)
    is_end = block[ends] == NEWLINE
    if is_end[:, :-1].any() or not is_end[:, -1].all():
        return None
    line_starts = np.append(0, ends[:-1, -1] + 1)
    if (block[line_starts] == COMMENT).any():
        return None
    starts = np.column_stack((line_starts, ends[:, :-1] + 1))
    if len(line_end) == 2:
        ends[:, -1] -= 1
        if (block[ends[:, -1]] != RETURN).any():
            return None
    lengths = (ends - starts).astype(np.int32)
    if lengths.min() <= 0:
        return None
    return [
        (np.ascontiguousarray(starts[:, column]), np.ascontiguousarray(lengths[:, column]))
        for column in range(columns)
    ]


def _lanes(
    words: NDArray[np.uint64], starts: NDArray[np.int64], lengths: NDArray[np.int32]
) -> NDArray[np.uint64]:
    """Pieces of text (N,) as numbers of 8 bytes (L, N): the text is `words`, numbers of 8 bytes.

    words   |........|..hello,|........|       start 10, so of word 1 the bytes from 2 on
    lane              hello... -> masked to the length of 5
    """
    count = -(-int(lengths.max()) // LANE)
    lanes = np.empty((count, len(starts)), np.uint64)
    first = starts // LANE
    shift = (starts % LANE * 8).astype(np.uint64)
    last = len(words) - 1
    here = words.take(first)
    for lane in range(count):
        there = words.take(np.minimum(first + lane + 1, last))
        piece = here >> shift
        piece |= (there << np.uint64(1)) << (np.uint64(63) - shift)  # a shift by 64 does not exist
        piece &= TAIL_MASKS.take(np.clip(lengths - LANE * lane, 0, LANE))
        lanes[lane] = piece
        here = there
    return lanes
