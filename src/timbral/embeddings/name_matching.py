"""Names of one recording as several tools write them: with a suffix, without, or an id alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.io.types import Ints

__all__ = ["match_loosely", "without_suffix"]

SUFFIX = r"\.(3gp|[A-Za-z][A-Za-z0-9]{1,4})$"
"""of a file of audio: ids of utterances have none, or end in a number"""
FOLDERS = r"^.*/"
_Reading: TypeAlias = Callable[[pa.Array], pa.Array]


def without_suffix(names: pa.Array) -> pa.Array:
    """Names without what looks like the suffix of a recording."""
    return pc.replace_substring_regex(names, SUFFIX, "")


def match_loosely(names: pa.Array, known: pa.Array) -> Ints:
    """The row of each of `names` (K,) among `known` (N,), the same but for how it is written.

    Suffixes do not count; nor do folders where one side has none, as ids of utterances have none.
    What could be several, on either side, is -1, as is what matches nothing.
    """
    rows = _match_unique(without_suffix(names), without_suffix(known))
    for of_names, of_known in ((_id_alone, _without_folders), (_without_folders, _id_alone)):
        left = np.flatnonzero(rows < 0)
        if left.size:
            found = _match_unique(of_names(names.take(pa.array(left))), of_known(known))
            rows[left] = found
    return rows


def _id_alone(names: pa.Array) -> pa.Array:
    """Names that have no folder, without suffixes; others are null."""
    return pc.if_else(pc.match_substring(names, "/"), None, without_suffix(names))


def _without_folders(names: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(without_suffix(names), FOLDERS, "")


def _match_unique(names: pa.Array, known: pa.Array) -> Ints:
    """The row of each name among `known`; -1 for null, and where either side has it twice."""
    rows = pc.index_in(names, value_set=known, skip_nulls=True)
    found = np.asarray(pc.fill_null(rows, -1), dtype=np.int64)
    for each in (names, known):
        counts = pc.value_counts(each.drop_null())
        twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        if len(twice):
            found[np.asarray(pc.fill_null(pc.is_in(names, value_set=twice), False))] = -1
    return found
