"""Plots of an evaluation: DET curve, histograms of scores and their calibration, as SVG and PNG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Protocol

import numpy as np

from timbral.calibration.log_odds import probability_of
from timbral.errors import DataError
from timbral.io.types import Floats, Ints
from timbral.plots.error_plots import draw_calibration, draw_det, draw_scores
from timbral.scoring.figures import Figures
from timbral.scoring.hull import hull_of_levels
from timbral.scoring.logistic import fit_logistic
from timbral.scoring.metrics import error_rates
from timbral.scoring.score_file import ScoredList

__all__ = ["CalibrationCurve", "Curves", "DetCurve", "ScoreHistograms"]

BINS = 60
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""rates on the axes of the DET curve"""
MAX_POINTS = 400
MOST_LABELS = 8
"""of an axis of scores"""
FINE_BINS = 2000
"""bins of scores that the calibration curves are fitted to"""
PENALTY = 1e-3
"""penalty on the slope of the logistic curve, in trials: without it, the slope for scores that do
not overlap is infinite"""
SIZE, LEFT, TOP = 360, 46, 10
"""width and height of a plot, and its left and upper margins, in SVG units"""


class Curves(Protocol):
    """One of the plots."""

    def svg(self) -> str:
        """The plot as SVG, with its caption."""

    def write_png(self, path: Path, title: str) -> None:
        """Write the plot as PNG; MissingExtraError without matplotlib."""


@dataclass(frozen=True)
class DetCurve:
    """Misses against false alarms (K,) on probit axes, where normal scores give a straight line.

    Martin et al., The DET curve in assessment of detection task performance, Eurospeech 1997.
    """

    false_alarm: Floats
    miss: Floats
    eer: float

    @classmethod
    def of(cls, figures: Figures, scored: ScoredList) -> DetCurve:
        rates = error_rates(scored.scores, scored.trials.labels)
        both = np.stack([rates.miss, rates.false_alarm])
        rows = np.flatnonzero(((both >= TICKS[0]) & (both <= TICKS[-1])).all(axis=0))
        if len(rows):
            rows = rows[np.unique(np.linspace(0, len(rows) - 1, MAX_POINTS).astype(int))]
        return cls(rates.false_alarm[rows], rates.miss[rows], figures.eer)

    def svg(self) -> str:
        """The curve as SVG, with its caption."""
        marks = []
        for rate in TICKS:
            offset, label = _probit(rate), f"{100 * rate:g}"
            marks.append(f'<path class="axis" d="M{LEFT} {SIZE - offset:.1f}H{LEFT + SIZE}"/>')
            marks.append(f'<path class="axis" d="M{LEFT + offset:.1f} {TOP}V{SIZE}"/>')
            marks.append(
                f'<text x="{LEFT - 4}" y="{SIZE - offset + 4:.1f}" text-anchor="end">{label}</text>'
            )
            marks.append(
                f'<text x="{LEFT + offset:.1f}" y="{SIZE + 14}" text-anchor="middle">{label}</text>'
            )
        points = zip(self.false_alarm.tolist(), self.miss.tolist(), strict=True)
        line = _path([(LEFT + _probit(x), SIZE - _probit(y)) for x, y in points])
        marks.append(f'<path class="curve target" d="{line}"/>')
        where = f"the EER of {100 * self.eer:.2f} % is not on these axes"
        if TICKS[0] <= self.eer <= TICKS[-1]:
            x, y = LEFT + _probit(self.eer), SIZE - _probit(self.eer)
            marks.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="point"/>')
            where = "the point is the EER"
        caption = f"DET curve: misses (%) over false alarms (%); {where}"
        return _svg(caption, marks, "false alarms, %")

    def write_png(self, path: Path, title: str) -> None:
        """Write the curve as PNG; MissingExtraError without matplotlib."""
        draw_det(path, self.false_alarm, self.miss, self.eer, TICKS, title)


