"""Scores and figures of a list of trials from vectors, for all commands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.embeddings.named_vectors import NamedVectors
from timbral.embeddings.vectors import project_out, unit_length
from timbral.errors import DataError
from timbral.io.types import Floats, Ints, Vectors
from timbral.scoring.calibrated_figures import calibrated_figures
from timbral.scoring.calibrated_scores import CalibratedScores, calibrated_scores, lacks_measures
from timbral.scoring.cohort import read_cohort
from timbral.scoring.condition_figures import Condition, figures_by_condition
from timbral.scoring.condition_values import DURATION, column_sources, seconds_of, values_of
from timbral.scoring.enrollment import NamedRecordings
from timbral.scoring.figures import Figures, compute_figures
from timbral.scoring.list_remarks import remarks_on_pairs, remarks_on_self_comparisons
from timbral.scoring.metrics import detection_cost
from timbral.scoring.missing_trials import are_too_many
from timbral.scoring.normalization import cohort_statistics, subtract_mean
from timbral.scoring.nuisance import nuisance_directions
from timbral.scoring.pairs import pair_cosines, score_normalized
from timbral.scoring.score_file import ScoredList
from timbral.scoring.score_options import ScoreOptions
from timbral.scoring.trial_list import TrialList
from timbral.scoring.trial_speakers import (
    GUESSED,
    known_speakers,
    numbered,
    one_of_each,
    speaker_names,
    speakers_from_targets,
)

__all__ = ["ListScores", "score_list"]

MAX_STEP = 0.5
"""warn if one false accept adds more to the actual DCF: half of what rejecting everything costs"""


@dataclass(frozen=True)
class ListScores:
    """The scored trials of a list, and their figures."""

    scored: ScoredList
    figures: Figures | None
    """None for a list without labels, or with only one kind of trial"""
    speakers: Ints
    """speaker number of each name of the list (K,)"""
    num_missing: int
    """trials left out because a recording has no vector"""
    missing: tuple[str, ...]
    """the recordings without a vector"""
    conditions: tuple[Condition, ...] = ()
    """figures by the requested columns; empty without labels"""
    calibrated: CalibratedScores | None = None
    """the trials' llrs; None without a calibration"""
    note: str = ""
    """remarks on the list and the cohort; else empty"""
    speaker_names: pa.Array | None = None
    """the speaker of each name of the list (K,), strings; None if they are guessed"""


def score_list(
    listed: TrialList,
    recordings: NamedRecordings,
    table: NamedVectors,
    rows: Ints,
    options: ScoreOptions,
) -> ListScores:
    """Score a list's trials.

    Args:
        listed: N trials over K names
        recordings: the R recordings of these names
        table: the vectors
        rows: (R,) row of each recording's vector; -1: none
        options: how to score, and what to report

    Raises DataError when too many trials have no vector, for a cohort that cannot be used, and for
    vectors without what the calibration needs.
    """
    listed, left_out, missing = _with_vectors(listed, recordings, rows, table, options.skip_missing)
    cohort, unchecked = _read_cohort(recordings, table, rows, options)
    scores = _scores(listed, recordings, table, rows, options, cohort)
    names = _speaker_names(listed, recordings, table, rows, options)
    speakers = _speakers(listed, recordings, names)
    scored = ScoredList(listed, scores)
    calibrated = None
    if options.calibration is not None:
        if lacking := lacks_measures(options.calibration, table, rows):
            raise DataError(lacking)
        calibrated = calibrated_scores(listed, recordings, table, rows, options.calibration, scores)
    figures = None
    conditions: tuple[Condition, ...] = ()
    if listed.is_labeled:
        sides = speakers[listed.first], speakers[listed.second]
        figures = _list_figures(scored, sides, calibrated, names is None, options)
        values = _values(recordings, table, rows, options)
        conditions = figures_by_condition(scored, calibrated, speakers, values, figures, options)
    of_itself = remarks_on_self_comparisons(listed) if recordings.are_single else []
    note = "; ".join(filter(None, (*of_itself, *remarks_on_pairs(listed), unchecked)))
    return ListScores(
        scored, figures, speakers, left_out, missing, conditions, calibrated, note, names
    )


