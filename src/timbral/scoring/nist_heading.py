"""Read the heading of NIST's lists: ``modelid segmentid side``, in any order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from timbral.errors import DataError
from timbral.io.text import BLANKS, open_text, split_words

__all__ = ["HEADING", "SIDE", "check_sides", "has_heading", "is_heading", "without_heading"]

HEADING = ("modelid", "segmentid")
LABEL = "targettype"
SIDE = "side"


def is_heading(words: Sequence[str]) -> bool:
    """Whether the words of a first line name columns of models and segments."""
    return set(HEADING) <= set(words)


def has_heading(path: Path) -> bool:
    """Whether the first line is NIST's heading; a file that cannot be read has none."""
    try:
        with open_text(path) as file:
            return is_heading(split_words(file.readline().rstrip("\r\n")))
    except (OSError, DataError):
        return False


def without_heading(
    path: Path, columns: list[pa.DictionaryArray]
) -> tuple[pa.DictionaryArray | None, pa.DictionaryArray, pa.DictionaryArray]:
    """Labels (None if missing), models and segments, from columns that begin with their names.

    The sides of calls are dropped. Raises DataError for a recording with two sides, and for two
    columns of one name.
    """
    named: dict[str, pa.DictionaryArray] = {}
    for column in columns:
        name = column[0].as_py().strip(BLANKS)
        if name in named:
            raise DataError(f"{path}: two columns of its heading are called {name!r}; remove one")
        named[name] = column.slice(1).cast(pa.string()).dictionary_encode()
    segments = named[HEADING[1]]
    if SIDE in named:
        pairs = pa.table([segments.cast(pa.string()), named[SIDE].cast(pa.string())], ["0", "1"])
        distinct = pairs.group_by(["0", "1"]).aggregate([])
        check_sides(path, zip(*(column.to_pylist() for column in distinct.columns), strict=True))
    return named.get(LABEL), named[HEADING[0]], segments


def check_sides(path: Path, sides: Iterable[tuple[str, str]]) -> None:
    """Raise DataError for a recording with two sides, which has only one vector.

    `sides` are pairs (recording, side).
    """
    known: dict[str, str] = {}
    for recording, side in sides:
        if known.setdefault(recording, side) != side:
            raise DataError(
                f"{path}: contains two sides of {recording}, which has only one vector; write its "
                "channels as `RECORDING#channel=0` and `RECORDING#channel=1`, in a list without "
                "a heading"
            )