@dataclass(frozen=True)
class ScoreHistograms:
    """Numbers of target and non-target trials (B,) in bins of scores with `edges` (B + 1,)."""

    edges: Floats
    targets: Floats
    nontargets: Floats
    threshold: float

    @classmethod
    def of(cls, figures: Figures, scored: ScoredList) -> ScoreHistograms:
        edges, targets, nontargets = _histograms(scored, BINS)
        return cls(
            edges, targets.astype(np.float64), nontargets.astype(np.float64), figures.threshold
        )

    def svg(self) -> str:
        """Both histograms, scaled to equal height, and the threshold, as SVG with a caption."""
        marks = []
        for counts, style in ((self.targets, "target"), (self.nontargets, "other")):
            heights = (SIZE - TOP) * counts / max(counts.max(), 1)
            xs = LEFT + SIZE * np.arange(BINS + 1) / BINS
            steps = [(xs[0], float(SIZE))]
            for index, height in enumerate(heights):
                steps += [(xs[index], SIZE - height), (xs[index + 1], SIZE - height)]
            marks.append(f'<path class="curve {style}" d="{_path(steps)}"/>')
        low, high = float(self.edges[0]), float(self.edges[-1])
        threshold = LEFT + SIZE * (self.threshold - low) / (high - low)
        marks.append(f'<path class="cut" d="M{threshold:.1f} {TOP}V{SIZE}"/>')
        marks.append(f'<path class="axis" d="M{LEFT} {SIZE}H{LEFT + SIZE}"/>')
        marks += _score_labels(low, high)
        caption = (
            "Scores: target trials green, non-target trials red, the threshold at the EER dashed"
        )
        return _svg(caption, marks, "score")

    def write_png(self, path: Path, title: str) -> None:
        """Write the histograms as PNG; MissingExtraError without matplotlib."""
        draw_scores(path, self.edges, self.targets, self.nontargets, self.threshold, title)


@dataclass(frozen=True)
class CalibrationCurve:
    """The probability of the same speaker at each score, at prior 0.5, from these trials.

    Estimated twice: by the steps of PAV (pool adjacent violators; Brümmer and du Preez 2006), which
    fit these trials best among all rising functions, and by a logistic curve like a calibration's.
    Where the two differ, the llr is not linear in the score.
    """

    edges: Floats
    """scores at which the steps begin, and the highest score (K + 1,)"""
    steps: Floats
    """probabilities (K,), rising"""
    scores: Floats
    """scores (M,) of the logistic curve"""
    logistic: Floats
    """its probabilities (M,); empty if none could be fitted"""

    @classmethod
    def of(cls, scored: ScoredList) -> CalibrationCurve:
        bounds, targets, others = _histograms(scored, FINE_BINS)
        kept = targets + others > 0
        if not (targets.any() and others.any()):
            return cls(bounds[[0, -1]], np.array([0.5]), np.empty(0), np.empty(0))
        hull = hull_of_levels(bounds[:-1][kept], targets[kept], others[kept])
        scores = np.linspace(bounds[0], bounds[-1], MAX_POINTS)
        return cls(
            np.append(hull.scores, bounds[-1]),
            probability_of(hull.llrs),
            scores,
            _logistic(bounds, targets, others, scores),
        )

    def svg(self) -> str:
        """Steps and curve as SVG, with a caption."""
        low, high = float(self.edges[0]), float(self.edges[-1])

        def position(score: float, probability: float) -> tuple[float, float]:
            x = LEFT + SIZE * (score - low) / (high - low)
            return x, SIZE - (SIZE - TOP) * probability

        marks = []
        for fraction in (0.0, 0.25, 0.5, 0.75, 1.0):
            y = position(low, fraction)[1]
            marks.append(f'<path class="axis" d="M{LEFT} {y:.1f}H{LEFT + SIZE}"/>')
            marks.append(
                f'<text x="{LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{100 * fraction:g}</text>'
            )
        marks += _score_labels(low, high)
        corners = [
            position(edge, step)
            for row, step in enumerate(self.steps.tolist())
            for edge in self.edges[row : row + 2].tolist()
        ]
        marks.append(f'<path class="curve target" d="{_path(corners)}"/>')
        pairs = zip(self.scores.tolist(), self.logistic.tolist(), strict=False)
        marks.append(f'<path class="cut" d="{_path([position(*pair) for pair in pairs])}"/>')
        caption = (
            "Calibration: probability (%) of the same speaker at prior 0.5, from these "
            "trials (steps) and a logistic curve (dashed)"
        )
        return _svg(caption, marks, "score")

    def write_png(self, path: Path, title: str) -> None:
        """Write steps and curve as PNG; MissingExtraError without matplotlib."""
        draw_calibration(path, self.edges, self.steps, self.scores, self.logistic, title)


