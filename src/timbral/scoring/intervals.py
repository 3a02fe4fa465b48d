"""Intervals of error rates: how far the figures would move with other speakers.

Trials of one speaker go together: an encoder that fails on somebody fails in all of that
speaker's trials. So speakers are drawn, not trials, and both sides of a trial count: with
speaker a drawn m times and speaker b n times, a non-target trial between them has the weight
m · n, and a target trial of a the weight m (Bolle, Ratha and Pankanti, Error analysis of pattern
recognition systems: the subsets bootstrap, CVIU 2004; for pairs of speakers: Snijders and Borgatti,
Non-parametric standard errors and tests for network statistics, Connections 1999).

Scores are sorted once, into bins that are narrow where error rates are decided; a draw then needs
the weight in each bin, and no sorting.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from timbral.errors import ConfigError, DataError
from timbral.io.types import Floats, Ints
from timbral.scoring.metrics import check_p_target, detection_cost

__all__ = [
    "Figure",
    "Interval",
    "SpeakerBootstrap",
    "check_draws",
    "cllr_of",
    "count_present",
    "eer_of",
    "interval_of",
    "min_dcf_of",
    "order_of_scores",
]

Figure = Callable[[Floats, Floats], Floats]
"""from miss and false-alarm rates (draws, bins + 1) to a number for each draw"""
QUANTILES = 4096
"""bins hold at most this fraction of the target trials, and of the non-target trials"""
TAIL_STEPS = 64
"""in the tails, bins for each doubling of the number of trials beyond"""
MIN_DRAWS = 100
MIN_SPEAKERS = 5
"""fewer speakers say nothing of others"""
BLOCK_WEIGHTS = 2**18
"""weights, of some trials in all draws, computed at once: they stay in the processor's cache"""


@dataclass(frozen=True)
class Interval:
    """An interval that holds the figure of other speakers of this kind in 95 of 100 cases."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}"


class SpeakerBootstrap:
    """Weights of trials in draws of speakers with replacement, by bin of scores.

    Args:
        scores: (N,)
        labels: (N,), 1 for target trials
        first, second: (N,) the speakers of a trial's two sides, as numbers from 0 to S - 1
        draws: how often S speakers are drawn
        seed: of the draws

    Raises DataError when a target trial is of two speakers or a non-target trial of one, and for
    fewer than `MIN_SPEAKERS` speakers.

    `targets` and `nontargets` (draws, bins) are the weights; `lows` (bins,) the lowest score of a
    bin.
    """

    def __init__(
        self,
        scores: ArrayLike,
        labels: ArrayLike,
        first: Ints,
        second: Ints,
        *,
        draws: int = 1000,
        seed: int = 0,
    ) -> None:
        score = np.asarray(scores)
        target = np.asarray(labels).astype(bool)
        if ((first == second) != target).any():
            row = int(np.argmax((first == second) != target))
            raise DataError(
                f"trial {row + 1} is a {'target' if target[row] else 'non-target'} trial, but its "
                f"recordings are of {'two speakers' if target[row] else 'one speaker'}"
            )
        present = count_present(first, second)
        if present < MIN_SPEAKERS:
            raise DataError(
                f"an interval over speakers needs {MIN_SPEAKERS} of them or more; got {present}"
            )
        self.num_speakers = int(max(first.max(), second.max())) + 1
        generator = np.random.default_rng(seed)
        even = np.full(self.num_speakers, 1 / self.num_speakers)
        counts = generator.multinomial(self.num_speakers, even, size=draws)
        times = _smallest_integers(np.ascontiguousarray(counts.T))
        order = order_of_scores(score)
        rising, is_target = score[order], target[order]
        kinds = rising[is_target], rising[~is_target]
        self.lows = _bins(*kinds)
        left, right = first[order[is_target]], None
        self.targets = _weights(times, left, right, np.searchsorted(kinds[0], self.lows))
        others = order[~is_target]
        starts = np.searchsorted(kinds[1], self.lows)
        self.nontargets = _weights(times, first[others], second[others], starts)
        self._rates = self._compute_rates()

    def interval(self, figure: Figure) -> Interval:
        """95 % interval of a figure of miss and false-alarm rates.

        `figure` takes both rates (draws, bins + 1), at the low end of every bin and above all, and
        gives a number for each draw. Draws without trials of one kind do not count.
        """
        return interval_of(self.values(figure))

    def values(self, figure: Figure) -> Floats:
        """A figure in each draw (draws,); NaN where a draw has no trials of one kind."""
        return figure(*self._rates)

    def _compute_rates(self) -> tuple[Floats, Floats]:
        """Miss and false-alarm rates (draws, bins + 1): from the low end of each bin, above all."""
        missed = np.cumsum(np.pad(self.targets, ((0, 0), (1, 0))), axis=1)
        rejected = np.cumsum(np.pad(self.nontargets, ((0, 0), (1, 0))), axis=1)
        with np.errstate(invalid="ignore"):
            return missed / missed[:, -1:], 1.0 - rejected / rejected[:, -1:]


def interval_of(values: Floats) -> Interval:
    """The 95 % interval of a figure's values in all draws."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))


