"""Log-likelihood ratios of a list's trials, by a Calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from timbral.calibration.calibration import Calibration
from timbral.calibration.conditions import MAX_SNR_DB, Conditions
from timbral.embeddings.named_vectors import NamedVectors
from timbral.embeddings.vectors import unit_length
from timbral.errors import DataError
from timbral.io.types import Floats, Ints, Vectors
from timbral.scoring.enrollment import NamedRecordings
from timbral.scoring.pairs import pair_cosines
from timbral.scoring.trial_list import TrialList

__all__ = [
    "CalibratedScores",
    "calibrated_scores",
    "check_vectors",
    "conditions_of",
    "identity_of",
    "lacks_measures",
]

ROWS = 2**16
"""trials per block, which fits in the processor's cache"""
LEAST_LEFT = 1 / 16
"""fraction of a vector's squared length outside the directions, below which cosines are computed
without the shortcut"""
Rows: TypeAlias = NDArray[np.integer[Any]]
MEASURES = ("speech_seconds", "bandwidth_hz")
"""columns of every measured recording; `snr_db` may be null, for a recording without pauses"""


@dataclass(frozen=True)
class CalibratedScores:
    """Log-likelihood ratios of N trials."""

    llrs: Vectors
    """(N,) natural logarithms, not clipped to `limits`; to be compared with Bayes' thresholds"""
    limits: tuple[float, float]
    """lowest and highest llr that the data of the calibration support"""
    description: str
    """what the calibration was fitted on"""
    num_outside: int
    """trials with a recording below the ranges of the calibration's data"""

    @property
    def limited_llrs(self) -> Vectors:
        """The llrs (N,) clipped to `limits`, as `verify` reports them."""
        return np.asarray(np.clip(self.llrs, *self.limits))


def check_vectors(
    calibration: Calibration, table: NamedVectors, vectors: object, source: str = ""
) -> None:
    """Raise DataError for vectors of other or unknown weights or preprocessing.

    Files of other tools do not say what their vectors were made with.
    """
    weights, prepared = identity_of(table, vectors)
    if calibration.embedding_sha256 and not prepared:
        raise _unknown_encoder(vectors)
    calibration.check_encoder(weights, prepared, source)


def identity_of(table: NamedVectors, vectors: object) -> tuple[str, str]:
    """The hash of the vectors' weights, and that of their preprocessing and windows.

    The second is empty for vectors of other tools, where the hash of the weights stands for both.
    Raises DataError for vectors of unknown weights, or preprocessed in several ways.
    """
    column = table.columns.get("embedding_sha256")
    identities = [] if column is None else pc.unique(column.drop_null()).to_pylist()
    if not table.weights_sha256 or len(identities) > 1:
        raise _unknown_encoder(vectors)
    return table.weights_sha256, str(identities[0]) if identities else ""


def _unknown_encoder(vectors: object) -> DataError:
    return DataError(
        f"{vectors}: does not say which weights and preprocessing its vectors were made with, as "
        "a folder of `embed` does. A calibration is for one encoder; `timbral import-embeddings` "
        "gives vectors of other tools a name and a hash"
    )


def lacks_measures(calibration: Calibration, table: NamedVectors, rows: Ints) -> str:
    """Why the calibration cannot be applied to vectors (R,): missing measures; else empty."""
    if not calibration.uses_conditions or _are_measured(table, rows[rows >= 0]):
        return ""
    return (
        "the calibration needs speech, bandwidth and noise of all recordings, but the table of "
        "vectors lacks these columns (older versions of timbral and other tools do not write "
        "them); embed into a new folder"
    )


def _are_measured(table: NamedVectors, rows: Ints) -> bool:
    taken = pa.array(rows)
    columns = [table.columns.get(name) for name in MEASURES]
    return all(column is not None and not column.take(taken).null_count for column in columns)


def conditions_of(table: NamedVectors, rows: Ints) -> Conditions | None:
    """Conditions of recordings (R,) from the vectors' table; None if any are missing."""
    return _measures(table, rows, np.arange(len(rows))) if _are_measured(table, rows) else None


