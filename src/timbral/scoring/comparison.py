"""Compare two systems on the same trials: is the difference real?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from timbral.embeddings.name_matching import match_loosely
from timbral.errors import ConfigError, DataError
from timbral.io.types import Ints
from timbral.scoring.figures import DEFAULT_P_TARGETS
from timbral.scoring.hull import convex_hull, min_cllr_of
from timbral.scoring.intervals import (
    MIN_DRAWS,
    Figure,
    Interval,
    SpeakerBootstrap,
    eer_of,
    interval_of,
    min_dcf_of,
)
from timbral.scoring.list_remarks import pair_keys
from timbral.scoring.list_speakers import listed_speakers
from timbral.scoring.llr_comparison import ComparedCost, compared_costs, llrs_of
from timbral.scoring.metrics import SortedScores
from timbral.scoring.missing_trials import are_too_many
from timbral.scoring.ranked_trials import RankedTrials
from timbral.scoring.score_file import ScoredList, read_scores, scores_file
from timbral.scoring.speaker_means import SpeakerMeans
from timbral.scoring.system_names import system_names
from timbral.scoring.trial_list import UNKNOWN, TrialList
from timbral.scoring.trial_speakers import GUESSED, speakers_of

__all__ = ["Comparison", "Difference", "compare"]


SCORES_AGREE = 1e-5
"""largest difference of scores of one pair that rounding may cause, relative to the range of all"""


@dataclass(frozen=True)
class Difference:
    """A figure of two systems, and the second minus the first with its 95 % interval."""

    name: str
    first: float
    second: float
    interval: Interval
    """interval of second - first, over speakers"""

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval.low > 0 or self.interval.high < 0


@dataclass(frozen=True)
class Comparison:
    """Two systems on the trials that both scored."""

    differences: tuple[Difference, ...]
    num_trials: int
    num_speakers: int
    num_left_out: int
    """pairs that only one system scored"""
    note: str = ""
    """a warning about the intervals; else empty"""
    is_one_system: bool = False
    """both gave every trial the same score"""
    names: tuple[str, str] = ("first", "second")
    """names of the systems, from what differs between the paths of their scores"""

    def verdict(self, difference: Difference) -> str:
        """Which system is better by one of the differences."""
        if not difference.is_clear:
            return "no clear difference on these speakers"
        return f"{self.names[0 if difference.interval.low > 0 else 1]} is better"


def compare(
    first: str | Path,
    second: str | Path,
    *,
    speakers: str | Path | Mapping[str, str] | None = None,
    p_target: Sequence[float] = DEFAULT_P_TARGETS,
    draws: int = 1000,
    seed: int = 0,
    skip_missing: bool = False,
) -> Comparison:
    """Compare two systems on the same trials, with the same speakers drawn for both.

    The figures of two systems vary together when other speakers are drawn, so their difference is
    much more precise than their separate intervals suggest.

    Args:
        first: scores from `evaluate`, `score` or other tools (see `read_scores`), or a folder with
            scores.txt; only one of the two needs labels. For two folders of calibrated evaluations,
            Cllr and actual DCF are compared, too
        second: the scores of the other system. If the two scored different trials, those in both
            are compared, each pair once; 1 % of the pairs may be in only one
        speakers: the speaker of each name in the lists, or a file of lines ``name speaker``
            (Kaldi's utt2spk); None: those that `evaluate` saved with the scores, else groups of
            recordings connected by target trials
        p_target: priors of target trials for minDCF, each in (0, 1)
        draws: bootstrap draws of speakers, at least 100
        seed: random seed of the draws
        skip_missing: leave out all trials that only one system scored

    Raises DataError if the two share no trials, label them differently, or too many were scored by
    only one of them.
    """
    if draws < MIN_DRAWS:
        raise ConfigError(f"`draws` must be {MIN_DRAWS} or more; got {draws}")
    lists = [read_scores(path) for path in (first, second)]
    where = f"{first} and {second}"
    left, right, left_out = _shared(lists[0], lists[1], where)
    if not skip_missing:
        _refuse_many(left_out, len(left), where)
    trials = _labeled(lists[0].trials.select(left), lists[1].trials.labels[right])
    speakers = listed_speakers(speakers, scores_file(first), scores_file(second))
    of_names = speakers_of(trials, speakers)
    sides = of_names[trials.first], of_names[trials.second]
    scores = lists[0].scores[left], lists[1].scores[right]
    ranked = [RankedTrials.of(score, trials.labels) for score in scores]
    kinds = [SortedScores(*each.kinds) for each in ranked]
    rates = [each.eer()[0] for each in kinds]
    bootstraps = _bootstraps(ranked, rates, sides, draws, seed, where)
    differences = []
    for name, figure, (one, other) in [("EER", eer_of, rates), *_rank_figures(kinds, p_target)]:
        drawn = [bootstrap.values(figure) for bootstrap in bootstraps]
        differences.append(Difference(name, one, other, interval_of(drawn[1] - drawn[0])))
    llrs = [llrs_of(path, scored) for path, scored in zip((first, second), lists, strict=True)]
    if llrs[0] is not None and llrs[1] is not None:
        both = llrs[0].select(left), llrs[1].select(right)
        means = SpeakerMeans(*sides, trials.labels == 1, draws=draws, seed=seed)
        differences += _cost_differences(compared_costs(both, trials.labels, means, p_target))
    return Comparison(
        tuple(differences),
        len(trials),
        len(np.unique(np.concatenate(sides))),
        left_out,
        GUESSED if speakers is None else "",
        np.array_equal(*scores),
        system_names(first, second),
    )


def _refuse_many(left_out: int, count: int, where: str) -> None:
    """Raise DataError if too many trials were scored by only one system."""
    if are_too_many(left_out, left_out + count):
        raise DataError(
            f"{where}: {left_out:,} trials were scored by only one of them, {count:,} by both; "
            "score one list with both, or set `skip_missing` to leave the others out"
        )


def _rank_figures(
    kinds: Sequence[SortedScores], p_target: Sequence[float]
) -> Iterator[tuple[str, Figure, list[float]]]:
    """Figures that depend only on the order of scores: name, function of draws, both values."""
    hulls = [convex_hull(each) for each in kinds]
    for prior in p_target:
        costs = [hull.min_dcf(prior) for hull in hulls]
        yield f"minDCF({prior:g})", min_dcf_of(prior), costs
    yield "min Cllr", min_cllr_of, [hull.min_cllr for hull in hulls]


def _labeled(trials: TrialList, labels: NDArray[np.int8]) -> TrialList:
    """Trials (N,) with the other list's labels (N,) where they have none."""
    return replace(trials, labels=np.where(trials.labels == UNKNOWN, labels, trials.labels))


def _cost_differences(costs: Iterable[ComparedCost]) -> Iterator[Difference]:
    for each in costs:
        interval = interval_of(each.drawn[1] - each.drawn[0])
        yield Difference(each.name, *each.costs, interval)


def _bootstraps(
    ranked: Sequence[RankedTrials],
    rates: Sequence[float],
    sides: tuple[Ints, Ints],
    draws: int,
    seed: int,
    where: str,
) -> list[SpeakerBootstrap]:
    """The bootstrap of each system; the DataError for too few speakers still gives the EERs."""
    try:
        return [SpeakerBootstrap(each, *sides, draws=draws, seed=seed) for each in ranked]
    except DataError as error:
        shown = " and ".join(f"{100 * rate:.2f} %" for rate in rates)
        raise DataError(
            f"{where}: EER {shown}; no difference can be measured with these trials: {error}"
        ) from None


def _shared(one: ScoredList, other: ScoredList, where: str) -> tuple[Ints, Ints, int]:
    """Rows of the shared trials in each list, in one order, and the number of unshared trials."""
    if not (one.trials.is_labeled or other.trials.is_labeled):
        raise DataError(
            f"{where}: at least one of them needs labels of target and non-target trials"
        )
    spelled = _respelled(other.trials.names, one.trials.names)
    names = pc.unique(pa.concat_arrays([one.trials.names, spelled]))
    one_keys = _keys(one.trials, names)
    other_keys = _keys(replace(other.trials, names=spelled), names)
    if np.array_equal(one_keys, other_keys):  # the same list: repeated pairs stay repeated
        left = right = np.arange(len(one_keys))
    else:
        for scored, keys in ((one, one_keys), (other, other_keys)):
            _refuse_several_scores(scored, keys, where)
        _, left, right = np.intersect1d(one_keys, other_keys, return_indices=True)
    if not len(left):
        examples = [
            f"{each.names[int(each.first[0])]} with {each.names[int(each.second[0])]}"
            for each in (one.trials, other.trials)
        ]
        raise DataError(
            f"{where}: have no trial in common; compare scores of the same list (the first of one "
            f"is {examples[0]}, of the other {examples[1]})"
        )
    labels = one.trials.labels[left], other.trials.labels[right]
    differs = (labels[0] != labels[1]) & (labels[0] != UNKNOWN) & (labels[1] != UNKNOWN)
    if differs.any():
        raise DataError(f"{where}: have different labels for the same trials: {differs.sum():,}")
    return left, right, len(np.setxor1d(one_keys, other_keys))


def _refuse_several_scores(scored: ScoredList, keys: Ints, where: str) -> None:
    """Raise DataError if a pair has different scores: none could be matched with the other's."""
    order = np.argsort(keys, kind="stable")
    scores = scored.scores[order]
    finite = scores[np.isfinite(scores)]
    rounding = SCORES_AGREE * float(np.ptp(finite)) if finite.size else 0.0
    agree = np.isclose(scores[1:], scores[:-1], rtol=0, atol=rounding)
    differs = (np.diff(keys[order]) == 0) & ~agree
    if differs.any():
        at = int(np.flatnonzero(differs)[0])
        trials, row = scored.trials, int(order[at])
        one, other = (trials.names[int(side[row])] for side in (trials.first, trials.second))
        raise DataError(
            f"{where}: one of them has several scores of {one} with {other}, such as "
            f"{scores[at]:g} and {scores[at + 1]:g}; keep one line of each pair"
        )


def _respelled(names: pa.Array, known: pa.Array) -> pa.Array:
    """Names (K,) as `known` spells them, where they differ only in suffix or folders."""
    rows = np.asarray(pc.fill_null(pc.index_in(names, value_set=known), -1), dtype=np.int64)
    unmatched = np.flatnonzero(rows < 0)
    if not unmatched.size:
        return names
    matches = match_loosely(names.take(pa.array(unmatched)), known)
    matches[np.isin(matches, rows[rows >= 0])] = -1  # the other list has an exact match for it
    rows[unmatched] = matches
    return pc.coalesce(known.take(pa.array(rows, mask=rows < 0)), names)


def _keys(trials: TrialList, names: pa.Array) -> Ints:
    """A number for each trial (N,) that ignores the order of its sides; `names` has all names."""
    codes = np.asarray(pc.index_in(trials.names, value_set=names), dtype=np.int64)
    return pair_keys(codes[trials.first], codes[trials.second], len(names))
