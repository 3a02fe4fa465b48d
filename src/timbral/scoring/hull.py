"""The convex hull of the ROC: what scores could do at best as likelihood ratios.

The pool-adjacent-violators algorithm (PAV) joins neighboring scores until the share of target
trials rises from block to block. The blocks are the hull's edges, and their shares of target trials
the best calibration that keeps the order of the scores (Brümmer and du Preez, Application-
independent evaluation of speaker detection, Computer Speech and Language 2006, section 5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from timbral.io.types import Floats, Ints
from timbral.scoring.metrics import ScoreCounts, check_p_target, detection_cost

__all__ = ["Hull", "convex_hull"]

FEW_BLOCKS = 4096
"""from here on blocks are joined one by one"""


@dataclass(frozen=True)
class Hull:
    """Blocks of scores, the lowest first.

    `scores` (K,), the lowest of each block; `targets` and `nontargets` (K,), trials in each block.
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
        """Miss and false-alarm rates at its corners (K + 1,)."""
        miss = np.r_[0, np.cumsum(self.targets)] / self.targets.sum()
        return miss, 1.0 - np.r_[0, np.cumsum(self.nontargets)] / self.nontargets.sum()

    def min_dcf(self, p_target: float) -> float:
        """Minimum of the normalized detection cost: no threshold costs less than all corners."""
        check_p_target(p_target)
        return float(detection_cost(*self.rates, p_target).min())

    @property
    def eer(self) -> float:
        """Where the hull meets miss = false alarm; in [0, 0.5]."""
        miss, false_alarm = self.rates
        difference = miss - false_alarm  # rises from -1 to 1
        after = int(np.argmax(difference >= 0))
        fraction = -difference[after - 1] / (difference[after] - difference[after - 1])
        return float(miss[after - 1] + fraction * (miss[after] - miss[after - 1]))

    @property
    def min_cllr(self) -> float:
        """Cllr in bits after the best calibration that keeps the order."""
        llrs = self.llrs
        of_target = self.targets @ _bits(-llrs, self.targets) / self.targets.sum()
        of_nontarget = self.nontargets @ _bits(llrs, self.nontargets) / self.nontargets.sum()
        return float(of_target + of_nontarget) / 2


def _bits(llrs: Floats, trials: Ints) -> Floats:
    """log2(1 + e^llr); 0 where there are no trials, as in a block whose ratio is infinite."""
    known = np.where(trials > 0, llrs, -np.inf)
    return np.asarray(np.logaddexp(0.0, known) / np.log(2))


def convex_hull(counts: ScoreCounts) -> Hull:
    """The hull of scores that are counted."""
    starts = _pool(counts.targets, counts.targets + counts.nontargets)
    in_each = (np.add.reduceat(kind, starts) for kind in (counts.targets, counts.nontargets))
    return Hull(counts.scores[starts].astype(np.float64), *in_each)


def _pool(targets: Ints, trials: Ints) -> Ints:
    """First level of each block of PAV.

    Any order of joining neighbors that violate the order ends in the same blocks. So each pass
    joins whole runs in which the share of target trials does not rise; when few blocks are left,
    they are joined one by one.
    """
    starts = np.arange(len(targets))
    counts = targets, trials
    while len(starts) > FEW_BLOCKS:
        of, among = counts
        behind = np.flatnonzero(of[1:]) + 1  # without a target trial the share does not rise
        rises = of[behind] * among[behind - 1] > of[behind - 1] * among[behind]
        if rises.sum() + 1 == len(starts):
            return starts
        kept = np.append(0, behind[rises])
        starts = starts[kept]
        counts = np.add.reduceat(of, kept), np.add.reduceat(among, kept)
    blocks: list[tuple[int, int, int]] = []  # first level, target trials, trials
    for start, target, total in zip(starts.tolist(), *(c.tolist() for c in counts), strict=True):
        while blocks and target * blocks[-1][2] <= blocks[-1][1] * total:
            start, target, total = (
                blocks[-1][0],
                blocks[-1][1] + target,
                blocks[-1][2] + total,
            )
            blocks.pop()
        blocks.append((start, target, total))
    return np.array([block[0] for block in blocks])
