"""What a Calibration makes of the trials of a list: log-likelihood ratios instead of cosines."""

from __future__ import annotations

from dataclasses import dataclass, fields
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
"""trials at one time, in the cache"""
LEAST_LEFT = 1 / 16
"""of a vector's squared length, without the directions"""
Rows: TypeAlias = NDArray[np.integer[Any]]
MEASURES = ("speech_seconds", "bandwidth_hz")
"""columns that every recording has which was measured; `snr_db` is missing without a pause"""


@dataclass(frozen=True)
class CalibratedScores:
    """Log-likelihood ratios of N trials."""

    llrs: Vectors
    """(N,) natural logarithms, without `limits`: what Bayes' thresholds are compared with"""
    limits: tuple[float, float]
    """lowest and highest llr that the data of the calibration support"""
    description: str
    """of the calibration: what it was fitted on"""
    num_outside: int
    """trials of a recording below the ranges of the calibration's data"""

    @property
    def limited_llrs(self) -> Vectors:
        """The llrs (N,) within `limits`, as `verify` reports them."""
        return np.asarray(np.clip(self.llrs, *self.limits))


def check_vectors(
    calibration: Calibration, found: NamedVectors, vectors: object, source: str = ""
) -> None:
    """DataError when vectors are not those of the calibration's weights and preprocessing.

    Vectors that do not say which weights they are of, as other tools' files do, are refused, too.
    """
    weights, prepared = identity_of(found, vectors)
    if calibration.embedding_sha256 and not prepared:
        raise _of_no_encoder(vectors)
    calibration.check_encoder(weights, prepared, source)


def identity_of(found: NamedVectors, vectors: object) -> tuple[str, str]:
    """The hash of the vectors' weights, and that of preprocessing and windows, maybe empty.

    It is empty for vectors of other tools, where the hash of the weights stands for both. Raises
    DataError for vectors that do not say which weights they are of, or are prepared in two ways.
    """
    prepared = found.columns.get("embedding_sha256")
    identities = [] if prepared is None else pc.unique(prepared.drop_null()).to_pylist()
    if not found.weights_sha256 or len(identities) > 1:
        raise _of_no_encoder(vectors)
    return found.weights_sha256, str(identities[0]) if identities else ""


def _of_no_encoder(vectors: object) -> DataError:
    return DataError(
        f"{vectors}: does not say which weights and preprocessing its vectors were made with, as "
        "a folder of `embed` does. A calibration is for one encoder; `timbral import-embeddings` "
        "gives vectors of other tools a name and a hash"
    )


def lacks_measures(calibration: Calibration, found: NamedVectors, rows: Ints) -> str:
    """Why the calibration cannot be applied to vectors (R,) for want of measures; else empty."""
    if not calibration.uses_conditions or _are_measured(found, rows[rows >= 0]):
        return ""
    return (
        "the calibration needs speech, bandwidth and noise of all recordings, but the table of "
        "vectors lacks these columns (older versions of timbral and other tools do not write "
        "them); embed into a new folder"
    )


def _are_measured(found: NamedVectors, rows: Ints) -> bool:
    taken = pa.array(rows)
    columns = [found.columns.get(name) for name in MEASURES]
    return all(column is not None and not column.take(taken).null_count for column in columns)


def conditions_of(found: NamedVectors, rows: Ints) -> Conditions | None:
    """Those of recordings (R,), as the vectors' table has them; None where it has not all."""
    return _measures(found, rows, np.arange(len(rows))) if _are_measured(found, rows) else None


def calibrated_scores(
    trials: TrialList,
    recordings: NamedRecordings,
    found: NamedVectors,
    rows: Ints,
    calibration: Calibration,
    cosines: Vectors,
) -> CalibratedScores:
    """The llr of each trial.

    Args:
        trials: N trials over K names
        recordings: of these names, R of them; a model's are one side, their vectors averaged
        found: the vectors, with the columns that `lacks_measures` looks for
        rows: (R,) the vector of each recording; names with a -1 are in no trial
        calibration: of the encoder of these vectors
        cosines: (N,) of the trials' vectors as they are
    """
    rows = np.maximum(rows, 0)
    starts = recordings.starts[:-1]
    if calibration.nuisance:
        unit = unit_length(found.vectors)[rows]
        if not recordings.are_single:
            unit = unit_length(np.add.reduceat(unit, starts))
        cosines = compensated_cosines(cosines, trials.first, trials.second, unit, calibration)
    if not calibration.uses_conditions:
        offset, scale = calibration.offset[0], calibration.scale[0]
        llrs = np.asarray(offset + scale * cosines.astype(np.float64), dtype=np.float32)
        return CalibratedScores(llrs, calibration.limits, calibration.fitted_on.description, 0)
    conditions = _measures(found, rows, starts)  # all speech of a name, and its worst line
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
    """The cosines (N,) of pairs without the directions of a calibration.

    What is left of unit vectors a and b without the parts p and q along the directions has the
    cosine (a · b - p · q) / √((1 - p · p) (1 - q · q)): a · b is known, and p and q are short.

    Args:
        cosines: (N,) of the pairs
        first, second: (N,) rows of both
        unit: (K, E) at unit length
        calibration: with directions (D, E)
    """
    parts = calibration.parts(unit)
    left = 1.0 - np.einsum("ij,ij->i", parts, parts)
    if left.min() < LEAST_LEFT:  # rounding would grow
        return pair_cosines(
            calibration.compensate(unit), *(np.asarray(side, np.int64) for side in (first, second))
        )
    scaled = np.concatenate((np.ones((len(parts), 1), np.float32), parts), axis=1)
    scaled /= np.sqrt(left)[:, None]
    found = np.empty_like(cosines)
    for start in range(0, len(cosines), ROWS):
        block = slice(start, start + ROWS)
        one, other = (scaled.take(side[block], axis=0) for side in (first, second))
        lengths = one[:, 0] * other[:, 0]
        found[block] = cosines[block] * lengths - np.einsum("ij,ij->i", one[:, 1:], other[:, 1:])
    return found


def _count_outside(conditions: Conditions, calibration: Calibration, trials: TrialList) -> int:
    """Trials of a name whose conditions (K,) are below the ranges of the calibration's data."""
    below = np.zeros(len(conditions.snr_db), dtype=bool)
    for each in fields(conditions):
        low, _ = getattr(calibration.ranges, each.name)
        below |= getattr(conditions, each.name) < low
    if not below.any():
        return 0
    return int(np.count_nonzero(below[trials.first] | below[trials.second]))


def _measures(found: NamedVectors, rows: Ints, starts: Ints) -> Conditions:
    speech, bandwidth, snr = (_numbers(found, name, rows) for name in (*MEASURES, "snr_db"))
    each = Conditions.within_limits(speech, bandwidth, np.where(np.isnan(snr), MAX_SNR_DB, snr))
    return Conditions(
        np.add.reduceat(each.speech_seconds, starts),
        np.minimum.reduceat(each.bandwidth_hz, starts),
        np.minimum.reduceat(each.snr_db, starts),
    )


def _numbers(found: NamedVectors, name: str, rows: Ints) -> Floats:
    """A column's numbers of recordings (R,); NaN where there is none."""
    column = found.columns.get(name)
    if column is None:
        return np.full(len(rows), np.nan)
    try:
        numbers = column.cast(pa.float64()).fill_null(np.nan)
    except pa.ArrowException:
        raise DataError(
            f"the column {name} of the table of vectors should contain numbers"
        ) from None
    return np.asarray(numbers, dtype=np.float64)[rows]
