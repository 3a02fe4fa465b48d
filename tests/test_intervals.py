"""Intervals over speakers: coverage, weights of trials, and when there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import timbral
from scored_vectors import EACH, made_vectors, write_files
from timbral.embeddings.vectors import unit_length
from timbral.errors import ConfigError
from timbral.io.types import Ints, Vectors
from timbral.scoring.bin_weights import bin_weights, smallest_integers
from timbral.scoring.hull import convex_hull, min_cllr_of
from timbral.scoring.intervals import (
    SpeakerBootstrap,
    draw_speakers,
    eer_of,
    interval_of,
)
from timbral.scoring.metrics import SortedScores, eer
from timbral.scoring.ranked_trials import RankedTrials, order_of_scores


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_files(tmp_path)
    return tmp_path


def test_intervals_do_not_depend_on_the_order_of_the_list(files: Path) -> None:
    lines = (files / "t.txt").read_text().splitlines(keepends=True)
    turned = [" ".join([label, second, first]) for label, first, second in map(str.split, lines)]
    (files / "turned.txt").write_text("\n".join(reversed(turned)) + "\n")
    speakers = {name: f"of {name[:3]}" for line in lines for name in line.split()[1:]}
    for given in (None, speakers):
        one, other = (
            timbral.score(files / "v.npz", files / name, speakers=given, draws=100)
            for name in ("t.txt", "turned.txt")
        )
        assert one.figures is not None
        assert other.figures is not None
        assert one.figures.eer_interval == other.figures.eer_interval
        assert one.figures.min_dcf_intervals == other.figures.min_dcf_intervals


def draw_figures(seed: int, speakers: int) -> tuple[Vectors, Ints, Ints, Ints]:
    """Cosines, labels and speakers of all trials of newly made vectors."""
    unit = unit_length(made_vectors(seed, speakers, 1.6))
    first, second = np.triu_indices(len(unit), k=1)
    of = np.arange(len(unit)) // EACH
    scores = (unit[first] * unit[second]).sum(axis=1)
    return scores, (of[first] == of[second]).astype(np.int64), of[first], of[second]


@pytest.mark.slow
def test_intervals_over_speakers_hold_what_they_promise() -> None:
    """In 100 corpora of 20 speakers the interval holds the EER of 400 speakers 95 times or so.

    Intervals that draw trials are too narrow: they hold it far less often.
    """
    everybody = eer(*draw_figures(10_000, 400)[:2])[0]
    held = narrow = 0
    for seed in range(100):
        scores, labels, first, second = draw_figures(seed, 20)
        bootstrap = SpeakerBootstrap(
            RankedTrials.of(scores, labels), first, second, draws=200, seed=seed
        )
        interval = bootstrap.interval(eer_of)
        held += interval.low <= everybody <= interval.high
        rng = np.random.default_rng(seed)
        rows = rng.integers(0, len(scores), (40, len(scores)))
        trials = interval_of(np.array([eer(scores[row], labels[row])[0] for row in rows[:20]]))
        narrow += trials.low <= everybody <= trials.high
    assert held >= 88
    assert narrow < held - 10


def test_bins_of_large_lists_give_the_same_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, labels, *sides = draw_figures(3, 20)
    trials = RankedTrials.of(scores, labels)
    exact = SpeakerBootstrap(trials, *sides, draws=50)
    monkeypatch.setattr("timbral.scoring.intervals.QUANTILES", 256)
    binned = SpeakerBootstrap(trials, *sides, draws=50)
    assert len(binned.lows) < len(exact.lows) / 3
    assert binned.values(eer_of) == pytest.approx(exact.values(eer_of), abs=2e-3)
    assert binned.values(min_cllr_of) == pytest.approx(exact.values(min_cllr_of), abs=2e-3)


def test_min_cllr_in_draws_is_that_of_trials_so_often_repeated() -> None:
    """Of tied scores too, of draws without a target trial, and joined one by one."""
    for seed in range(30):
        scores, labels, *sides = draw_figures(seed, 5)
        kept = np.random.default_rng(seed).random(len(scores)) < (0.2 if seed % 3 else 1.0)
        kept[[labels.argmin(), labels.argmax()]] = True
        scores, labels, first, second = (each[kept] for each in (scores, labels, *sides))
        scores = scores.round(2 if seed % 2 else 9)
        trials = RankedTrials.of(scores, labels)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("timbral.scoring.intervals.MIN_SPEAKERS", 2)
            patched.setattr("timbral.scoring.hull.FEW_BLOCKS", 10 if seed % 3 else 10**6)
            found = SpeakerBootstrap(trials, first, second, draws=100).values(min_cllr_of)
        counts = draw_speakers(first, second, 100, 0)
        for times, value in zip(counts, found, strict=True):
            weights = np.where(labels == 1, times[first], times[first] * times[second])
            drawn = np.repeat(scores, weights), np.repeat(labels, weights)
            if len(set(drawn[1])) < 2:
                assert np.isnan(value)
            else:
                expected = convex_hull(SortedScores.of(*drawn)).min_cllr
                assert value == pytest.approx(expected, abs=1e-9)


def test_scores_are_ordered_by_their_bits() -> None:
    rng = np.random.default_rng(0)
    scores = np.r_[
        rng.normal(size=999), np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, rng.normal(size=9)
    ]
    scores = np.r_[scores, scores[:50]].astype(np.float32)
    for given in (scores, scores.astype(np.float64)):
        order = order_of_scores(given)
        assert np.array_equal(np.sort(order), np.arange(len(scores)))
        assert (np.diff(given[order][1:-1]) >= 0).all()


@pytest.mark.parametrize("most", [2, 15, 16, 200])
def test_weights_are_sums_of_products(most: int) -> None:
    """Whatever integers hold them: of bytes, and of more where speakers are drawn often."""
    rng = np.random.default_rng(most)
    times = rng.integers(0, most + 1, (7, 100))
    first, second, bins = (
        rng.integers(0, 7, 5000),
        rng.integers(0, 7, 5000),
        np.arange(5000) // 1667,
    )
    starts = np.searchsorted(bins, [0, 1, 2, 3])
    expected = np.zeros((4, 100))
    np.add.at(expected, bins, times[first] * times[second])
    assert np.array_equal(bin_weights(smallest_integers(times), first, second, starts), expected.T)


def test_weights_of_many_ties_are_exact() -> None:
    count = 400_000
    scores = np.r_[np.zeros(count), np.ones(8)]
    first = np.r_[np.zeros(count), np.arange(8)].astype(np.int64)
    second = np.r_[np.ones(count), np.arange(8)].astype(np.int64)
    bootstrap = SpeakerBootstrap(RankedTrials.of(scores, scores), first, second, draws=400)
    drawn = bootstrap.nontargets[:, 0] / count  # how often speaker 0 times how often speaker 1
    assert np.array_equal(drawn, np.round(drawn))
    assert drawn.max() > 2**24 / count / 8


@pytest.mark.parametrize("draws", [-1, 1, 99])
def test_few_draws_say_nothing(files: Path, draws: int) -> None:
    with pytest.raises(ConfigError, match="100 or more, or 0 for no interval"):
        timbral.score(files / "v.npz", files / "t.txt", draws=draws)
    timbral.score(files / "v.npz", files / "t.txt", files / "s.txt", draws=0)
    with pytest.raises(ConfigError, match="100 or more"):
        timbral.compare(files / "s.txt", files / "s.txt", draws=draws)


def test_few_speakers_have_no_interval(files: Path) -> None:
    (files / "two.txt").write_text("1 s00-0 s00-1\n0 s00-0 s01-0\n")
    figures = timbral.score(files / "v.npz", files / "two.txt").figures
    assert figures is not None
    assert figures.eer_interval is None
    assert "needs at least 5 of them; got 2" in figures.interval_note
