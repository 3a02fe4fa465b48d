"""Files of lines ``NAME VALUE``, as in Kaldi: utt2spk, wav.scp and others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from timbral.errors import DataError
from timbral.io.text import read_lines, split_words

__all__ = ["named_lines", "read_pairs"]


def read_pairs(path: Path, content: str, *, single_words: bool = False) -> dict[str, str]:
    """The value of each name: the rest of its line.

    content: the kind of file, with its article, for errors. single_words: refuse values with
    blanks in lines without a tab, as a list of trials would have.

    Raises DataError if it cannot be read, for a line without a value, and for a repeated name.
    """
    pairs: dict[str, str] = {}
    for number, line in read_lines(path, content):
        words = (
            line.split("\t")
            if line.count("\t") == 1
            else split_words(line, 0 if single_words else 1)
        )
        if len(words) != 2 or not words[0]:
            raise DataError(
                f"{path}:{number}: {content} should have lines `NAME VALUE`, got {line!r:.80}"
            )
        if words[0] in pairs:
            raise DataError(f"{path}:{number}: {words[0]} occurs a second time")
        pairs[words[0]] = words[1]
    return pairs


def named_lines(path: Path, content: str) -> Iterator[tuple[str, str, str]]:
    """``FILE:LINE``, name and value of each line; the value is empty if the line has only a name.

    content: as for `read_pairs`.

    Raises DataError if the file cannot be read, or a name has two values.
    """
    names: set[str] = set()
    for number, line in read_lines(path, content):
        where = f"{path}:{number}"
        name, *value = split_words(line, maxsplit=1)
        if name in names:
            raise DataError(f"{where}: {name!r} occurs more than once; keep one of its lines")
        if value:
            names.add(name)
        yield where, name, value[0] if value else ""
