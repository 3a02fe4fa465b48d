"""Error rates against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from timbral.errors import ConfigError, DataError
from timbral.scoring.figures import compute_figures
from timbral.scoring.metrics import SortedScores, batch_eer, eer, error_rates, min_dcf


def test_rates_by_counting() -> None:
    generator = np.random.default_rng(0)
    labels = generator.random(300) < 0.4
    scores = np.round(generator.normal(labels.astype(float)), 1)  # with ties
    rates = error_rates(scores, labels)
    for threshold, miss, false_alarm in zip(
        rates.thresholds, rates.miss, rates.false_alarm, strict=True
    ):
        assert miss == pytest.approx(np.mean(scores[labels] < threshold))
        assert false_alarm == pytest.approx(np.mean(scores[~labels] >= threshold))
    costs = 0.05 * rates.miss + 0.95 * rates.false_alarm
    assert min_dcf(scores, labels, 0.05) == pytest.approx(costs.min() / 0.05)


@pytest.mark.parametrize(
    ("targets", "others", "expected"),
    [
        ([3, 4], [1, 2], 0.0),
        ([1, 2], [3, 4], 1.0),
        ([1, 3], [2, 4], 0.5),
        ([1, 5, 6, 7], [0, 0, 0, 2], 0.25),
        ([1, 1], [1, 1], 0.5),
    ],
)
def test_eer_by_hand(targets: list[float], others: list[float], expected: float) -> None:
    labels = [1] * len(targets) + [0] * len(others)
    rate, threshold = eer(targets + others, labels)
    assert rate == pytest.approx(expected)
    assert np.isfinite(threshold)


def test_perfect_threshold_accepts_targets() -> None:
    _, threshold = eer([0.9, 0.8, 0.3], [1, 1, 0])
    assert 0.3 < threshold <= 0.8


def test_known_gaussians() -> None:
    generator = np.random.default_rng(1)
    scores = np.r_[generator.normal(2.0, 1.0, 200_000), generator.normal(0.0, 1.0, 200_000)]
    rate, threshold = eer(scores, np.arange(400_000) < 200_000)
    assert rate == pytest.approx(0.158655, abs=2e-3)  # the normal tail above 1
    assert threshold == pytest.approx(1.0, abs=0.02)


def test_batch_eer() -> None:
    speakers = np.array([0, 0, 1, 1])
    apart = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], np.float32)
    assert batch_eer(apart, speakers) == 0.0
    assert batch_eer(-apart, np.array([0, 1, 0, 1])) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        ([1.0, 2.0], [1, 1], "target and non-target"),
        ([1.0, 2.0], [0, 0], "target and non-target"),
        ([1.0, np.nan], [0, 1], "NaN"),
        ([1.0], [0, 1], "1 scores came with 2 labels"),
    ],
)
def test_unusable_scores_are_errors(scores: list[float], labels: list[int], words: str) -> None:
    with pytest.raises(DataError, match=words):
        eer(scores, labels)


@pytest.mark.parametrize("p_target", [0.0, 1.0, float("nan")])
def test_prior_outside_0_and_1_is_an_error(p_target: float) -> None:
    with pytest.raises(ConfigError, match="`p_target` must be between"):
        min_dcf([1.0, 2.0], [0, 1], p_target)


def test_operating_points_are_those_of_a_search() -> None:
    """Against every threshold tried, on random scores with ties and at the edges."""
    generator = np.random.default_rng(5)
    for _ in range(200):
        scores = generator.integers(0, 8, generator.integers(4, 40)).astype(float)
        labels = generator.permutation(np.arange(len(scores)) % 2)
        rate = float(generator.choice([0.0, 0.01, 0.2, 0.5, 0.99]))
        point = SortedScores.of(scores, labels).at_false_accept(rate)
        allowed = [
            threshold
            for threshold in np.unique(scores)
            if (scores[labels == 0] >= threshold).mean() <= rate
        ]
        assert point.threshold == (min(allowed) if allowed else None)
        accepted = scores >= (np.inf if point.threshold is None else point.threshold)
        assert point.false_accept == pytest.approx(accepted[labels == 0].mean())
        assert point.false_reject == pytest.approx((~accepted[labels == 1]).mean())


def test_rates_of_false_accepts_are_checked() -> None:
    sides = np.array([0, 1]), np.array([1, 0])
    for wrong in (-0.1, 1.0, float("nan")):
        with pytest.raises(
            ConfigError, match=r"`false_accept` must be a rate from 0 to below 1, such as 0.001"
        ):
            compute_figures([0.5, 0.1], [1, 0], *sides, draws=0, false_accepts=[wrong])
    assert not compute_figures(
        [0.5, 0.1], [1, 0], *sides, draws=0, false_accepts=[]
    ).thresholds_line
