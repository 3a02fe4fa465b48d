"""Intervals of error rates: how far the figures would move with other speakers.

Trials of one speaker are dependent: an encoder that fails on a speaker fails in all of that
speaker's trials. So speakers are drawn, not trials, and both sides of a trial count: with speaker a
drawn m times and speaker b n times, a non-target trial between them has the weight m · n, and a
target trial of a the weight m (Bolle, Ratha and Pankanti, Error analysis of pattern recognition
systems: the subsets bootstrap, CVIU 2004; for pairs of speakers: Snijders and Borgatti,
Non-parametric standard errors and tests for network statistics, Connections 1999).

Scores are sorted once, into bins that are narrow where error rates are decided; a draw then needs
only the weight in each bin, and no sorting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbral.errors import ConfigError, DataError
from timbral.io.types import Floats, Ints
from timbral.scoring.bin_weights import bin_weights, smallest_integers
from timbral.scoring.metrics import check_p_target, detection_cost
from timbral.scoring.ranked_trials import RankedTrials

__all__ = [
    "Figure",
    "Interval",
    "SpeakerBootstrap",
    "check_draws",
    "check_speakers",
    "cllr_of",
    "count_present",
    "draw_speakers",
    "eer_of",
    "interval_of",
    "min_dcf_of",
]

Figure = Callable[[Floats, Floats], Floats]
"""from miss and false-alarm rates (draws, bins + 1) to a number for each draw"""
QUANTILES = 4096
"""bins contain at most 1 / QUANTILES of the target trials, and of the non-target trials"""
TAIL_STEPS = 64
"""bins in the tails, each time the number of trials beyond doubles"""
MIN_DRAWS = 100
MIN_SPEAKERS = 5
"""fewer speakers do not represent others"""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval: it contains the figure of other such speakers in 95 of 100 cases."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}"


class SpeakerBootstrap:
    """Weights of trials in draws of speakers with replacement, by bin of scores.

    Args:
        trials: N ranked trials
        first, second: (N,) speaker numbers of both sides, from 0 to S - 1, in the order of the
            trials before they were ranked
        draws: how often S speakers are drawn
        seed: of the draws

    Raises DataError for a target trial of two speakers, a non-target trial of one, and fewer than
    `MIN_SPEAKERS` speakers.

    `targets` and `nontargets` (draws, bins) are the weights; `lows` (bins,) are the lowest scores
    of the bins.
    """

    def __init__(
        self,
        trials: RankedTrials,
        first: Ints,
        second: Ints,
        *,
        draws: int = 1000,
        seed: int = 0,
    ) -> None:
        order, is_target = trials.order, trials.is_target
        check_speakers(first, second, is_target, order)
        counts = draw_speakers(first, second, draws, seed)
        self.num_speakers = counts.shape[1]
        times = smallest_integers(np.ascontiguousarray(counts.T))
        kinds = trials.kinds
        self.lows = _bins(*kinds)
        of_targets, of_others = order[is_target], order[~is_target]
        starts = [np.searchsorted(kind, self.lows) for kind in kinds]
        self.targets = bin_weights(times, first[of_targets], None, starts[0])
        self.nontargets = bin_weights(times, first[of_others], second[of_others], starts[1])
        self._rates = self._compute_rates()

    def interval(self, figure: Figure) -> Interval:
        """95 % interval of a figure of miss and false-alarm rates.

        `figure` takes both rates (draws, bins + 1), at the low end of every bin and above all
        scores, and returns a number for each draw. Draws without trials of one kind do not count.
        """
        return interval_of(self.values(figure))

    def values(self, figure: Figure) -> Floats:
        """A figure in each draw (draws,); NaN where a draw has no trials of one kind."""
        return figure(*self._rates)

    def _compute_rates(self) -> tuple[Floats, Floats]:
        """Miss and false-alarm rates (draws, bins + 1), at each bin's low end and above all."""
        missed_sums = np.cumsum(np.pad(self.targets, ((0, 0), (1, 0))), axis=1)
        rejected = np.cumsum(np.pad(self.nontargets, ((0, 0), (1, 0))), axis=1)
        with np.errstate(invalid="ignore"):
            return missed_sums / missed_sums[:, -1:], 1.0 - rejected / rejected[:, -1:]


