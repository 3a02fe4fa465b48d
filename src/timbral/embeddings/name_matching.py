"""Match names of recordings that tools write differently: paths with or without suffix, or ids."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.io.types import Ints

__all__ = ["match_loosely", "without_suffix"]

SUFFIX = r"\.(3gp|[A-Za-z][A-Za-z0-9]{1,4})$"
"""suffix of an audio file; ids of utterances have none, or end in a number"""
FOLDERS = r"^.*/"


def without_suffix(names: pa.Array) -> pa.Array:
    """Names without the suffix of an audio file."""
    return pc.replace_substring_regex(names, SUFFIX, "")


def match_loosely(names: pa.Array, known: pa.Array) -> Ints:
    """The row of each of `names` (K,) in `known` (N,), ignoring differences in spelling.

    Suffixes are ignored, and so are folders if one of two names has none, as ids do. The row is -1
    for a name that matches nothing, or that is ambiguous on either side.
    """
    rows = _match_unique(without_suffix(names), without_suffix(known))
    for of_names, of_known in ((_id_alone, _without_folders), (_without_folders, _id_alone)):
        unmatched = np.flatnonzero(rows < 0)
        if unmatched.size:
            found = _match_unique(of_names(names.take(pa.array(unmatched))), of_known(known))
            rows[unmatched] = found
    return rows


def _id_alone(names: pa.Array) -> pa.Array:
    """Names without a folder, without their suffixes; others become null."""
    return pc.if_else(pc.match_substring(names, "/"), None, without_suffix(names))


def _without_folders(names: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(without_suffix(names), FOLDERS, "")


def _match_unique(names: pa.Array, known: pa.Array) -> Ints:
    """The row of each name in `known`; -1 for null, and for names that either side has twice."""
    rows = pc.index_in(names, value_set=known, skip_nulls=True)
    found = np.asarray(pc.fill_null(rows, -1), dtype=np.int64)
    for each in (names, known):
        counts = pc.value_counts(each.drop_null())
        twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        if len(twice):
            found[np.asarray(pc.fill_null(pc.is_in(names, value_set=twice), False))] = -1
    return found
