"""Error rates of scored trials, with intervals over speakers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from numpy.typing import ArrayLike

from timbral.errors import ConfigError, DataError
from timbral.io.types import Ints
from timbral.scoring.calibrated_figures import CalibratedFigures
from timbral.scoring.hull import convex_hull, min_cllr_of
from timbral.scoring.intervals import (
    Interval,
    SpeakerBootstrap,
    check_draws,
    count_present,
    eer_of,
    min_dcf_of,
)
from timbral.scoring.metrics import (
    SortedScores,
    ThresholdRates,
    check_false_accept,
    check_p_target,
)
from timbral.scoring.ranked_trials import RankedTrials

__all__ = ["DEFAULT_FALSE_ACCEPTS", "DEFAULT_P_TARGETS", "Figures", "compute_figures"]

DEFAULT_P_TARGETS = (0.01, 0.05)
"""priors of target trials at which papers on VoxCeleb and VoxSRC report minDCF"""
DEFAULT_FALSE_ACCEPTS = (0.001, 0.01)
"""false accept rates typical of products"""


@dataclass(frozen=True)
class Figures:
    """Error rates of trials, in [0, 1], with 95 % intervals over speakers."""

    eer: float
    """interpolated linearly between thresholds"""
    eer_interval: Interval | None
    """None if there can be none; `interval_note` says why, or warns about the interval"""
    threshold: float
    """score at which misses and false alarms are equally frequent"""
    eer_hull: float
    """on the convex hull of the ROC: at most `eer`"""
    min_dcf: dict[float, float]
    """by prior of target trials"""
    min_dcf_intervals: dict[float, Interval] = field(repr=False)
    min_cllr: float
    """bits, after the best calibration that keeps the order of the scores"""
    min_cllr_interval: Interval | None
    operating_points: dict[float, ThresholdRates]
    """by requested false accept rate: the lowest threshold that keeps it on these trials, which is
    no bound for others (`timbral.calibrate` gives one)"""
    num_trials: int
    num_targets: int
    num_speakers: int
    interval_note: str = ""
    calibrated: CalibratedFigures | None = None
    """costs of log-likelihood ratios; None without a calibration"""
    calibration_note: str = ""
    """why the encoder's calibration was not applied, or a warning about it; else empty"""

    @property
    def line(self) -> str:
        """The figures in one line."""
        interval, of_cllr = self.eer_interval, self.min_cllr_interval
        shown = (
            "" if interval is None else f" ({100 * interval.low:.2f} to {100 * interval.high:.2f})"
        )
        bits = "" if of_cllr is None else f" ({of_cllr.low:.3f} to {of_cllr.high:.3f})"
        costs = "  ".join(f"minDCF({prior:g}) {cost:.3f}" for prior, cost in self.min_dcf.items())
        return (
            f"EER {100 * self.eer:.2f} %{shown}  {costs}  min Cllr {self.min_cllr:.3f}{bits}  "
            f"trials {self.num_trials:,}  speakers {self.num_speakers:,}"
        )

    @property
    def thresholds_line(self) -> str:
        """The thresholds of `operating_points` in one line; empty if there are none."""
        shown = [
            f"{'none' if point.threshold is None else format(point.threshold, '.4f')} at "
            f"{100 * rate:g} % false accepts ({100 * point.false_reject:.2f} % false rejects)"
            for rate, point in self.operating_points.items()
        ]
        return f"thresholds {', '.join(shown)}" if shown else ""

    def as_dict(self) -> dict[str, Any]:
        """The figures for JSON, with priors and rates as text."""
        values = asdict(self)
        for name in ("min_dcf", "min_dcf_intervals", "operating_points"):
            values[name] = {f"{key:g}": value for key, value in values[name].items()}
        values["calibrated"] = None if self.calibrated is None else self.calibrated.as_dict()
        return values


def compute_figures(
    scores: ArrayLike,
    labels: ArrayLike,
    first: Ints,
    second: Ints,
    *,
    p_targets: Sequence[float] = DEFAULT_P_TARGETS,
    false_accepts: Sequence[float] = DEFAULT_FALSE_ACCEPTS,
    draws: int = 1000,
    seed: int = 0,
) -> Figures:
    """Error rates of N trials, with intervals.

    Args:
        scores: (N,)
        labels: (N,), 1 for target trials
        first, second: (N,) speaker numbers of both sides, from 0
        p_targets: priors of target trials, each in (0, 1)
        false_accepts: rates of false accepts for which thresholds are given, each in [0, 1)
        draws: of speakers, for the intervals, 100 or more; 0: none
        seed: of the draws

    Raises DataError when trials of one kind are missing or a score is NaN, ConfigError for a prior,
    a rate or a number of draws out of range.
    """
    if not p_targets:
        raise ConfigError("`p_target`: at least one prior of target trials is needed, such as 0.05")
    for prior in p_targets:
        check_p_target(prior)
    for false_accept in false_accepts:
        check_false_accept(false_accept)
    check_draws(draws)
    trials = RankedTrials.of(scores, labels)
    kinds = SortedScores(*trials.kinds)
    rate, threshold = kinds.eer()
    hull = convex_hull(kinds)
    bootstrap, note = _bootstrap(trials, first, second, draws, seed)
    if rate == 0.0:
        bootstrap, note = None, note or "no interval: there is no error in these trials"
    intervals = (
        {}
        if bootstrap is None
        else {prior: bootstrap.interval(min_dcf_of(prior)) for prior in p_targets}
    )
    return Figures(
        eer=rate,
        eer_interval=None if bootstrap is None else bootstrap.interval(eer_of),
        threshold=threshold,
        eer_hull=hull.eer,
        min_dcf={prior: hull.min_dcf(prior) for prior in p_targets},
        min_dcf_intervals=intervals,
        min_cllr=hull.min_cllr,
        min_cllr_interval=None if bootstrap is None else bootstrap.interval(min_cllr_of),
        operating_points={limit: kinds.at_false_accept(limit) for limit in false_accepts},
        num_trials=int(hull.targets.sum() + hull.nontargets.sum()),
        num_targets=int(hull.targets.sum()),
        num_speakers=count_present(first, second),
        interval_note=note,
    )


def _bootstrap(
    trials: RankedTrials, first: Ints, second: Ints, draws: int, seed: int
) -> tuple[SpeakerBootstrap | None, str]:
    if not draws:
        return None, "no interval was requested"
    try:
        return SpeakerBootstrap(trials, first, second, draws=draws, seed=seed), ""
    except DataError as error:
        return None, f"no interval: {error}"