def check_speakers(
    first: Ints, second: Ints, is_target: NDArray[np.bool_], order: Ints | slice = slice(None)
) -> None:
    """Raise DataError if speakers (N,) contradict the kinds of trials, or are too few.

    `is_target` (N,) is in the given `order` of the trials.
    """
    contrary = (first == second)[order] != is_target
    if contrary.any():
        row = int(np.arange(len(first))[order][contrary].min())
        same = first[row] == second[row]
        raise DataError(
            f"trial {row + 1} is a {'non-target' if same else 'target'} trial, but its "
            f"recordings are of {'one speaker' if same else 'two speakers'}"
        )
    present = count_present(first, second)
    if present < MIN_SPEAKERS:
        raise DataError(
            f"an interval over speakers needs at least {MIN_SPEAKERS} of them; got {present}"
        )


def draw_speakers(first: Ints, second: Ints, draws: int, seed: int) -> Ints:
    """How often each speaker occurs in each draw of S speakers with replacement (draws, S).

    `first` and `second` (N,) are speaker numbers of both sides of trials, from 0 to S - 1.
    """
    speakers = int(max(first.max(), second.max())) + 1
    even = np.full(speakers, 1 / speakers)
    return np.asarray(np.random.default_rng(seed).multinomial(speakers, even, size=draws))


def interval_of(values: Floats) -> Interval:
    """The 95 % interval of a figure's values in all draws."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))


def check_draws(draws: int) -> None:
    """Raise ConfigError for too few draws for percentiles; 0 means no interval."""
    if draws and draws < MIN_DRAWS:
        raise ConfigError(f"`draws` must be {MIN_DRAWS} or more, or 0 for no interval; got {draws}")


def eer_of(miss: Floats, false_alarm: Floats) -> Floats:
    """Equal error rate of each draw, interpolated linearly between thresholds."""
    difference = miss - false_alarm
    after = np.argmax(difference >= 0, axis=1)[:, None]
    here, there = (np.take_along_axis(difference, at, axis=1) for at in (after - 1, after))
    low, high = (np.take_along_axis(miss, at, axis=1) for at in (after - 1, after))
    with np.errstate(invalid="ignore"):
        return np.asarray(low + (high - low) * -here / (there - here))[:, 0]


def min_dcf_of(p_target: float) -> Figure:
    """The function from rates to the minDCF of each draw, at a prior."""
    check_p_target(p_target)

    def figure(miss: Floats, false_alarm: Floats) -> Floats:
        return np.asarray(detection_cost(miss, false_alarm, p_target).min(axis=1))

    return figure


def cllr_of(lows: Floats) -> Figure:
    """The function from rates to the Cllr (bits) of each draw; llr bins begin at `lows` (bins,)."""
    of_target, of_nontarget = np.logaddexp(0.0, -lows), np.logaddexp(0.0, lows)

    def figure(miss: Floats, false_alarm: Floats) -> Floats:
        targets, nontargets = np.diff(miss, axis=1), -np.diff(false_alarm, axis=1)
        cost = targets @ of_target + nontargets @ of_nontarget
        return np.asarray(cost / (2 * np.log(2)))

    return figure


def count_present(first: Ints, second: Ints) -> int:
    """Number of different speakers in trials; arguments as for `draw_speakers`."""
    is_present = np.zeros(int(max(first.max(), second.max())) + 1, dtype=bool)
    is_present[first] = True
    is_present[second] = True
    return int(is_present.sum())


def _bins(targets: NDArray[Any], nontargets: NDArray[Any]) -> Floats:
    """Low ends of bins: quantiles of both kinds, and ever finer ones in the overlapping tails.

    `targets` and `nontargets` are scores in rising order.
    """
    if targets.size + nontargets.size <= 4 * QUANTILES:
        return np.unique(np.concatenate((targets, nontargets))).astype(np.float64)
    edges = [np.array([min(targets[0], nontargets[0])])]
    for scores, rising in ((targets, True), (nontargets, False)):
        even = np.linspace(0, scores.size - 1, QUANTILES)
        doublings = np.arange(0, np.log2(scores.size), 1 / TAIL_STEPS)
        tail = np.minimum(2**doublings - 1, scores.size - 1)
        rows = np.concatenate((even, tail if rising else scores.size - 1 - tail)).astype(np.int64)
        edges.append(scores[rows])
    return np.unique(np.concatenate(edges)).astype(np.float64)
