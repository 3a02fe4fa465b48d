"""Figures of scores, against slow implementations that share nothing with ours."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from timbral.errors import ConfigError, DataError
from timbral.io.types import Floats, Ints
from timbral.scoring.hull import convex_hull
from timbral.scoring.metrics import (
    SortedScores,
    actual_dcf,
    cllr,
    eer,
    min_dcf,
)

RNG = np.random.default_rng(7)


def random_trials(number: int) -> tuple[Floats, Ints]:
    """Few or many trials, ties or none, an easy or a hopeless encoder."""
    rng = np.random.default_rng(number)
    size = int(rng.integers(2, 25))
    labels = rng.integers(0, 2, size)
    labels[:2] = 0, 1
    scores = rng.normal(size=size) + rng.choice([-1.0, 0.0, 1.0, 5.0]) * labels
    if number % 3 == 0:
        scores = np.round(scores)
    return scores, labels


def slow_rates(scores: Floats, labels: Ints) -> list[tuple[float, float]]:
    """(miss, false alarm) at every threshold, the lowest first, by counting."""
    points = []
    for threshold in [*sorted(set(scores.tolist())), None]:
        accepted = [threshold is not None and score >= threshold for score in scores]
        missed = sum(1 for a, y in zip(accepted, labels, strict=True) if y and not a)
        false = sum(1 for a, y in zip(accepted, labels, strict=True) if a and not y)
        points.append((missed / sum(labels == 1), false / sum(labels == 0)))
    return points


def slow_eer(points: list[tuple[float, float]]) -> float:
    """Where a chain of points, from (0, 1) to (1, 0), meets the diagonal."""
    for (miss, false), (next_miss, next_false) in itertools.pairwise(points):
        if next_miss >= next_false:
            gap, next_gap = false - miss, next_miss - next_false
            return miss + (next_miss - miss) * gap / (gap + next_gap)
    raise AssertionError("the chain must end in (1, 0)")


def slow_hull(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points that no line between two others lies below."""
    kept = []
    for x, y in points:
        below = False
        for x1, y1 in points:
            for x2, y2 in points:
                if x1 < x < x2 and y1 + (y2 - y1) * (x - x1) / (x2 - x1) < y - 1e-12:
                    below = True
        if not below and not any(px == x and py < y for px, py in points):
            kept.append((x, y))
    return sorted(set(kept), key=lambda point: (point[0], -point[1]))


def slow_min_cllr(scores: Floats, labels: Ints) -> float:
    """Isotonic regression by its min-max formula, then the cost of its likelihood ratios."""
    levels = sorted(set(scores.tolist()))
    groups = [labels[scores == level] for level in levels]
    best = []
    for k in range(len(groups)):
        lows = []
        for i in range(k + 1):
            means = [np.concatenate(groups[i : j + 1]).mean() for j in range(k, len(groups))]
            lows.append(min(means))
        best.append(max(lows))
    prior = labels.mean()
    cost = [0.0, 0.0]
    for share, group in zip(best, groups, strict=True):
        with np.errstate(divide="ignore"):
            llr = np.log(share) - np.log1p(-share) - np.log(prior / (1 - prior))
        for label in group:
            cost[label] += np.log2(1 + np.exp(-llr if label else llr))
    return (cost[1] / sum(labels == 1) + cost[0] / sum(labels == 0)) / 2


def test_figures_are_those_of_slow_implementations() -> None:
    for number in range(1000):
        scores, labels = random_trials(number)
        points = slow_rates(scores, labels)
        assert eer(scores, labels)[0] == pytest.approx(slow_eer(points), abs=1e-12)
        for prior in (0.01, 0.05, 0.5, 0.9):
            costs = [prior * miss + (1 - prior) * false for miss, false in points]
            expected = min(costs) / min(prior, 1 - prior)
            assert min_dcf(scores, labels, prior) == pytest.approx(expected, abs=1e-12)
        bits = [
            np.log2(1 + np.exp(-score if label else score)) / (labels == label).sum()
            for score, label in zip(scores, labels, strict=True)
        ]
        assert cllr(scores, labels) == pytest.approx(sum(bits) / 2, abs=1e-12)
        if number % 10 == 0:
            hull = convex_hull(SortedScores.of(scores, labels))
            assert hull.eer == pytest.approx(slow_eer(slow_hull(points)), abs=1e-12)
            assert hull.min_cllr == pytest.approx(slow_min_cllr(scores, labels), abs=1e-12)


