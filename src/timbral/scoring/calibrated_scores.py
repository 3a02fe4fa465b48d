"""What a Calibration makes of the trials of a list: log-likelihood ratios instead of cosines."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.calibration.calibration import Calibration
from timbral.calibration.conditions import MAX_SNR_DB, Conditions
from timbral.embeddings.named_vectors import NamedVectors
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
MEASURES = ("speech_seconds", "bandwidth_hz")
"""columns that every recording has which was measured; `snr_db` is missing without a pause"""


@dataclass(frozen=True)
class CalibratedScores:
    """Log-likelihood ratios of N trials."""

    llrs: Vectors
    """(N,) natural logarithms, without `limits`: what Bayes' thresholds are compared with"""
    limits: tuple[float, float]
    """beyond which nothing was seen: an llr that is said ends there"""
    description: str
    """of the calibration: what it was fitted on"""
    num_outside: int
    """trials of a recording below the ranges of the calibration's data"""

    @property
    def said(self) -> Vectors:
        """The llrs (N,) as `verify` says them."""
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
        f"{vectors}: does not say of which weights and preprocessing its vectors are, as a folder "
        "that `embed` wrote does, and a calibration is of one encoder; other tools' vectors get a "
        "name and a hash by `timbral import-embeddings`"
    )


def lacks_measures(calibration: Calibration, found: NamedVectors, rows: Ints) -> str:
    """Why the calibration cannot be applied to vectors (R,) for want of measures; else empty."""
    if not calibration.uses_conditions or _are_measured(found, rows[rows >= 0]):
        return ""
    return (
        "the calibration takes speech, bandwidth and noise of the recordings into account, and "
        "the vectors' table has no such columns for all of them, as an older version of timbral "
        "and other tools write none; embed into a new folder"
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
) -> CalibratedScores:
    """The llr of each trial.

    Args:
        trials: N trials over K names
        recordings: of these names, R of them; a model's are one side, their vectors averaged
        found: the vectors, with the columns that `lacks_measures` looks for
        rows: (R,) the vector of each recording; names with a -1 are in no trial
        calibration: of the encoder of these vectors
    """
    rows = np.maximum(rows, 0)
    starts = recordings.starts[:-1]
    if recordings.are_single:
        sides = calibration.compensate(found.vectors)[rows]
    else:
        from timbral.embeddings.vectors import unit_length

        means = np.add.reduceat(unit_length(found.vectors)[rows], starts)
        sides = calibration.compensate(unit_length(means))
    cosines = pair_cosines(sides, trials.first.astype(np.int64), trials.second.astype(np.int64))
    conditions = _conditions(found, rows, starts, calibration)
    llrs = np.empty(len(cosines), dtype=np.float32)
    for start in range(0, len(cosines), ROWS):
        block = slice(start, start + ROWS)
        both = (conditions.rows(side[block]) for side in (trials.first, trials.second))
        llrs[block] = calibration.unlimited_llr(cosines[block], *both)
    below = np.zeros(len(starts), dtype=bool)
    if calibration.uses_conditions:
        for each in fields(conditions):
            low, _ = getattr(calibration.ranges, each.name)
            below |= getattr(conditions, each.name) < low
    outside = int(np.count_nonzero(below[trials.first] | below[trials.second]))
    return CalibratedScores(llrs, calibration.limits, calibration.fitted_on.description, outside)


def _conditions(
    found: NamedVectors, rows: Ints, starts: Ints, calibration: Calibration
) -> Conditions:
    """Of each name (K,): all its speech, and its worst line."""
    if not calibration.uses_conditions:  # any will do
        return Conditions(*np.ones((3, len(starts))))
    return _measures(found, rows, starts)


def _measures(found: NamedVectors, rows: Ints, starts: Ints) -> Conditions:
    speech, bandwidth, snr = (_numbers(found, name, rows) for name in (*MEASURES, "snr_db"))
    snr = np.where(np.isnan(snr), MAX_SNR_DB, np.minimum(snr, MAX_SNR_DB))
    return Conditions(
        np.maximum(np.add.reduceat(np.maximum(speech, 0.01), starts), 0.01),
        np.maximum(np.minimum.reduceat(bandwidth, starts), 1.0),
        np.minimum.reduceat(snr, starts),
    )


def _numbers(found: NamedVectors, name: str, rows: Ints) -> Floats:
    """A column's numbers of recordings (R,); NaN where there is none."""
    column = found.columns.get(name)
    if column is None:
        return np.full(len(rows), np.nan)
    try:
        numbers = column.cast(pa.float64()).fill_null(np.nan)
    except pa.ArrowException:
        raise DataError(f"the column {name} of the vectors' table should hold numbers") from None
    return np.asarray(numbers, dtype=np.float64)[rows]
