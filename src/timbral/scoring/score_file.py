"""Files of scored trials: ``score label path path``, or ``path path score`` without labels."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from timbral.errors import DataError
from timbral.io.files import atomic_write
from timbral.io.types import Floats, Vectors
from timbral.scoring.trial_list import LABELS, UNKNOWN, TrialList, read_columns, to_trials

__all__ = ["ORDERS", "SCORES", "ScoredList", "read_scores", "scores_file", "write_scores"]

SCORES = "scores.txt"
"""file in the folder of an evaluation"""
FORMS = (
    "`score label path path`, `label path path score`, `path path score label`, "
    "`path path label score` or `path path score`"
)
ORDERS = ("score-first", "pair-first")
"""orders of a line's columns; only the first includes labels, if they are known"""
SIX_DECIMALS = pa.decimal128(24, 6)
LARGEST_TABLED = 100
"""scores below this are formatted from tables; log-likelihood ratios may be larger, or infinite"""
PROBED_SCORES = 100
"""different words of a column to try as numbers"""
ROWS = 2**16
"""lines per block: few, so that they stay in the processor's cache"""


@dataclass(frozen=True)
class ScoredList:
    """N trials and their scores (N,)."""

    trials: TrialList
    scores: Floats | Vectors


def write_scores(
    path: Path, trials: TrialList, scores: Vectors | Floats, order: str = "score-first"
) -> None:
    """Write lines ``score label path path``, or ``path path score`` for trials without labels.

    The `order` ``pair-first`` always gives ``path path score``, as Kaldi's tools expect.

    Columns are separated by tabs if a name contains blanks, else by blanks. Raises DataError for a
    name that the file cannot contain.
    """
    names = trials.names
    if pc.any(pc.match_substring_regex(names, r"[\t\n\r]|^ | $|^$")).as_py():
        raise DataError(
            "a name that contains a tab or a line break, or begins or ends with a "
            "space, cannot be written"
        )
    delimiter = "\t" if pc.any(pc.match_substring(names, " ")).as_py() else " "
    labeled = order == ORDERS[0] and bool((trials.labels != UNKNOWN).all())
    ends = (delimiter, "\n" if labeled else delimiter)
    sides = [pc.binary_join_element_wise(names, end, "") for end in ends]
    suffixes = [f"{delimiter}{label}{delimiter}" for label in (0, 1)] if labeled else ["\n"]
    digits = _digit_tables(scores, suffixes)
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        lines = _LineWriter(file)
        for start in range(0, len(trials), ROWS):
            rows = slice(start, start + ROWS)
            words = list(zip(sides, (trials.first[rows], trials.second[rows]), strict=True))
            kinds = trials.labels[rows] if labeled else np.zeros(len(words[0][1]), dtype=np.int8)
            score = _six_decimals(scores[rows].astype(np.float64), digits, suffixes, kinds)
            lines.write([*score, *words] if labeled else [*words, *score])


_Column: TypeAlias = tuple[pa.Array, NDArray[Any]]
"""different texts (K,), and the index of each line's text (N,)"""