def test_perfect_inverted_and_tied_scores() -> None:
    labels = np.array([1, 1, 0, 0])
    perfect, inverted, tied = np.array([2.0, 3, 0, 1]), np.array([0.0, 1, 2, 3]), np.zeros(4)
    assert eer(perfect, labels)[0] == 0 == convex_hull(SortedScores.of(perfect, labels)).eer
    assert convex_hull(SortedScores.of(perfect, labels)).min_cllr == 0
    assert eer(inverted, labels)[0] == 1
    assert convex_hull(SortedScores.of(inverted, labels)).eer == 0.5
    assert convex_hull(SortedScores.of(inverted, labels)).min_cllr == 1
    for order in (labels, labels[::-1]):
        assert eer(tied, order)[0] == 0.5 == convex_hull(SortedScores.of(tied, order)).eer
        assert min_dcf(tied, order, 0.05) == 1
    certain = np.array([np.inf, np.inf, -np.inf, -np.inf])
    assert (eer(certain, labels)[0], cllr(certain, labels)) == (0, 0)
    assert cllr(-certain, labels) == np.inf
    assert convex_hull(SortedScores.of(certain, labels)).min_cllr == 0
    assert cllr(tied, labels) == 1
    with pytest.raises(DataError, match="4 target trials and 0 non-target"):
        eer(perfect, np.ones(4))
    with pytest.raises(DataError, match="1 of 4 scores are NaN"):
        eer([np.nan, 1, 2, 3], labels)


def test_large_hull_is_that_of_single_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = RNG.integers(0, 2, 30_000)
    scores = RNG.normal(size=30_000) + labels
    fast = convex_hull(SortedScores.of(scores, labels))
    monkeypatch.setattr("timbral.scoring.hull.FEW_BLOCKS", 10**9)
    slow = convex_hull(SortedScores.of(scores, labels))
    assert np.array_equal(fast.targets, slow.targets)
    assert np.array_equal(fast.scores, slow.scores)
    assert fast.targets.sum() + fast.nontargets.sum() == 30_000
    assert (np.diff(fast.llrs) > 0).all()


def test_actual_costs_are_those_of_bayes_decisions() -> None:
    labels = np.array([1, 1, 1, 0, 0, 0, 0])
    llrs = np.array([4.0, 3.0, 2.0, 3.5, -1, -2, -3])
    # at 0.05 the threshold is log 19 = 2.94: one miss of three, one false alarm of four
    assert actual_dcf(llrs, labels, 0.05) == pytest.approx((0.05 / 3 + 0.95 / 4) / 0.05)
    assert actual_dcf(llrs, labels, 0.5) == pytest.approx((0.5 * 0 + 0.5 / 4) / 0.5)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        actual_dcf(llrs, labels, 1.0)


def test_thresholds_at_false_alarm_rates() -> None:
    scores, labels = np.arange(20.0), np.r_[np.zeros(10), np.ones(10)]
    counts = SortedScores.of(scores, labels)
    for rate in (0.0, 0.1, 0.25, 0.3, 0.9):
        point = counts.at_false_accept(rate)
        assert point.threshold is not None
        assert point.threshold in scores
        assert point.false_accept == pytest.approx((scores[:10] >= point.threshold).mean())
        assert point.false_accept <= rate + 1e-12
        assert rate < (scores[:10] >= point.threshold - 1).mean()
    tied = SortedScores.of([0.0, 1.0, 1.0], [1, 0, 0]).at_false_accept(0.5)
    assert (tied.threshold, tied.false_accept, tied.false_reject) == (None, 0.0, 1.0)
    assert counts.at_false_accept(1.0).false_accept == 1.0
