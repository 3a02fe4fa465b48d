"""The convex hull of the ROC: the best that scores can do as likelihood ratios.

The pool-adjacent-violators algorithm (PAV) joins neighboring scores until the fraction of target
trials rises from block to block. The blocks are the hull's edges, and their fractions of target
trials the best calibration that keeps the order of the scores (Brümmer and du Preez, Application-
independent evaluation of speaker detection, Computer Speech and Language 2006, section 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timbral.io.types import Floats, Ints
from timbral.scoring.metrics import SortedScores, check_p_target, detection_cost

__all__ = ["Hull", "convex_hull", "hull_of_levels", "min_cllr_of"]

FEW_BLOCKS = 4096
"""at most this many blocks are joined one by one"""
WORTHWHILE = 7 / 8
"""so are blocks of which a pass over whole runs has left more than this fraction"""
DRAWS_AT_ONCE = 64


@dataclass(frozen=True)
class Hull:
    """Blocks of scores, the lowest first.

    `scores` (K,), the lowest of each block; `targets` and `nontargets` (K,), numbers of trials.
    """

    scores: Floats
    targets: Ints
    nontargets: Ints

    @property
    def llrs(self) -> Floats:
        """Log-likelihood ratio (natural logarithm) of each block (K,), rising; may be infinite."""
        with np.errstate(divide="ignore"):
            odds = np.log(self.targets) - np.log(self.nontargets)
        return np.asarray(odds - np.log(self.targets.sum() / self.nontargets.sum()))

    @property
    def rates(self) -> tuple[Floats, Floats]:
        """Miss and false-alarm rates at the hull's corners (K + 1,)."""
        miss = np.r_[0, np.cumsum(self.targets)] / self.targets.sum()
        return miss, 1.0 - np.r_[0, np.cumsum(self.nontargets)] / self.nontargets.sum()

    def min_dcf(self, p_target: float) -> float:
        """Minimum of the normalized detection cost, which is at a corner of the hull."""
        check_p_target(p_target)
        return float(detection_cost(*self.rates, p_target).min())

    @property
    def eer(self) -> float:
        """Equal error rate on the hull, in [0, 0.5]."""
        miss, false_alarm = self.rates
        difference = miss - false_alarm  # rises from -1 to 1
        after = int(np.argmax(difference >= 0))
        fraction = -difference[after - 1] / (difference[after] - difference[after - 1])
        return float(miss[after - 1] + fraction * (miss[after] - miss[after - 1]))

    @property
    def min_cllr(self) -> float:
        """Cllr in bits after the best calibration that keeps the order."""
        llrs = self.llrs
        of_target = self.targets @ _block_costs(-llrs, self.targets) / self.targets.sum()
        of_nontarget = self.nontargets @ _block_costs(llrs, self.nontargets) / self.nontargets.sum()
        return float(of_target + of_nontarget) / 2


def _block_costs(llrs: Floats, trials: NDArray[Any]) -> Floats:
    """Cost in bits of each block's llr (K,), log2(1 + e^llr); 0 for a block without such trials.

    A block without trials of one kind has an infinite llr, which costs the other kind nothing.
    """
    known = np.where(trials > 0, llrs, -np.inf)
    return np.asarray(np.logaddexp(0.0, known) / np.log(2))


def convex_hull(trials: SortedScores) -> Hull:
    """The hull of scores.

    Non-target trials from one target score up to the next always share a block with the former, so
    there is one level per distinct target score, and one below.
    """
    scores, targets = np.unique(trials.targets, return_counts=True)
    below = np.searchsorted(trials.nontargets, scores)
    nontargets = np.diff(below, append=len(trials.nontargets))
    if below[0]:
        scores = np.append(trials.nontargets[0], scores)
        targets, nontargets = np.append(0, targets), np.append(below[0], nontargets)
    return hull_of_levels(scores, targets, nontargets)