def _read_cohort(
    recordings: NamedRecordings, table: NamedVectors, rows: Ints, options: ScoreOptions
) -> tuple[NamedVectors | None, str]:
    """The cohort, if there is one, and a note on what could not be checked."""
    if options.cohort is None:
        return None, ""
    speakers: list[str] = []
    if options.speakers is not None:
        speakers = known_speakers(recordings, options.speakers).drop_null().unique().to_pylist()
    return read_cohort(options.cohort, table, np.unique(rows[rows >= 0]), speakers)


def _list_figures(
    scored: ScoredList,
    sides: tuple[Ints, Ints],
    calibrated: CalibratedScores | None,
    guessed: bool,
    options: ScoreOptions,
) -> Figures:
    """Figures of the whole list.

    `sides` are the speaker numbers (N,) of both sides of its trials; `guessed`: from the trials.
    """
    labels, draws = scored.trials.labels, options.draws
    figures = compute_figures(
        scored.scores,
        labels,
        *sides,
        p_targets=options.p_target,
        false_accepts=options.false_accept,
        draws=draws,
    )
    if guessed and figures.eer_interval is not None:
        figures = replace(figures, interval_note=GUESSED)
    if calibrated is None:
        return figures
    costs = calibrated_figures(calibrated, labels, *sides, p_targets=options.p_target, draws=draws)
    note = "; ".join(filter(None, (costs.note, _few_trials_note(figures))))
    return replace(figures, calibrated=costs, calibration_note=note)


def _few_trials_note(figures: Figures) -> str:
    """A note if one error changes the actual DCF so much that it says little; else empty."""
    prior, count = min(figures.min_dcf), figures.num_trials - figures.num_targets
    step = float(detection_cost(0.0, 1.0 / count, prior))
    if step < MAX_STEP:
        return ""
    trials = f"{count:,} non-target trial{'s' * (count > 1)}"
    return (
        f"with only {trials}, one false accept adds {step:.2g} to actDCF({prior:g}) by itself, "
        "and a few recordings decide Cllr: so few trials cannot tell how well the calibration fits"
    )


def _values(
    recordings: NamedRecordings, table: NamedVectors, rows: Ints, options: ScoreOptions
) -> dict[str, pa.Array | Floats]:
    """The requested columns: the value of each name (K,)."""
    speakers = None
    if options.speakers is not None:
        speakers = known_speakers(recordings, options.speakers)
    elif table.speakers is not None:
        speakers = table.speakers.take(pa.array(rows, mask=rows < 0))
    return {
        column: seconds_of(source, recordings, table, rows, speakers)
        if column == DURATION
        else values_of(column, source, recordings, table, rows, speakers)
        for column, source in column_sources(options.by).items()
    }


def _with_vectors(
    trials: TrialList,
    recordings: NamedRecordings,
    rows: Ints,
    vectors: NamedVectors,
    skip_missing: bool,
) -> tuple[TrialList, int, tuple[str, ...]]:
    """The trials with vectors, the number of those without, and the recordings without."""
    missing = pc.unique(recordings.recordings.filter(pa.array(rows < 0)))
    if not len(missing):
        return trials, 0, ()
    known = np.minimum.reduceat(rows, recordings.starts[:-1]) >= 0
    kept = known[trials.first] & known[trials.second]
    left_out = len(trials) - int(kept.sum())
    if not kept.any() or (are_too_many(left_out, len(trials)) and not skip_missing):
        advice = "`root` should be the folder that paths of the list are relative to"
        more = "" if not kept.any() else ", or set `skip_missing` to leave them out"
        raise DataError(
            f"{len(missing):,} of {len(rows):,} recordings in the list have no vector "
            f"({left_out:,} of {len(trials):,} trials), the first {missing[0].as_py()!r}; there "
            f"are vectors of {vectors.names[0].as_py()!r} and others; {advice}{more}"
        )
    return trials.select(kept), left_out, tuple(missing.to_pylist())


