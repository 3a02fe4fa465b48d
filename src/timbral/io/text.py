"""Read text lists: lines and words as their writers meant them.

A byte-order mark and carriage returns (from Windows) are ignored. Lines end at line feeds and words
at ASCII blanks, as in Kaldi: Python's own splitting would also break names at an ideographic space,
a no-break space or U+2028.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from timbral.errors import DataError

__all__ = ["BLANKS", "is_utf8", "open_text", "read_lines", "split_columns", "split_words"]

BLANKS = " \t\r"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a file of UTF-8 with or without a byte-order mark; line ends stay as they are.

    Bytes that are not UTF-8 become lone surrogates, so that only the used parts of the file must be
    UTF-8. Raises DataError for UTF-16; OSError if the file cannot be opened.
    """
    with open(path, "rb") as file:
        if file.read(2) in UTF_16_MARKS:
            raise DataError(f"{path}: is UTF-16; save it as UTF-8")
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        yield text


def read_lines(path: Path, content: str) -> list[tuple[int, str]]:
    """The nonblank lines with their numbers from 1, without blanks at both ends.

    content: the kind of file, with its article, for errors.

    Raises DataError if the file cannot be read, or a line is not UTF-8 or contains a NUL.
    """
    try:
        with open_text(path) as file:
            text = file.read().replace("\r\n", "\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read as {content} ({error.strerror})") from None
    separator = "\n" if "\n" in text else "\r"  # text files of the old Mac OS have only these
    lines = []
    for number, line in enumerate(text.split(separator), start=1):
        if not line.isascii() and not is_utf8(line):
            raise DataError(f"{path}:{number}: is not UTF-8; save the file as UTF-8")
        if "\0" in line:
            raise DataError(f"{path}:{number}: contains a NUL character; remove it")
        if stripped := line.strip(BLANKS):
            lines.append((number, stripped))
    return lines


def split_words(line: str, maxsplit: int = 0) -> list[str]:
    """The words of a line, at most `maxsplit` + 1 of them unless that is 0."""
    return re.split(f"[{BLANKS}]+", line.strip(BLANKS), maxsplit=maxsplit)


def split_columns(line: str) -> list[str]:
    """The words of a line between its tabs, or between blanks if it has no tabs or an empty column.

    Between tabs a word may contain spaces.
    """
    words = [word.strip(BLANKS) for word in line.split("\t")]
    return words if len(words) > 1 and all(words) else split_words(line)


def is_utf8(text: str) -> bool:
    """Whether a text can be written as UTF-8: it has no undecoded bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