def check_draws(draws: int) -> None:
    """ConfigError for a number of draws whose percentiles say nothing; 0 stands for no interval."""
    if draws and draws < MIN_DRAWS:
        raise ConfigError(f"draws is {MIN_DRAWS} or more, or 0 for no interval; got {draws}")


def eer_of(miss: Floats, false_alarm: Floats) -> Floats:
    """Equal error rate of each draw, on straight lines between thresholds."""
    difference = miss - false_alarm
    after = np.argmax(difference >= 0, axis=1)[:, None]
    here, there = (np.take_along_axis(difference, at, axis=1) for at in (after - 1, after))
    low, high = (np.take_along_axis(miss, at, axis=1) for at in (after - 1, after))
    with np.errstate(invalid="ignore"):
        return np.asarray(low + (high - low) * -here / (there - here))[:, 0]


def min_dcf_of(p_target: float) -> Figure:
    """minDCF of each draw, at a prior."""
    check_p_target(p_target)

    def figure(miss: Floats, false_alarm: Floats) -> Floats:
        return np.asarray(detection_cost(miss, false_alarm, p_target).min(axis=1))

    return figure


def cllr_of(lows: Floats) -> Figure:
    """Cllr of each draw, in bits, of llrs whose bins begin at `lows` (bins,)."""
    of_target, of_nontarget = np.logaddexp(0.0, -lows), np.logaddexp(0.0, lows)

    def figure(miss: Floats, false_alarm: Floats) -> Floats:
        targets, nontargets = np.diff(miss, axis=1), -np.diff(false_alarm, axis=1)
        cost = targets @ of_target + nontargets @ of_nontarget
        return np.asarray(cost / (2 * np.log(2)))

    return figure


def count_present(first: Ints, second: Ints) -> int:
    """How many speakers are on one side of a trial, or on both."""
    is_present = np.zeros(int(max(first.max(), second.max())) + 1, dtype=bool)
    is_present[first] = True
    is_present[second] = True
    return int(is_present.sum())


def order_of_scores(scores: NDArray[Any]) -> Ints:
    """The rows of scores (N,), none of them NaN, from the lowest to the highest.

    A float32 and its row are sorted as one integer, which takes a third of the time: the bits of
    positive floats rise with them, those of negative ones fall.
    """
    if scores.dtype != np.float32 or len(scores) >= 2**32:
        return np.argsort(scores, kind="stable")
    bits = np.ascontiguousarray(scores).view(np.uint32)
    keys = np.where(bits >> 31, ~bits, bits | np.uint32(2**31)).astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(len(scores), dtype=np.uint64)
    keys.sort()
    keys &= np.uint64(2**32 - 1)
    return keys.view(np.int64)


def _bins(targets: NDArray[Any], nontargets: NDArray[Any]) -> Floats:
    """Low ends of bins: quantiles of both kinds, and ever finer ones in the tails that overlap.

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


def _smallest_integers(counts: Ints) -> torch.Tensor:
    """Counts (S, draws) in the smallest type that holds the product of any two of them."""
    for kind in (torch.uint8, torch.int16, torch.int32):
        if int(counts.max()) ** 2 <= torch.iinfo(kind).max:
            return torch.from_numpy(counts).to(kind)
    return torch.from_numpy(counts)


def _weights(times: torch.Tensor, first: Ints, second: Ints | None, starts: Ints) -> Floats:
    """Weight of the trials of each bin (draws, bins); `times` (S, draws): how often each is drawn.

    Trials come in the order of their bins, those of bin b from `starts[b]` on. Target trials are of
    one speaker: `second` is None.
    """
    left = torch.from_numpy(first.astype(np.int64))
    right = None if second is None else torch.from_numpy(second.astype(np.int64))
    block = max(1, BLOCK_WEIGHTS // times.shape[1])
    # of bytes 2^18 products stay far below 2^31, and their sum takes half the time
    kind = torch.int32 if times.dtype == torch.uint8 else torch.int64
    weights = np.zeros((len(starts), times.shape[1]))
    bounds = [*starts.tolist(), len(left)]
    for at, (begin, end) in enumerate(itertools.pairwise(bounds)):
        for row in range(begin, end, block):
            rows = slice(row, min(row + block, end))
            weight = times.index_select(0, left[rows])
            if right is not None:
                weight *= times.index_select(0, right[rows])
            weights[at] += weight.sum(0, dtype=kind).numpy()
    return weights.T
