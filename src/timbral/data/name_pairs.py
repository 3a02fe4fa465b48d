"""Files of lines ``NAME VALUE``: utt2spk, wav.scp, and whatever else Kaldi says of utterances."""

from __future__ import annotations

from pathlib import Path

from timbral.errors import DataError
from timbral.io.text import read_lines, split_words

__all__ = ["read_pairs"]


def read_pairs(path: Path, content: str) -> dict[str, str]:
    """The value of each name; the value is the rest of the line.

    content: the kind of file, with its article, for errors.

    Raises DataError if it cannot be read, for a line without a value, and for a repeated name.
    """
    pairs: dict[str, str] = {}
    for number, line in read_lines(path, content):
        words = line.split("\t") if line.count("\t") == 1 else split_words(line, maxsplit=1)
        if len(words) != 2 or not words[0]:
            raise DataError(
                f"{path}:{number}: {content} should have lines `NAME VALUE`, got {line!r:.80}"
            )
        if words[0] in pairs:
            raise DataError(f"{path}:{number}: {words[0]} occurs a second time")
        pairs[words[0]] = words[1]
    return pairs
