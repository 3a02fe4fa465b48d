"""Figures of clones: means between two anchors, with intervals over speakers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from timbral.cloning.encoder_view import EncoderView
from timbral.io.types import Floats, Ints
from timbral.scoring.intervals import MIN_SPEAKERS, Interval

__all__ = [
    "SpeakerDraws",
    "SystemDifference",
    "SystemFigures",
    "anchors_are_apart",
    "compare_systems",
    "position_draws",
    "position_of",
    "student_t_975",
    "system_figures",
]


@dataclass(frozen=True)
class SystemFigures:
    """One encoder's results for one system."""

    system: str
    encoder: str
    num_clones: int
    num_speakers: int
    mean: float
    """mean cosine of the clones to their references"""
    interval: Interval | None
    """95 % interval over speakers; None with fewer than five speakers"""
    same: float
    """mean cosine of real recordings of the same speaker; NaN if there are none"""
    other: float
    """mean cosine of the nearest other speaker"""
    position: float
    """position of the mean between the anchors: 0 at the nearest other speaker, 1 at the same one;
    NaN if one of them is missing, or if the encoder does not separate them"""
    position_interval: Interval | None
    percentile: float
    """the clones' median percentile among real pairs of one speaker, in percent"""
    probability: float
    """mean calibrated probability; NaN without a calibration"""
    of_speakers: dict[str, float]
    """mean cosine of each speaker's clones"""


@dataclass(frozen=True)
class SystemDifference:
    """Two systems compared by one encoder, on the utterances that both have."""

    encoder: str
    first: str
    second: str
    num_clones: int
    mean: float
    """mean difference of the cosines, first - second"""
    interval: Interval | None
    """its 95 % interval over speakers; None with fewer than five speakers"""

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.interval is not None and not self.interval.low <= 0 <= self.interval.high


class SpeakerDraws:
    """Bootstrap draws of speakers with replacement, the same for every figure of these speakers.

    Clones often have few speakers, for which percentiles of the draws are too close together: with
    six, they contain the mean in only 91 of 100 cases. So the interval is that of Student's t
    around the draws' median, with their standard deviation, which is too small by sqrt((S - 1) / S)
    (Efron and Tibshirani, An introduction to the bootstrap, 1993, section 12.2; Hesterberg, What
    teachers should know about the bootstrap, 2015).
    """

    def __init__(self, speakers: Sequence[str], draws: int, seed: int = 0) -> None:
        self.speakers = sorted(set(speakers))
        self._code = {speaker: code for code, speaker in enumerate(self.speakers)}
        count = len(self.speakers)
        generator = np.random.default_rng(seed)
        self._times = generator.multinomial(count, np.full(count, 1 / count), size=draws)

    def codes(self, speakers: Sequence[str]) -> Ints:
        """The index of each value's speaker (N,)."""
        return np.array([self._code[speaker] for speaker in speakers], dtype=np.int64)

    def means(self, values: Floats, codes: Ints) -> Floats:
        """The mean of the values (N,) in each draw (draws,), without NaN."""
        known = ~np.isnan(values)
        size = len(self.speakers)
        sums = np.bincount(codes[known], values[known], size)
        counts = np.bincount(codes[known], minlength=size)
        with np.errstate(invalid="ignore"):
            return np.asarray((self._times @ sums) / (self._times @ counts))

    def interval(self, values: Floats, present: int) -> Interval | None:
        """The 95 % interval from a figure's values in all draws; None below five speakers."""
        if present < MIN_SPEAKERS or not len(self._times) or np.isnan(values).all():
            return None
        center = float(np.nanmedian(values))
        error = float(np.nanstd(values)) * math.sqrt(present / (present - 1))
        half = student_t_975(present - 1) * error
        return Interval(center - half, center + half)


