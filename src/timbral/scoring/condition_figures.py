"""Error rates by condition: short and long recordings, one gender or two, one session or two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from timbral.io.types import Floats, Ints
from timbral.scoring.calibrated_scores import CalibratedScores
from timbral.scoring.figures import Figures, compute_figures
from timbral.scoring.hull import convex_hull
from timbral.scoring.intervals import Interval
from timbral.scoring.metrics import SortedScores, actual_dcf, cllr
from timbral.scoring.score_file import ScoredList
from timbral.scoring.score_options import ScoreOptions
from timbral.scoring.trial_list import TrialList

__all__ = ["Condition", "figures_by_condition"]

EDGES = (0.0, 2.0, 4.0, 8.0)
"""lower edges of bins of the shorter recording's duration, in seconds"""
MAX_PAIRED = 5
"""with at most this many values, each pair of them is a condition"""
SESSION = "session"
Values = Mapping[str, pa.Array | Floats]
"""by column, the value of each name (K,): strings, null if unknown; durations in seconds, or NaN"""
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Condition:
    """Error rates of the trials of a condition."""

    column: str
    value: str
    num_trials: int
    num_targets: int
    num_speakers: int
    miss: float | None
    """at the threshold of the whole list's EER; None without target trials"""
    false_alarm: float | None
    """at the same threshold; None without non-target trials"""
    eer: float | None
    """at the condition's own threshold; None if one kind of trial is missing"""
    eer_interval: Interval | None
    min_dcf: dict[str, float]
    """by prior of target trials"""
    min_cllr: float | None = None
    """bits; None if one kind of trial is missing"""
    cllr: float | None = None
    """bits, of the calibration's llrs; None without a calibration"""
    least_cllr: float | None = None
    """bits, the lowest Cllr for the order of these llrs"""
    actual_dcf: dict[str, float] = field(default_factory=dict)
    """by prior, of these llrs"""


def figures_by_condition(
    scored: ScoredList,
    calibrated: CalibratedScores | None,
    speakers: Ints,
    values: Values,
    figures: Figures,
    options: ScoreOptions,
) -> tuple[Condition, ...]:
    """Error rates for the values of each column.

    Args:
        scored: N labeled trials over K names
        calibrated: their llrs; None without a calibration
        speakers: speaker number of each name (K,)
        values: of each name, by column
        figures: of the whole list
        options: priors and draws
    """
    conditions = []
    for column, known in values.items():
        for value, rows in _groups(column, known, scored.trials):
            if rows.any():
                condition = _condition(column, value, scored, rows, speakers, figures, options)
                labels = scored.trials.labels[rows]
                if calibrated is not None and condition.eer is not None:
                    condition = _with_costs(condition, calibrated, rows, labels, options)
                conditions.append(condition)
    return tuple(conditions)


def _groups(
    column: str, values: pa.Array | Floats, trials: TrialList
) -> Iterator[tuple[str, Mask]]:
    """Each value of a condition, with a mask (N,) of its trials."""
    if isinstance(values, np.ndarray):
        shorter = np.minimum(values[trials.first], values[trials.second])
        bins = np.searchsorted(EDGES, shorter, side="right") - 1
        for index, low in enumerate(EDGES):
            last = index + 1 == len(EDGES)
            name = f"{low:g}+ s" if last else f"{low:g}-{EDGES[index + 1]:g} s"
            yield name, (bins == index) & ~np.isnan(shorter)
        yield "unknown", np.isnan(shorter)
        return
    encoded = values.dictionary_encode()
    codes = np.asarray(encoded.indices.fill_null(-1), dtype=np.int64)
    first, second = codes[trials.first], codes[trials.second]
    known = (first >= 0) & (second >= 0)
    # sessions belong to a speaker, so two speakers never share one
    always = trials.labels == 0 if column == SESSION else np.zeros(len(trials), dtype=bool)
    yield "same", known & ((first == second) | always)
    yield "different", known & ((first != second) | always)
    names = encoded.dictionary.to_pylist()
    if column != SESSION and 1 < len(names) <= MAX_PAIRED:
        order = sorted(range(len(names)), key=lambda code: str(names[code]))
        for at, one in enumerate(order):
            for other in order[at:] if len(names) > 2 else [one]:
                both = ((first == one) & (second == other)) | ((first == other) & (second == one))
                yield f"{names[one]} / {names[other]}", both
    yield "unknown", ~known


def _condition(
    column: str,
    value: str,
    scored: ScoredList,
    rows: Mask,
    speakers: Ints,
    figures: Figures,
    options: ScoreOptions,
) -> Condition:
    trials, scores = scored.trials.select(rows), scored.scores[rows]
    sides = [speakers[side] for side in (trials.first, trials.second)]
    present, codes = np.unique(np.concatenate(sides), return_inverse=True)
    first, second = np.split(codes, 2)
    target = trials.labels == 1
    rejected = scores < figures.threshold
    own = None
    if trials.is_labeled:
        own = compute_figures(
            scores,
            trials.labels,
            first,
            second,
            p_targets=options.p_target,
            false_accepts=options.false_accept,
            draws=options.draws,
        )
    return Condition(
        column=column,
        value=value,
        num_trials=len(trials),
        num_targets=int(target.sum()),
        num_speakers=len(present),
        miss=float(rejected[target].mean()) if target.any() else None,
        false_alarm=None if target.all() else float(1 - rejected[~target].mean()),
        eer=None if own is None else own.eer,
        eer_interval=None if own is None else own.eer_interval,
        min_dcf={} if own is None else {f"{p:g}": cost for p, cost in own.min_dcf.items()},
        min_cllr=None if own is None else own.min_cllr,
    )


def _with_costs(
    condition: Condition,
    calibrated: CalibratedScores,
    rows: Mask,
    labels: NDArray[np.int8],
    options: ScoreOptions,
) -> Condition:
    llrs = calibrated.llrs[rows]
    return replace(
        condition,
        cllr=cllr(calibrated.limited_llrs[rows], labels),
        least_cllr=convex_hull(SortedScores.of(llrs, labels)).min_cllr,
        actual_dcf={f"{p:g}": actual_dcf(llrs, labels, p) for p in options.p_target},
    )
