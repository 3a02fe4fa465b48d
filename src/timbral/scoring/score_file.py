"""Files of scored trials: ``score label path path``, or ``path path score`` without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from timbral.errors import DataError
from timbral.io.files import atomic_write
from timbral.io.types import Floats, Vectors
from timbral.scoring.trial_list import LABELS, UNKNOWN, TrialList, read_columns, to_trials

__all__ = ["SCORES", "ScoredList", "read_scores", "write_scores"]

SCORES = "scores.txt"
"""in the folder of an evaluation"""
FORMS = "`score label path path`, `label path path score` or `path path score`"
SIX_DECIMALS = pa.decimal128(24, 6)
LARGEST_TABLED = 100
"""score; those of log-likelihood ratios may be larger, or infinite"""
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
    ends = (delimiter, "\n" if labeled else delimiter)
    sides = [pc.binary_join_element_wise(names, end, "") for end in ends]
    behind = [f"{delimiter}{label}{delimiter}" for label in (0, 1)] if labeled else ["\n"]
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        for start in range(0, len(trials), ROWS):
            rows = slice(start, start + ROWS)
            both = zip(sides, (trials.first, trials.second), strict=True)
            words = [side.take(pa.array(each[rows])) for side, each in both]
            kinds = trials.labels[rows] if labeled else np.zeros(len(words[0]), dtype=np.int8)
            score = _six_decimals(scores[rows].astype(np.float64), behind, kinds)
            words = [*score, *words] if labeled else [*words, *score]
            lines = pc.binary_join_element_wise(*words, "")
            bounds = np.frombuffer(lines.buffers()[1], np.int32)[[0, len(lines)]]
            file.write(memoryview(lines.buffers()[2])[slice(*bounds.tolist())])


def _six_decimals(scores: Floats, behind: Sequence[str], kinds: NDArray[np.int8]) -> list[pa.Array]:
    """Scores (N,) with six decimals, and what stands behind each by its kind (N,), in two pieces.

    The pieces are looked up in tables of all numbers of three digits, which is faster than to
    write digits.
    """
    millionths = np.rint(scores * 1e6)
    if not np.abs(millionths).max(initial=0.0) < LARGEST_TABLED * 1e6:
        texts = pa.array(scores).cast(SIX_DECIMALS, safe=False).cast(pa.string())
        return [texts, pa.array(behind).take(pa.array(kinds))]
    upper, lower = np.divmod(np.abs(millionths).astype(np.int64), 1000)
    count = int(upper.max(initial=0)) + 1
    digits = [f"{number // 1000}.{number % 1000:03d}" for number in range(count)]
    heads = pa.array([*digits, *(f"-{number}" for number in digits)])
    tails = pa.array([f"{number:03d}{end}" for end in behind for number in range(1000)])
    return [
        heads.take(pa.array(upper + np.where(millionths < 0, count, 0))),
        tails.take(pa.array(lower + 1000 * kinds.astype(np.int64))),
    ]


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