def student_t_975(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, within 0.3 % from 4 degrees of freedom on.

    Cornish and Fisher's expansion: Abramowitz and Stegun, 26.7.5.
    """
    x = NormalDist().inv_cdf(0.975)
    terms = (
        x,
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
    )
    return float(sum(term / freedom**power for power, term in enumerate(terms)))


def system_figures(view: EncoderView, system: str, draws: SpeakerDraws) -> SystemFigures:
    """Figures of one system's clones."""
    rows, speakers = _rows_of(view, system)
    codes = draws.codes(speakers)
    present = len(set(speakers))
    cosines, same, other = view.cosines[rows], view.same[rows], view.other[rows]
    apart = anchors_are_apart(view, system, draws)
    return SystemFigures(
        system=system,
        encoder=view.encoder,
        num_clones=int(rows.sum()),
        num_speakers=present,
        mean=_mean(cosines),
        interval=draws.interval(draws.means(cosines, codes), present),
        same=_mean(same),
        other=_mean(other),
        position=position_of(view, system) if apart else math.nan,
        position_interval=(
            draws.interval(position_draws(view, system, draws), present) if apart else None
        ),
        percentile=float(np.median(view.percentiles[rows])),
        probability=_mean(view.probabilities[rows]),
        of_speakers={
            speaker: float(cosines[codes == draws.codes([speaker])[0]].mean())
            for speaker in sorted(set(speakers))
        },
    )


def anchors_are_apart(view: EncoderView, system: str, draws: SpeakerDraws) -> bool:
    """Whether the same speaker is clearly nearer than the nearest other one.

    Otherwise the ratio of the distances could be any number (Fieller, Some problems in interval
    estimation, 1954).
    """
    rows, speakers = _rows_of(view, system)
    gaps = view.same[rows] - view.other[rows]
    interval = draws.interval(draws.means(gaps, draws.codes(speakers)), len(set(speakers)))
    return (_mean(gaps) if interval is None else interval.low) > 0


def position_draws(view: EncoderView, system: str, draws: SpeakerDraws) -> Floats:
    """The position of a system between the anchors, in each draw (draws,)."""
    rows, speakers = _rows_of(view, system)
    codes = draws.codes(speakers)
    columns = _anchored(view.cosines[rows], view.same[rows], view.other[rows])
    cosine, same, other = (draws.means(values, codes) for values in columns)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((cosine - other) / (same - other))


def _anchored(cosines: Floats, same: Floats, other: Floats) -> tuple[Floats, Floats, Floats]:
    """The values of clones that have both anchors; NaN for the others."""
    known = ~np.isnan(same) & ~np.isnan(other)
    cosines, same, other = (np.where(known, values, np.nan) for values in (cosines, same, other))
    return cosines, same, other


def position_of(view: EncoderView, system: str) -> float:
    """The position of a system between the anchors: 0 at the nearest other speaker, 1 at the same.

    Uses the clones that have both anchors; NaN if there are none.
    """
    rows, _ = _rows_of(view, system)
    columns = _anchored(view.cosines[rows], view.same[rows], view.other[rows])
    mean, high, low = map(_mean, columns)
    return (mean - low) / (high - low) if high != low else math.nan


def _rows_of(view: EncoderView, system: str) -> tuple[NDArray[np.bool_], list[str]]:
    """Which clones are one system's (N,), and the speakers of those."""
    rows = np.array([clone.system == system for clone in view.clones])
    return rows, [clone.speaker for clone in view.clones if clone.system == system]


def _mean(values: Floats) -> float:
    return float(np.nanmean(values)) if not np.isnan(values).all() else math.nan


def compare_systems(
    view: EncoderView, first: str, second: str, draws: SpeakerDraws
) -> SystemDifference | None:
    """The difference of two systems on the utterances that both have; None if there are none."""
    of_first, of_second = (_cosines_by_name(view, system) for system in (first, second))
    both = sorted(of_first.keys() & of_second.keys())
    if not both:
        return None
    values = np.array([of_first[key] - of_second[key] for key in both])
    speakers = [speaker for _, speaker in both]
    interval = draws.interval(draws.means(values, draws.codes(speakers)), len(set(speakers)))
    return SystemDifference(view.encoder, first, second, len(both), float(values.mean()), interval)


def _cosines_by_name(view: EncoderView, system: str) -> dict[tuple[str, str], float]:
    """The mean cosine of a system's clones by name and speaker; a clone may have several
    references.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for clone, cosine in zip(view.clones, view.cosines, strict=True):
        if clone.system == system:
            found.setdefault((clone.name, clone.speaker), []).append(float(cosine))
    return {key: float(np.mean(cosines)) for key, cosines in found.items()}