def calibrated_scores(
    trials: TrialList,
    recordings: NamedRecordings,
    table: NamedVectors,
    rows: Ints,
    calibration: Calibration,
    cosines: Vectors,
) -> CalibratedScores:
    """The llr of each trial.

    Args:
        trials: N trials over K names
        recordings: the R recordings of these names; a model's vectors are averaged
        table: the vectors, with the columns that `lacks_measures` checks
        rows: (R,) row of each recording's vector; names with -1 are in no trial
        calibration: for the encoder of these vectors
        cosines: (N,) of the trials, before the calibration's directions are removed
    """
    rows = np.maximum(rows, 0)
    starts = recordings.starts[:-1]
    if calibration.nuisance:
        unit = unit_length(table.vectors)[rows]
        if not recordings.are_single:
            unit = unit_length(np.add.reduceat(unit, starts))
        cosines = compensated_cosines(cosines, trials.first, trials.second, unit, calibration)
    if not calibration.uses_conditions:
        offset, scale = calibration.offset[0], calibration.scale[0]
        llrs = np.asarray(offset + scale * cosines.astype(np.float64), dtype=np.float32)
        return CalibratedScores(llrs, calibration.limits, calibration.fitted_on.description, 0)
    conditions = _measures(table, rows, starts)  # of all recordings of a name
    measures = calibration.measures(conditions)
    llrs = np.empty(len(cosines), dtype=np.float32)
    for start in range(0, len(cosines), ROWS):
        block = slice(start, start + ROWS)
        sides = (measures.take(side[block], axis=0) for side in (trials.first, trials.second))
        offset, scale = calibration.lines(*sides).T
        llrs[block] = offset + scale * cosines[block]
    outside = _count_outside(conditions, calibration, trials)
    return CalibratedScores(llrs, calibration.limits, calibration.fitted_on.description, outside)


def compensated_cosines(
    cosines: Vectors, first: Rows, second: Rows, unit: Vectors, calibration: Calibration
) -> Vectors:
    """The cosines (N,) of pairs without the nuisance directions of a calibration.

    Unit vectors a and b with the components p and q along the directions then have the cosine
    (a · b - p · q) / √((1 - p · p) (1 - q · q)): a · b is known, and p and q have few numbers.

    Args:
        cosines: (N,) of the pairs
        first, second: (N,) rows of both
        unit: (K, E) at unit length
        calibration: with directions (D, E)
    """
    parts = calibration.parts(unit)
    left = 1.0 - np.einsum("ij,ij->i", parts, parts)
    if left.min() < LEAST_LEFT:  # rounding errors would grow
        return pair_cosines(
            calibration.compensate(unit), *(np.asarray(side, np.int64) for side in (first, second))
        )
    scaled = np.concatenate((np.ones((len(parts), 1), np.float32), parts), axis=1)
    scaled /= np.sqrt(left)[:, None]
    compensated = np.empty_like(cosines)
    for start in range(0, len(cosines), ROWS):
        block = slice(start, start + ROWS)
        one, other = (scaled.take(side[block], axis=0) for side in (first, second))
        lengths = one[:, 0] * other[:, 0]
        compensated[block] = cosines[block] * lengths - np.einsum(
            "ij,ij->i", one[:, 1:], other[:, 1:]
        )
    return compensated


def _count_outside(conditions: Conditions, calibration: Calibration, trials: TrialList) -> int:
    """Number of trials with a name whose conditions (K,) are below the calibration's ranges."""
    below = calibration.ranges.below(conditions)
    return int(np.count_nonzero(below[trials.first] | below[trials.second]))


def _measures(table: NamedVectors, rows: Ints, starts: Ints) -> Conditions:
    """Conditions of each name (K,): total speech, lowest bandwidth and SNR of its recordings."""
    speech, bandwidth, snr = (_numbers(table, name, rows) for name in (*MEASURES, "snr_db"))
    each = Conditions.within_limits(speech, bandwidth, np.where(np.isnan(snr), MAX_SNR_DB, snr))
    return Conditions(
        np.add.reduceat(each.speech_seconds, starts),
        np.minimum.reduceat(each.bandwidth_hz, starts),
        np.minimum.reduceat(each.snr_db, starts),
    )


def _numbers(table: NamedVectors, name: str, rows: Ints) -> Floats:
    """A column's numbers for recordings (R,); NaN where missing."""
    column = table.columns.get(name)
    if column is None:
        return np.full(len(rows), np.nan)
    try:
        numbers = column.cast(pa.float64()).fill_null(np.nan)
    except pa.ArrowException:
        raise DataError(
            f"the column {name} of the table of vectors should contain numbers"
        ) from None
    return np.asarray(numbers, dtype=np.float64)[rows]