def _scores(
    trials: TrialList,
    recordings: NamedRecordings,
    table: NamedVectors,
    rows: Ints,
    options: ScoreOptions,
    cohort: NamedVectors | None,
) -> Vectors:
    """The score of each trial (N,), normalized with the cohort if there is one."""
    vectors, norm_cohort = table.vectors, None
    if options.cohort is not None and cohort is not None:
        if options.norm == "mean":
            vectors = subtract_mean(vectors, cohort.vectors)
        elif options.norm == "nap":
            vectors = project_out(vectors, _nuisance_of(options.cohort, cohort, options))
        else:
            norm_cohort = cohort.vectors
    if recordings.are_single:
        rows = rows.astype(np.int32)  # half the memory of millions of them
        return _pair_scores(vectors, rows[trials.first], rows[trials.second], norm_cohort, options)
    if options.enrollment_average == "vectors":
        means = _mean_vectors(vectors, recordings, rows)
        first, second = (side.astype(np.int64) for side in (trials.first, trials.second))
        return _pair_scores(means, first, second, norm_cohort, options)
    counts = np.diff(recordings.starts)[trials.first]
    starts = np.append(0, np.cumsum(counts))
    within = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
    first = rows[np.repeat(recordings.starts[trials.first], counts) + within]
    second = np.repeat(rows[recordings.starts[trials.second]], counts)
    scores = _pair_scores(vectors, first, second, norm_cohort, options)
    sums = np.add.reduceat(scores.astype(np.float64), starts[:-1])
    return np.asarray(sums / counts, dtype=np.float32)


def _nuisance_of(source: str | Path, cohort: NamedVectors, options: ScoreOptions) -> Vectors:
    if cohort.speakers is None:
        raise DataError(
            f"{source}: does not contain the speakers of the cohort's vectors, which nap needs; "
            "use a folder or table of `embed`"
        )
    return nuisance_directions(cohort.vectors, numbered(cohort.speakers), options.directions)


def _mean_vectors(vectors: Vectors, recordings: NamedRecordings, rows: Ints) -> Vectors:
    """The mean of the unit vectors of each name's recordings (K, E), at unit length."""
    unit = unit_length(vectors)[np.maximum(rows, 0)]  # names with missing ones are not scored
    return unit_length(np.add.reduceat(unit, recordings.starts[:-1]))


def _pair_scores(
    vectors: Vectors, first: Ints, second: Ints, cohort: Vectors | None, options: ScoreOptions
) -> Vectors:
    """Cosines of pairs of vectors (N,); with a cohort, normalized by adaptive s-norm."""
    cosines = pair_cosines(vectors, first, second)
    if cohort is None:
        return cosines
    statistics = cohort_statistics(vectors, cohort, min(options.top_k, len(cohort)))
    return score_normalized(cosines, first, second, statistics)


def _speaker_names(
    trials: TrialList,
    recordings: NamedRecordings,
    vectors: NamedVectors,
    rows: Ints,
    options: ScoreOptions,
) -> pa.Array | None:
    """The speaker of each name of the list (K,), strings; None if nothing tells them."""
    if options.speakers is not None:
        models = None if recordings.are_single else recordings
        return speaker_names(trials.names, options.speakers, models)
    if vectors.speakers is None:
        return None
    return one_of_each(vectors.speakers.take(pa.array(rows, mask=rows < 0)), recordings)


def _speakers(trials: TrialList, recordings: NamedRecordings, names: pa.Array | None) -> Ints:
    """Speaker number of each name of the list (K,), guessed without `names`."""
    if names is not None:
        return numbered(names)
    return speakers_from_targets(trials, None if recordings.are_single else recordings)