def _histograms(scored: ScoredList, bins: int) -> tuple[Floats, Ints, Ints]:
    """Histograms of the finite scores: bounds (bins + 1,), target and non-target trials (bins,)."""
    is_finite = np.isfinite(scored.scores)
    finite, labels = scored.scores[is_finite], scored.trials.labels[is_finite]
    low, high = float(finite.min()), float(finite.max())
    bounds = np.linspace(low, high if high > low else low + 1, bins + 1)
    targets, nontargets = (np.histogram(finite[labels == label], bounds)[0] for label in (1, 0))
    return bounds, targets, nontargets


def _logistic(bounds: Floats, targets: Ints, others: Ints, scores: Floats) -> Floats:
    """Probabilities at `scores` (M,) of a logistic curve fitted to trials in bins (B,)."""
    centers = (bounds[:-1] + bounds[1:]) / 2
    mean, deviation = centers.mean(), centers.std()
    features = np.stack([np.ones(2 * len(centers)), np.tile((centers - mean) / deviation, 2)], 1)
    labels = np.repeat([1, 0], len(centers))
    weights = np.concatenate([targets / targets.sum(), others / others.sum()])
    try:
        offset, slope = fit_logistic(features, labels, weights, np.array([0.0, PENALTY]))
    except DataError:
        return np.empty(0)
    return probability_of(offset + slope * (scores - mean) / deviation)


def _probit(rate: float) -> float:
    """Position of a rate on an axis, in SVG units from the lowest tick."""
    low, high = (NormalDist().inv_cdf(tick) for tick in (TICKS[0], TICKS[-1]))
    clipped = min(max(float(rate), TICKS[0]), TICKS[-1])
    return (NormalDist().inv_cdf(clipped) - low) / (high - low) * (SIZE - TOP)


def _score_labels(low: float, high: float) -> Iterator[str]:
    """Labels of an axis of scores from `low` to `high`, at multiples of 1, 2 or 5 times 10^n."""
    unit = 10.0 ** math.floor(math.log10((high - low) / MOST_LABELS))
    step = next(
        unit * factor for factor in (1, 2, 5, 10) if high - low <= MOST_LABELS * unit * factor
    )
    decimals = max(0, -math.floor(math.log10(step)))
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        x = LEFT + SIZE * (number * step - low) / (high - low)
        label = f"{number * step:.{decimals}f}"
        yield f'<text x="{x:.0f}" y="{SIZE + 14}" text-anchor="middle">{label}</text>'


def _svg(caption: str, marks: Iterable[str], x_label: str) -> str:
    label = f'<text x="{LEFT + SIZE / 2}" y="{SIZE + 32}" text-anchor="middle">{x_label}</text>'
    box = f"0 0 {LEFT + SIZE + 14} {SIZE + 40}"
    return (
        f'<svg viewBox="{box}" role="img" aria-label="{caption}">{"".join(marks)}{label}</svg>'
        f"<figcaption>{caption}</figcaption>"
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""
