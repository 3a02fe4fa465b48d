"""Costs of log-likelihood ratios: Cllr, and actual DCF at Bayes' thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timbral.errors import DataError
from timbral.io.types import Floats, Ints
from timbral.scoring.calibrated_scores import CalibratedScores
from timbral.scoring.hull import convex_hull
from timbral.scoring.intervals import Interval, check_speakers, interval_of
from timbral.scoring.metrics import SortedScores, bayes_threshold, detection_cost, llr_costs
from timbral.scoring.ranked_trials import check_scores
from timbral.scoring.speaker_means import SpeakerMeans

__all__ = ["CalibratedFigures", "actual_costs", "calibrated_figures", "cllrs"]

Kinds: TypeAlias = tuple[NDArray[Any], NDArray[Any]]
"""llrs of target trials (T,) and of non-target trials (U,)"""


@dataclass(frozen=True)
class CalibratedFigures:
    """Costs of the llrs that a Calibration gives to trials, with 95 % intervals over speakers.

    `eer`, `min_cllr` and `min_dcf` depend only on the order of these llrs, which differs from that
    of the cosines if the calibration uses nuisance directions or conditions. `cllr` - `min_cllr`
    and `actual_dcf` - `min_dcf` are the losses by calibration.
    """

    cllr: float
    """bits"""
    cllr_interval: Interval | None
    min_cllr: float
    """bits"""
    eer: float
    actual_dcf: dict[float, float]
    """by prior of target trials, at its Bayes' threshold"""
    actual_dcf_intervals: dict[float, Interval] = field(repr=False)
    min_dcf: dict[float, float]
    """by prior"""
    description: str
    """what the calibration was fitted on"""
    limits: tuple[float, float]
    """llrs are clipped to this range for Cllr, but not for decisions"""
    num_outside: int
    """trials with a recording below the ranges of the calibration's data"""

    @property
    def line(self) -> str:
        """The figures in one line."""
        interval = self.cllr_interval
        shown = "" if interval is None else f" ({interval.low:.3f} to {interval.high:.3f})"
        costs = "  ".join(
            f"actDCF({prior:g}) {cost:.3f} (min {self.min_dcf[prior]:.3f})"
            for prior, cost in self.actual_dcf.items()
        )
        return f"calibrated: Cllr {self.cllr:.3f}{shown}, min {self.min_cllr:.3f}  {costs}"

    @property
    def note(self) -> str:
        """A warning about trials unlike the calibration's data; else empty."""
        if not self.num_outside:
            return ""
        have = "trial has" if self.num_outside == 1 else "trials have"
        return (
            f"{self.num_outside:,} {have} a recording unlike those that the calibration was "
            f"fitted on ({self.description}): shorter, noisier or with less bandwidth"
        )

    def as_dict(self) -> dict[str, Any]:
        """The figures for JSON, with priors as text."""
        values = asdict(self)
        for name in ("actual_dcf", "actual_dcf_intervals", "min_dcf"):
            values[name] = {f"{key:g}": value for key, value in values[name].items()}
        return values


def calibrated_figures(
    scores: CalibratedScores,
    labels: ArrayLike,
    first: Ints,
    second: Ints,
    *,
    p_targets: Sequence[float],
    draws: int,
    seed: int = 0,
) -> CalibratedFigures:
    """Costs of N llrs; arguments and errors as for `timbral.scoring.figures.compute_figures`."""
    llrs, is_target = check_scores(scores.llrs, labels)
    kinds = llrs[is_target], llrs[~is_target]
    ranked = SortedScores(*(np.sort(kind) for kind in kinds))
    hull = convex_hull(ranked)
    actual = {
        prior: float(detection_cost(*ranked.rates(bayes_threshold(prior)), prior))
        for prior in p_targets
    }
    bits = llr_costs(*(np.clip(kind, *scores.limits) for kind in kinds))
    means = _means(first, second, is_target, draws, seed)
    intervals = (
        {}
        if means is None
        else {
            prior: interval_of(actual_costs(means, kinds, prior))
            for prior, cost in actual.items()
            if cost > 0  # where no error was made, draws have none either
        }
    )
    return CalibratedFigures(
        cllr=float(bits[0].mean() + bits[1].mean()) / 2,
        cllr_interval=None if means is None else interval_of(cllrs(means, bits)),
        min_cllr=hull.min_cllr,
        eer=ranked.eer()[0],
        actual_dcf=actual,
        actual_dcf_intervals=intervals,
        min_dcf={prior: hull.min_dcf(prior) for prior in p_targets},
        description=scores.description,
        limits=scores.limits,
        num_outside=scores.num_outside,
    )


def _means(
    first: Ints, second: Ints, is_target: NDArray[np.bool_], draws: int, seed: int
) -> SpeakerMeans | None:
    """Draws of speakers; None if there can be no interval, which the EER's note explains."""
    try:
        check_speakers(first, second, is_target)
    except DataError:
        return None
    return SpeakerMeans(first, second, is_target, draws=draws, seed=seed) if draws else None


def cllrs(means: SpeakerMeans, costs: tuple[Floats, Floats]) -> Floats:
    """Cllr in bits in each draw (draws,), from the costs of both kinds of trials (`llr_costs`)."""
    return (means.of_targets(costs[0]) + means.of_nontargets(costs[1])) / 2


def actual_costs(means: SpeakerMeans, kinds: Kinds, prior: float) -> Floats:
    """Actual DCF in each draw (draws,), from the llrs of target and of non-target trials."""
    threshold = bayes_threshold(prior)
    missed, accepted = kinds[0] < threshold, kinds[1] >= threshold
    return detection_cost(means.of_targets(missed), means.of_nontargets(accepted), prior)
