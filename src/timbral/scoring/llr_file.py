"""Files of log-likelihood ratios: a list that other tools read, or a table with more columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.calibration.log_odds import log_odds, probability_of
from timbral.errors import DataError
from timbral.io.files import atomic_write
from timbral.io.outputs import FileKind
from timbral.io.types import Floats, Vectors
from timbral.scoring.calibrated_scores import CalibratedScores
from timbral.scoring.score_file import ScoredList, write_scores
from timbral.scoring.trial_list import UNKNOWN

__all__ = ["LLR_FILE", "LLR_TABLE", "is_table", "write_llrs"]

COLUMNS = ("first", "second", "label", "score", "llr", "probability")
HEADING = "\t".join(COLUMNS)
LLR_TABLE = FileKind("llrs of trials", line=HEADING)
LLR_FILE = FileKind("llrs of trials", line=r"\S.*[ \t]\S.*[ \t]-?\d+\.\d{6}")
ROWS = 2**16
"""trials per block"""


def is_table(path: Path) -> bool:
    """Whether a file gets all columns, by its suffix .tsv."""
    return path.suffix.lower() == ".tsv"


def write_llrs(path: Path, scored: ScoredList, calibrated: CalibratedScores, prior: float) -> None:
    """Write the llrs of trials.

    Lines ``path path llr``, natural logarithms not clipped to the calibration's limits: what
    Kaldi's and NIST's tools take, and what Bayes' thresholds are compared with. A .tsv has a
    heading and `COLUMNS`: the label (empty without one), the score, the same llr, and the
    probability of the same speaker at `prior`, from the clipped llr, as `verify` reports it.

    Raises DataError for a name that the file cannot contain.
    """
    if not is_table(path):
        write_scores(path, scored.trials, calibrated.llrs, "pair-first")
        return
    trials = scored.trials
    if pc.any(pc.match_substring_regex(trials.names, r"[\t\n\r]")).as_py():
        raise DataError("a name with a tab or a line break cannot be written")
    labels = pa.array(["0", "1", ""])
    odds = log_odds(prior)
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(f"{HEADING}\n")
        for start in range(0, len(trials), ROWS):
            rows = slice(start, start + ROWS)
            label = np.where(trials.labels[rows] == UNKNOWN, 2, trials.labels[rows])
            columns = [
                trials.names.take(pa.array(trials.first[rows])),
                trials.names.take(pa.array(trials.second[rows])),
                labels.take(pa.array(label)),
                _text(scored.scores[rows]),
                _text(calibrated.llrs[rows]),
                _text(probability_of(calibrated.limited_llrs[rows] + odds)),
            ]
            lines = pc.binary_join_element_wise(*columns, "\t")
            file.write("\n".join(lines.to_pylist()) + "\n")


def _text(numbers: Floats | Vectors) -> pa.Array:
    """Numbers (N,) as text with six decimals."""
    values = pa.array(np.asarray(numbers, dtype=np.float64))
    return values.cast(pa.decimal128(24, 6), safe=False).cast(pa.string())
