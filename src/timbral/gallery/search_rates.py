"""How often a search gives a stranger any name: bounds supported by data.

A stranger who is searched among N voices may resemble any of N, and these chances depend on each
other: some strangers are like many voices, and some voices like many strangers. So the best score
of a search counts, not the N scores. Two kinds of data bound it:

- **Searches of strangers.** The recordings of each voice are searched among all other voices of the
  gallery, whose speakers are different; and so are recordings of strangers, if they are given.
  Errors of the gallery's own voices come in pairs (a is like b, and b like a), so N voices count
  as N / 2 strangers (E errors in N searches are E / 2 close pairs among N² / 2, of which a
  stranger has N). A guard keeps similar pairs out of the gallery, but they are counted, and also
  in pairs (`timbral.gallery.refused_searches`).
- **Pairs of the calibration.** The rate of a search is at most N times that of a pair, however they
  depend on each other (Boole's inequality). That helps in small galleries.

Which of the two is used depends only on their sizes, so that the bound keeps its 95 % confidence.

A calibration may have separate points for pairs with little speech, which accept more strangers at
the same llr. Recordings with so little speech then get separate rates: from searches of such
recordings only, or from such pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from timbral.calibration.argument_checks import check_rate
from timbral.calibration.calibration import OperatingPoint, bound_at
from timbral.errors import ConfigError
from timbral.io.types import Floats
from timbral.scoring.rate_bounds import poisson_bounds

__all__ = ["SearchRates", "StrangerSearches", "VoicePairs"]

WITHOUT_ERRORS = 3.0
"""upper limit, with 95 % confidence, of expected errors when no error was seen"""


@dataclass(frozen=True)
class StrangerSearches:
    """The best llrs of searches whose speaker is not among the voices."""

    best: Floats
    """(S,), in rising order"""
    weights: Floats
    """(S,): 1 for all searches of a speaker together, doubled for searches that stand for two"""
    independent: float
    """the number of independent strangers that these searches are worth"""
    num_speakers: int

    @classmethod
    def of(
        cls, best: Floats, speakers: Floats, independent: float, pairs: Floats | None = None
    ) -> StrangerSearches:
        """Sort searches (S,) by llr; `speakers` (S,) are numbers.

        `pairs` (S,) is 2 for a search that also stands for the search of its best voice; None: 1
        for all.
        """
        distinct, speaker, counts = np.unique(speakers, return_inverse=True, return_counts=True)
        weights = 1.0 / counts[speaker] * (1.0 if pairs is None else pairs)
        order = np.argsort(best, kind="stable")
        return cls(best[order], weights[order], independent, len(distinct))

    def bounds(self, llrs: Floats) -> Floats:
        """Upper bounds (K,), with 95 % confidence, on the rate of searches that reach each llr."""
        above = np.append(np.cumsum(self.weights[::-1])[::-1], 0.0)
        rates = above[np.searchsorted(self.best, llrs)] / self.num_speakers
        return np.minimum(poisson_bounds(rates * self.independent) / self.independent, 1.0)


@dataclass(frozen=True)
class VoicePairs:
    """Some of the voices, and the calibration's points for a recording and one of them."""

    count: int
    points: Sequence[OperatingPoint]
    num_speakers: int
    """number of speakers that the calibration was fitted on"""

    def bound(self, llr: float) -> float:
        """Upper bound, with 95 % confidence, on the rate of strangers that any of them accepts."""
        return self.count * bound_at(llr, self.points)

    @property
    def least(self) -> float:
        """The smallest such rate."""
        return self.count * min(point.false_accept_bound for point in self.points)


@dataclass(frozen=True)
class SearchRates:
    """The error rates that can be promised for a search among N voices."""

    num_voices: int
    searches: StrangerSearches | None
    """None for a single voice, or if there were no searches"""
    pairs: tuple[VoicePairs, ...] = ()
    """the pairs of a recording and each voice; empty unless all voices have a calibration"""

    @property
    def least(self) -> float:
        """The smallest rate that these data can promise; 1 if none."""
        return min(self._least_measured, self._least_of_pairs, 1.0)

    @property
    def _least_measured(self) -> float:
        return math.inf if self.searches is None else WITHOUT_ERRORS / self.searches.independent

    @property
    def _least_of_pairs(self) -> float:
        return sum(each.least for each in self.pairs) if self.pairs else math.inf

    def bound(self, llr: float) -> float:
        """Bound, with 95 % confidence, on the rate of strangers who get any name at this llr."""
        if self.searches is not None and self._least_measured <= self._least_of_pairs:
            return float(self.searches.bounds(np.array([llr]))[0])
        if not self.pairs:
            return 1.0
        return min(1.0, sum(each.bound(llr) for each in self.pairs))

    def threshold(self, false_accept: float) -> float:
        """The lowest llr at which at most this fraction of strangers gets any name.

        Raises ConfigError for a rate that the data cannot promise, with the one they can, and what
        would be needed.
        """
        check_rate("false_accept", false_accept)
        if self.searches is not None and self._least_measured <= self._least_of_pairs:
            candidates = np.nextafter(self.searches.best, np.inf)
            bounds = self.searches.bounds(candidates)
        else:
            candidates = np.unique([point.llr for each in self.pairs for point in each.points])
            bounds = np.array([self.bound(llr) for llr in candidates])
        kept = np.flatnonzero(bounds <= false_accept)
        if not len(kept):
            raise self._refusal(false_accept, float(bounds.min(initial=1.0)))
        return float(candidates[kept[0]])

    def _refusal(self, rate: float, least: float) -> ConfigError:
        strangers = math.ceil(WITHOUT_ERRORS / rate)
        ways = [
            f"vectors of {strangers:,} speakers who are not enrolled (`strangers`)",
            f"{2 * strangers:,} voices in the gallery",
        ]
        if self.pairs:
            speakers = min(each.num_speakers for each in self.pairs)
            needed = math.ceil(speakers * self._least_of_pairs / rate)
            ways.append(f"a calibration on about {needed:,} speakers")
        possible = f"{_rounded_up(least):g} can be" if least < 1 else "no rate can be"
        voices = f"{self.num_voices:,} {'voice' if self.num_voices == 1 else 'voices'}"
        return ConfigError(
            f"`false_accept`: {rate:g} cannot be promised for a search among {voices}; {possible}. "
            f"It would take {', or '.join(ways)}"
        )


def _rounded_up(rate: float) -> float:
    """The rate rounded up to two digits."""
    scale = 10.0 ** (1 - math.floor(math.log10(rate)))
    return math.ceil(rate * scale) / scale
