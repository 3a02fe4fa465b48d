"""Scores of millions of trials from vectors, in blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import torch

from timbral.embeddings.vectors import unit_length
from timbral.errors import DataError
from timbral.io.files import atomic_write
from timbral.io.types import Ints, Vectors
from timbral.scoring.trial_list import UNKNOWN, TrialList

__all__ = ["pair_cosines", "score_normalized", "write_scores"]

BLOCK = 4096
"""trials whose vectors are gathered at one time: they stay in the processor's cache"""
ROWS_PER_WRITE = 2**20


def pair_cosines(vectors: Vectors, first: Ints, second: Ints) -> Vectors:
    """Cosine of each pair of rows of `vectors` (K, E): `first`, `second` (N,) -> (N,)."""
    unit = torch.from_numpy(unit_length(vectors))
    left, right = (torch.from_numpy(np.asarray(rows, dtype=np.int64)) for rows in (first, second))
    cosines = torch.empty(len(left))
    for start in range(0, len(left), BLOCK):
        rows = slice(start, start + BLOCK)
        products = unit.index_select(0, left[rows])
        products *= unit.index_select(0, right[rows])
        torch.sum(products, dim=1, out=cosines[rows])
    return np.asarray(cosines.numpy())


def score_normalized(cosines: Vectors, first: Ints, second: Ints, statistics: Vectors) -> Vectors:
    """Adaptive s-norm of cosines (N,); `statistics` (K, 2) as `cohort_statistics` gives them."""
    normalized = np.empty_like(cosines)
    for start in range(0, len(cosines), ROWS_PER_WRITE):
        rows = slice(start, start + ROWS_PER_WRITE)
        sides = (statistics[first[rows]], statistics[second[rows]])
        z = [(cosines[rows] - side[:, 0]) / side[:, 1] for side in sides]
        normalized[rows] = (z[0] + z[1]) / 2
    return normalized


def write_scores(path: Path, trials: TrialList, scores: Vectors) -> None:
    """Write lines ``score label path path``, or ``path path score`` of trials without labels.

    Between tabs where a name holds blanks, else between blanks. Raises DataError for names that
    cannot stand in such a file.
    """
    names = trials.names
    if pc.any(pc.match_substring_regex(names, r"[\t\n\r]|^ | $|^$")).as_py():
        raise DataError("a name with a tab, a line break or a blank at an end cannot be written")
    delimiter = "\t" if pc.any(pc.match_substring(names, " ")).as_py() else " "
    options = pa.csv.WriteOptions(
        include_header=False, delimiter=delimiter, quoting_style="none", batch_size=65536
    )
    labeled = bool((trials.labels != UNKNOWN).all())
    columns = ["score", "label", "first", "second"] if labeled else ["first", "second", "score"]
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        for start in range(0, len(trials), ROWS_PER_WRITE):
            rows = slice(start, start + ROWS_PER_WRITE)
            table = pa.table(
                {
                    "score": np.round(scores[rows].astype(np.float64), 6),
                    "label": trials.labels[rows],
                    "first": names.take(pa.array(trials.first[rows])),
                    "second": names.take(pa.array(trials.second[rows])),
                }
            )
            pa.csv.write_csv(table.select(columns), file, options)
