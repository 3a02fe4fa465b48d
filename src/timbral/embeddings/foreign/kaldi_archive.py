"""Kaldi's archives and lists: binary, compressed and text, as Kaldi, kaldiio and others write them.

An entry is a key, a space and an object. A binary object begins with NUL, ``B`` and a token for its
type: FV and DV are vectors, FM and DM matrices, CM, CM2 and CM3 compressed matrices
(kaldi/src/matrix/compressed-matrix.h). Everything is little-endian. An object without NUL is text:
``[ 1 2 3 ]``.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from timbral.errors import DataError
from timbral.io.text import read_lines, split_words

__all__ = ["read_ark", "read_scp"]

Array = np.ndarray[Any, Any]
PLAIN = {b"FV ": ("<f4", 1), b"DV ": ("<f8", 1), b"FM ": ("<f4", 2), b"DM ": ("<f8", 2)}
"""token: type of the numbers, and how many sizes precede them"""
COMPRESSED = (b"CM ", b"CM2", b"CM3")
MOST_NUMBERS = 1 << 28
"""largest size of an object"""
ENTRY = re.compile(r"(.*):(\d+)(\[[0-9:,]*\])?$")


def read_ark(path: Path) -> Iterator[tuple[str, Array]]:
    """The keys of an archive with their vectors or matrices.

    Raises DataError, with the position of the byte, for invalid content.
    """
    content = _content(path, str(path))
    offset = 0
    while offset < len(content):
        if content[offset : offset + 1] in b"\r\n\t ":  # text entries end with a line feed
            offset += 1
            continue
        ends = [end for end in (content.find(b, offset) for b in (b" ", b"\t")) if end > 0]
        name = _decoded(content[offset : min(ends)]) if ends else ""
        if not name or len(name) > 4096 or "\n" in name:
            raise DataError(f"{path}: byte {offset}: the name of a vector is expected here")
        array, offset = _object(content, min(ends) + 1, f"{path}: {name}")
        yield name, array


def read_scp(path: Path) -> Iterator[tuple[str, Array]]:
    """Like `read_ark`, for a list with lines ``NAME ARK:OFFSET``.

    A relative path of an archive is looked up in the working folder, then in the list's folder.
    """
    archives: dict[str, bytes] = {}
    for number, line in read_lines(path, "a list of vectors"):
        where = f"{path}:{number}"
        words = split_words(line, maxsplit=1)
        entry = ENTRY.fullmatch(words[-1])
        if len(words) != 2 or entry is None:
            raise DataError(f"{where}: a line should be `NAME ARK:OFFSET`, got {line!r:.80}")
        ark, offset, rows = entry.groups()
        if rows:
            raise DataError(f"{where}: selects rows {rows} of a matrix; write the vector itself")
        if ark not in archives:
            archive = Path(ark) if Path(ark).exists() else path.parent / Path(ark).name
            archives[ark] = _content(archive, where)
        yield words[0], _object(archives[ark], int(offset), where)[0]


def _content(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{where}: {path} cannot be read ({error.strerror})") from None


def _decoded(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return ""


def _object(content: bytes, offset: int, where: str) -> tuple[Array, int]:
    """The vector or matrix at an offset, and the offset after it."""
    if content[offset : offset + 2] != b"\0B":
        return _text(content, offset, where)
    token, begin = content[offset + 2 : offset + 5], offset + 5
    if token in PLAIN:
        kind, num_sizes = PLAIN[token]
        sizes = []
        for _ in range(num_sizes):
            if content[begin : begin + 1] != b"\4":
                raise DataError(
                    f"{where}: byte {begin}: a size is expected here; the file is damaged"
                )
            sizes.append(_unpacked("<i", content, begin + 1, where)[0])
            begin += 5
        return _numbers(content, begin, tuple(sizes), kind, where)
    if token in COMPRESSED:
        begin += 0 if token == b"CM " else 1  # CM2 and CM3 are followed by a space
        return _compressed(content, begin, token, where)
    raise DataError(
        f"{where}: byte {offset}: {token!r} is not a vector of Kaldi; allowed: FV, DV, FM, DM, "
        "CM, CM2, CM3"
    )


def _unpacked(form: str, content: bytes, offset: int, where: str) -> tuple[Any, ...]:
    try:
        return struct.unpack_from(form, content, offset)
    except struct.error:
        raise DataError(f"{where}: is cut off at byte {len(content)}; copy it again") from None


def _numbers(
    content: bytes, begin: int, shape: tuple[int, ...], kind: str, where: str
) -> tuple[Array, int]:
    count = _check_shape(shape, where)
    end = begin + count * np.dtype(kind).itemsize
    if end > len(content):
        raise DataError(
            f"{where}: is cut off: {' x '.join(map(str, shape))} numbers need "
            f"{end - len(content):,} more bytes; copy it again"
        )
    return np.frombuffer(content, kind, count, begin).reshape(shape), end


def _check_shape(shape: tuple[int, ...], where: str) -> int:
    """The number of values of a shape; DataError for an impossible one."""
    count = int(np.prod([int(size) for size in shape], dtype=object))
    if min(shape) < 1 or count > MOST_NUMBERS:
        raise DataError(
            f"{where}: has the impossible size {' x '.join(map(str, shape))}; it is damaged"
        )
    return count


def _compressed(content: bytes, begin: int, token: bytes, where: str) -> tuple[Array, int]:
    """A compressed matrix (R, C), which begins with its lowest value, range and sizes."""
    least, span, rows, columns = _unpacked("<ffii", content, begin, where)
    begin += 16
    if token != b"CM ":
        kind, steps = ("<u2", 65535) if token == b"CM2" else ("u1", 255)
        codes, end = _numbers(content, begin, (rows, columns), kind, where)
        return np.float32(least) + np.float32(span / steps) * codes.astype(np.float32), end
    _check_shape((rows, columns), where)
    heads, begin = _numbers(content, begin, (columns, 4), "<u2", where)
    codes, end = _numbers(content, begin, (columns, rows), "u1", where)
    p0, p25, p75, p100 = (least + np.float32(span / 65535) * heads.astype(np.float32)).T[:, :, None]
    code = codes.astype(np.float32)
    low = p0 + (p25 - p0) * code / 64
    middle = p25 + (p75 - p25) * (code - 64) / 128
    high = p75 + (p100 - p75) * (code - 192) / 63
    return np.where(codes <= 64, low, np.where(codes <= 192, middle, high)).T, end


def _text(content: bytes, offset: int, where: str) -> tuple[Array, int]:
    """A vector, ``[ 1 2 3 ]``, or a matrix, with one line per row; values may be NaN."""
    opened = re.compile(rb"\s*\[").match(content, offset)
    closed = content.find(b"]", offset)
    if opened is None or closed < 0:
        raise DataError(
            f"{where}: byte {offset}: a binary vector of Kaldi or [ NUMBERS ] is expected here"
        )
    lines = [line.split() for line in content[opened.end() : closed].split(b"\n")]
    try:
        rows = [[float(word) for word in line] for line in lines if line]
        array = np.array(rows[0] if len(rows) == 1 else rows, dtype=np.float32)
    except (ValueError, IndexError):
        raise DataError(f"{where}: byte {offset}: contains something other than numbers") from None
    return array, closed + 1