def hull_of_levels(scores: ArrayLike, targets: Ints, nontargets: Ints) -> Hull:
    """The hull from rising `scores` (K,) and the numbers of trials of both kinds at each (K,)."""
    starts = _pool(targets, targets + nontargets, np.zeros(1, dtype=np.int64))
    in_each = (np.add.reduceat(kind, starts) for kind in (targets, nontargets))
    return Hull(np.asarray(scores, dtype=np.float64)[starts], *in_each)


def min_cllr_of(miss: Floats, false_alarm: Floats) -> Floats:
    """min Cllr in bits of each draw (draws,), from rates (draws, bins + 1) at rising thresholds.

    NaN for a draw without trials of one kind.
    """
    costs = np.full(len(miss), np.nan)
    drawn = np.flatnonzero(~np.isnan(miss[:, -1] + false_alarm[:, -1]))
    for start in range(0, len(drawn), DRAWS_AT_ONCE):
        rows = drawn[start : start + DRAWS_AT_ONCE]
        costs[rows] = _min_cllrs(np.diff(miss[rows]), -np.diff(false_alarm[rows]))
    return costs


def _min_cllrs(targets: Floats, nontargets: Floats) -> Floats:
    """min Cllr in bits (draws,), from the fraction of each kind's trials per bin (draws, bins)."""
    kept = targets + nontargets > 0  # 0 / 0 has no position in the order
    firsts = np.append(0, np.cumsum(kept.sum(axis=1)))[:-1]
    both = targets[kept], nontargets[kept]
    starts = _pool(both[0], both[0] + both[1], firsts)
    targets, nontargets = (np.add.reduceat(kind, starts) for kind in both)
    with np.errstate(divide="ignore"):
        llrs = np.log(targets) - np.log(nontargets)
    costs = targets * _block_costs(-llrs, targets) + nontargets * _block_costs(llrs, nontargets)
    return np.asarray(np.add.reduceat(costs, np.searchsorted(starts, firsts))) / 2


def _pool(targets: NDArray[Any], trials: NDArray[Any], firsts: Ints) -> Ints:
    """First level of each block of PAV.

    `targets` and `trials` (K,) count each level's target trials and all its trials, at least one.
    Several sets of levels may follow each other; `firsts` are their first levels, and no block
    extends over two sets. The order in which neighbors are joined does not change the result. So
    each pass joins whole runs in which the fraction of target trials does not rise; when few blocks
    are left, or joining whole runs no longer helps, they are joined one by one.
    """
    starts = np.arange(len(targets))
    begins = np.zeros(len(targets), dtype=bool)
    begins[firsts] = True
    while len(starts) > FEW_BLOCKS:
        rises = begins.copy()
        rises[1:] |= targets[1:] * trials[:-1] > targets[:-1] * trials[1:]
        kept = np.flatnonzero(rises)
        if len(kept) == len(starts):
            return starts
        helps = len(kept) < WORTHWHILE * len(starts)
        starts, begins = starts[kept], begins[kept]
        targets, trials = np.add.reduceat(targets, kept), np.add.reduceat(trials, kept)
        if not helps:
            break
    return _join_one_by_one(starts, targets, trials, begins)


def _join_one_by_one(
    starts: Ints, targets: NDArray[Any], trials: NDArray[Any], begins: NDArray[np.bool_]
) -> Ints:
    """Like `_pool`, for blocks that begin with the levels `starts`."""
    blocks: list[tuple[int, Any, Any]] = []  # first level, target trials, trials
    own = 0  # index of this set's first block
    levels = zip(*(each.tolist() for each in (starts, targets, trials, begins)), strict=True)
    for start, target, total, is_first in levels:
        if is_first:
            own = len(blocks)
        while len(blocks) > own and target * blocks[-1][2] <= blocks[-1][1] * total:
            start, target, total = (
                blocks[-1][0],
                blocks[-1][1] + target,
                blocks[-1][2] + total,
            )
            blocks.pop()
        blocks.append((start, target, total))
    return np.array([block[0] for block in blocks])
