"""What log-likelihood ratios cost: Cllr, and decisions at Bayes' thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timbral.errors import DataError
from timbral.io.types import Floats, Ints, Vectors
from timbral.scoring.calibrated_scores import CalibratedScores
from timbral.scoring.hull import convex_hull
from timbral.scoring.intervals import Interval, check_speakers, interval_of
from timbral.scoring.metrics import ScoreCounts, actual_dcf, bayes_threshold, cllr, detection_cost
from timbral.scoring.speaker_means import SpeakerMeans

__all__ = ["CalibratedFigures", "actual_costs", "calibrated_figures", "cllrs"]


@dataclass(frozen=True)
class CalibratedFigures:
    """Costs of the llrs that a Calibration gives trials, with 95 % intervals over speakers.

    `eer`, `min_cllr` and `min_dcf` are of the order of these llrs, which is not that of the cosines
    where the calibration takes directions or conditions into account. What `cllr` has above
    `min_cllr`, and `actual_dcf` above `min_dcf`, is lost by calibration.
    """

    cllr: float
    """bits"""
    cllr_interval: Interval | None
    min_cllr: float
    """bits"""
    eer: float
    actual_dcf: dict[float, float]
    """by prior of target trials: at Bayes' threshold for it"""
    actual_dcf_intervals: dict[float, Interval] = field(repr=False)
    min_dcf: dict[float, float]
    """by prior"""
    description: str
    """what the calibration was fitted on"""
    limits: tuple[float, float]
    """where the llrs that Cllr is of end; decisions do not need them"""
    num_outside: int
    """trials of a recording below the ranges of the calibration's data"""

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
        """What to know of them; else empty."""
        if not self.num_outside:
            return ""
        return (
            f"{self.num_outside:,} trials have a recording unlike those that the calibration was "
            f"fitted on ({self.description}): shorter, of a narrower band or noisier"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
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
    """Costs of llrs; arguments and errors as those of `timbral.scoring.figures.compute_figures`."""
    said = scores.said
    counts = ScoreCounts.of(scores.llrs, labels)
    hull = convex_hull(counts)
    eer, _ = counts.eer()
    del counts  # of ten million trials a quarter of a gigabyte
    actual = {prior: actual_dcf(scores.llrs, labels, prior) for prior in p_targets}
    means = _means(first, second, np.asarray(labels) == 1, draws, seed)
    intervals = (
        {}
        if means is None
        else {
            prior: interval_of(actual_costs(means, scores.llrs, prior))
            for prior, cost in actual.items()
            if cost > 0  # where no error was made, draws have none either
        }
    )
    return CalibratedFigures(
        cllr=cllr(said, labels),
        cllr_interval=None if means is None else interval_of(cllrs(means, said)),
        min_cllr=hull.min_cllr,
        eer=eer,
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
    """None where there can be no interval: that of the EER says why."""
    try:
        check_speakers(first, second, is_target)
    except DataError:
        return None
    return SpeakerMeans(first, second, is_target, draws=draws, seed=seed) if draws else None


def cllrs(means: SpeakerMeans, llrs: Floats | Vectors) -> Floats:
    """Cllr in each draw (draws,)."""
    of_target = means.of_targets(np.logaddexp(0.0, -llrs))
    return np.asarray((of_target + means.of_nontargets(np.logaddexp(0.0, llrs))) / (2 * np.log(2)))


def actual_costs(means: SpeakerMeans, llrs: Floats | Vectors, prior: float) -> Floats:
    """Actual DCF in each draw (draws,)."""
    accepted = llrs >= bayes_threshold(prior)
    return detection_cost(means.of_targets(~accepted), means.of_nontargets(accepted), prior)