class _LineWriter:
    """Writes lines composed of texts from tables.

    All texts of a block of lines are taken from one table at once, in their order in the file:
    Arrow's buffer is then the file's content, and nothing is joined.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._tables: list[pa.Array] = []
        self._table, self._starts = pa.array([], pa.string()), np.zeros(1, np.int64)

    def write(self, columns: Sequence[_Column]) -> None:
        """Write N lines, each the concatenation of its texts in all columns."""
        tables = [texts for texts, _ in columns]
        known = len(tables) == len(self._tables)
        if not (known and all(map(operator.is_, tables, self._tables))):
            self._tables, self._table = tables, pa.concat_arrays(tables)
            self._starts = np.cumsum([0, *map(len, tables)])
        places = np.empty((len(columns[0][1]), len(columns)), dtype=np.int32)
        for number, (_, rows) in enumerate(columns):
            np.add(rows, self._starts[number], out=places[:, number], casting="unsafe")
        lines = self._table.take(pa.array(places.ravel()))
        _, bounds, content = lines.buffers()
        self._file.write(memoryview(content)[: np.frombuffer(bounds, np.int32)[len(lines)]])


def _digit_tables(
    scores: Vectors | Floats, suffixes: Sequence[str]
) -> tuple[pa.Array, pa.Array] | None:
    """Texts to compose scores (N,) from; None if the scores are too large for tables.

    The first table has the numbers up to the largest score with three decimals, then the same with
    a minus sign; the second has three more decimals, with each suffix.
    """
    largest = float(np.abs(scores).max(initial=0.0))
    if not np.rint(largest * 1e6) < LARGEST_TABLED * 1e6:
        return None
    numbers = range(int(np.rint(largest * 1e6)) // 1000 + 1)
    heads = [f"{number // 1000}.{number % 1000:03d}" for number in numbers]
    tails = [f"{number:03d}{end}" for end in suffixes for number in range(1000)]
    return pa.array([*heads, *(f"-{head}" for head in heads)]), pa.array(tails)


def _six_decimals(
    scores: Floats,
    digits: tuple[pa.Array, pa.Array] | None,
    suffixes: Sequence[str],
    kinds: NDArray[np.int8],
) -> list[_Column]:
    """Scores (N,) with six decimals, each with the suffix of its kind (N,), as two columns.

    Both are looked up in the tables of `_digit_tables`, which is faster than formatting numbers.
    """
    if digits is None:
        texts = pa.array(scores).cast(SIX_DECIMALS, safe=False).cast(pa.string())
        return [(texts, np.arange(len(scores))), (pa.array(suffixes), kinds)]
    heads, tails = digits
    millionths = np.rint(scores * 1e6)
    upper, lower = np.divmod(np.abs(millionths).astype(np.int32), np.int32(1000))
    upper += np.where(millionths < 0, np.int32(len(heads) // 2), np.int32(0))
    return [(heads, upper), (tails, lower + 1000 * kinds.astype(np.int32))]


def scores_file(path: str | Path) -> Path:
    """The file of scores: the path itself, or scores.txt of a folder."""
    return Path(path) / SCORES if Path(path).is_dir() else Path(path)


def _no_scores(path: Path) -> DataError:
    """The error for a path without scores, which may be a run with evaluations in it."""
    found = sorted([*path.glob(f"*/{SCORES}"), *path.glob(f"evaluation/*/{SCORES}")])
    if found:
        remedy = "did you mean " + " or ".join(str(each.parent) for each in found[:3]) + "?"
    else:
        remedy = "give scores that `timbral evaluate` or `timbral score` wrote, not an encoder"
    missing = f"the folder has no {SCORES}" if path.is_dir() else "no such file or folder"
    return DataError(f"{path}: {missing}; {remedy}")


def read_scores(path: str | Path) -> ScoredList:
    """Read a file of scores, or the scores.txt of a folder.

    Lines are ``score label path path``, ``label path path score``, ``path path score label``
    (WeSpeaker), ``path path label score`` (SpeechBrain) or ``path path score``. Raises DataError
    when the file cannot be read or a score is not a number.
    """
    given, path = Path(path), scores_file(path)
    if path.suffix == ".html":
        raise DataError(
            f"{path}: is a page; give its folder {path.parent}, which contains the scores"
        )
    if not path.exists():
        raise _no_scores(given)
    columns = read_columns(path, (3, 4), "a file of scores", FORMS)
    labels = None
    if len(columns) == 4:
        label_at, score_at = _order(columns)
        labels, score = columns[label_at], columns[score_at]
        columns = [each for at, each in enumerate(columns) if at not in (label_at, score_at)]
    else:
        score = columns.pop()
    if labels is not None and not set(labels.dictionary.to_pylist()) <= set(LABELS):
        odd = next(word for word in labels.dictionary.to_pylist() if word not in LABELS)
        raise DataError(
            f"{path}: {odd!r} is not a label (1, 0, target, nontarget); a line should be {FORMS}"
        )
    words = score.dictionary.to_pylist()
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError:
        odd = next(word for word in words if not _is_number(word))
        raise DataError(f"{path}: {odd!r} is not a score; a line should be {FORMS}") from None
    scores = values[score.indices.to_numpy()]
    trials = to_trials(labels, *columns)
    if (odd_rows := np.flatnonzero(np.isnan(scores))).size:
        one, other = (
            trials.names[int(side[odd_rows[0]])] for side in (trials.first, trials.second)
        )
        raise DataError(
            f"{path}: {odd_rows.size:,} of {len(scores):,} scores are NaN, the first that of "
            f"{one} with {other}; score these trials again, or remove their lines"
        )
    return ScoredList(trials, scores)


def _order(columns: Sequence[pa.DictionaryArray]) -> tuple[int, int]:
    """Positions of labels and scores in four columns; timbral's if none fits, for the error.

    A column of labels beside one of no scores is passed over, because scores can be 0 and 1, too.
    """
    fitting = [
        (label_at, score_at)
        for label_at, score_at in ((0, 3), (1, 0), (3, 2), (2, 3))
        if set(columns[label_at].dictionary.to_pylist()) <= set(LABELS)
    ]
    for label_at, score_at in fitting:
        if all(map(_is_number, columns[score_at].dictionary[:PROBED_SCORES].to_pylist())):
            return label_at, score_at
    return fitting[0] if fitting else (1, 0)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
