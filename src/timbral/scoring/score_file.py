"""Files of scored trials: ``score label path path``, or ``path path score`` without labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.errors import DataError
from timbral.io.files import atomic_write
from timbral.io.types import Floats, Vectors
from timbral.scoring.trial_list import LABELS, UNKNOWN, TrialList, read_columns, to_trials

__all__ = ["SCORES", "ScoredList", "read_scores", "write_scores"]

SCORES = "scores.txt"
"""in the folder of an evaluation"""
FORMS = "`score label path path`, `label path path score` or `path path score`"
SIX_DECIMALS = pa.decimal128(24, 6)
ROWS = 2**20
"""lines that are put together at one time"""


@dataclass(frozen=True)
class ScoredList:
    """N trials and their scores (N,)."""

    trials: TrialList
    scores: Floats | Vectors


def write_scores(path: Path, trials: TrialList, scores: Vectors | Floats) -> None:
    """Write lines ``score label path path``, or ``path path score`` of trials without labels.

    Between tabs where a name holds blanks, else between blanks. Raises DataError for names that
    cannot stand in such a file.
    """
    names = trials.names
    if pc.any(pc.match_substring_regex(names, r"[\t\n\r]|^ | $|^$")).as_py():
        raise DataError("a name with a tab, a line break or a blank at an end cannot be written")
    delimiter = "\t" if pc.any(pc.match_substring(names, " ")).as_py() else " "
    labeled = bool((trials.labels != UNKNOWN).all())
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        for start in range(0, len(trials), ROWS):
            rows = slice(start, start + ROWS)
            values = pa.array(scores[rows].astype(np.float64)).cast(SIX_DECIMALS, safe=False)
            score, label = values.cast(pa.string()), pa.array(trials.labels[rows]).cast(pa.string())
            sides = [names.take(pa.array(each[rows])) for each in (trials.first, trials.second)]
            words = [score, label, *sides] if labeled else [*sides, score]
            lines = pc.binary_join_element_wise(*words, delimiter)
            file.write("\n".join([*lines.to_pylist(), ""]).encode())


def read_scores(path: str | Path) -> ScoredList:
    """Read scores of `write_scores` and of other tools, or the scores.txt of a folder.

    Lines are ``score label path path``, ``label path path score`` or ``path path score``. Raises
    DataError when the file cannot be read or a score is no number.
    """
    path = Path(path) / SCORES if Path(path).is_dir() else Path(path)
    columns = read_columns(path, (3, 4), "a file of scores", FORMS)
    words = set(LABELS)
    labels = None
    if len(columns) == 4 and set(columns[0].dictionary.to_pylist()) <= words:
        labels, *columns = columns
        score = columns.pop()
    elif len(columns) == 4:
        score, labels, *columns = columns
    else:
        score = columns.pop()
    if labels is not None and not set(labels.dictionary.to_pylist()) <= words:
        odd = next(word for word in labels.dictionary.to_pylist() if word not in words)
        raise DataError(f"{path}: {odd!r} is no label (1, 0, target, nontarget); a line is {FORMS}")
    try:
        values = np.array(score.dictionary.to_pylist(), dtype=np.float64)
    except ValueError as error:
        raise DataError(f"{path}: a score is no number ({error}); a line is {FORMS}") from None
    if np.isnan(values).any():
        raise DataError(f"{path}: a score is NaN")
    return ScoredList(to_trials(labels, *columns), values[score.indices.to_numpy()])
