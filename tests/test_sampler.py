"""Batches: no speaker twice, every utterance before any again, any step at once."""

from __future__ import annotations

import numpy as np
import pytest

from timbral.data.batches.sampler import (
    CYCLE,
    Pool,
    Rounds,
    SessionDraws,
    SpeakerBatches,
    shared_out,
)
from timbral.errors import ConfigError


@pytest.mark.parametrize(
    ("count", "size"), [(1, 1), (1, 5), (2, 5), (5, 2), (7, 7), (12, 5), (13, 8), (100, 48), (9, 6)]
)
def test_rounds_draw_everything_before_anything_again(count: int, size: int) -> None:
    rounds = Rounds(count, size, (3,))
    draws = [rounds.draw(number) for number in range(5 * count)]
    stream = np.concatenate(draws)
    for start in range(0, len(stream) - count + 1, count):
        assert sorted(stream[start : start + count]) == list(range(count))
    if size <= count:
        assert all(len(set(draw)) == size for draw in draws)


def test_rounds_differ_and_any_draw_can_be_asked_for() -> None:
    rounds = Rounds(12, 5, (3,))
    draws = [rounds.draw(number).tolist() for number in range(40)]
    assert Rounds(12, 5, (3,)).draw(33).tolist() == draws[33]
    assert Rounds(12, 5, (4,)).draw(33).tolist() != draws[33]
    assert len({tuple(draw) for draw in draws}) > 30


def speakers_of(counts: list[int]) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))


def everybody(speakers: np.ndarray, per_batch: int) -> list[Pool]:
    return [Pool("the data", np.unique(speakers), per_batch)]


def test_batches() -> None:
    counts = [1, 2, 3, 9, 10, 11, 30]
    speakers = speakers_of(counts)
    sampler = SpeakerBatches(speakers, everybody(speakers, 3), 4, seed=5)
    drawn: dict[int, list[int]] = {speaker: [] for speaker in range(len(counts))}
    for step in range(200):
        names, rows = sampler.batch(step)
        assert rows.shape == (3, 4)
        assert len(set(names)) == 3
        for name, own in zip(names, rows, strict=True):
            assert (speakers[own] == name).all()
            drawn[int(name)] += own.tolist()
            if counts[name] >= 4:
                assert len(set(own)) == 4
    for speaker, rows_drawn in drawn.items():
        count = counts[speaker]
        for start in range(0, len(rows_drawn) - count + 1, count):
            assert len(set(rows_drawn[start : start + count])) == count
    draws = [len(rows) for rows in drawn.values()]
    assert max(draws) - min(draws) <= 4, "speakers are drawn equally often"


def test_a_step_does_not_depend_on_the_steps_before() -> None:
    speakers = speakers_of([5, 6, 7, 8, 9])
    forward = SpeakerBatches(speakers, everybody(speakers, 2), 4, seed=1)
    batches = [forward.batch(step) for step in range(60)]
    alone = SpeakerBatches(speakers, everybody(speakers, 2), 4, seed=1)
    for step in (57, 3, 31):
        for mine, theirs in zip(alone.batch(step), batches[step], strict=True):
            np.testing.assert_array_equal(mine, theirs)
    other = SpeakerBatches(speakers, everybody(speakers, 2), 4, seed=2).batch(57)[1]
    assert not np.array_equal(other, batches[57][1])


def test_too_few_speakers_is_an_error_that_helps() -> None:
    speakers = speakers_of([4, 4, 4])
    with pytest.raises(ConfigError, match="only 3 speakers"):
        SpeakerBatches(speakers, everybody(speakers, 4), 2, seed=0)


@pytest.mark.parametrize(
    ("counts", "size", "fewest"),
    [([3, 3, 3, 3], 3, 3), ([1, 1, 8], 4, 3), ([1, 19], 10, 2), ([5, 5], 4, 2), ([1, 1], 5, 2)],
)
def test_sessions_are_as_many_as_possible(counts: list[int], size: int, fewest: int) -> None:
    sessions = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    draws = SessionDraws(sessions, size, (3,))
    drawn = [draws.draw(number) for number in range(60)]
    assert SessionDraws(sessions, size, (3,)).draw(41).tolist() == drawn[41].tolist()
    for places in drawn:
        assert len(set(sessions[places])) == fewest
        assert len(set(places)) == min(size, len(sessions))
    often = np.bincount(np.concatenate(drawn), minlength=len(sessions))
    for session in range(len(counts)):
        own = often[sessions == session]
        assert own.max() - own.min() <= 1, "each before any again"
    if len(counts) >= size:
        of_session = np.bincount(sessions[np.concatenate(drawn)])
        assert of_session.max() - of_session.min() <= 1, "sessions are drawn equally often"


def test_pools_have_their_share_of_every_batch() -> None:
    speakers = speakers_of([6] * 12)
    pools = [Pool("small", np.arange(3), 2), Pool("large", np.arange(3, 12), 3)]
    sampler = SpeakerBatches(speakers, pools, 2, seed=5)
    drawn = []
    for step in range(18):
        names, rows = sampler.batch(step)
        assert (names < 3).sum() == 2
        assert len(set(names)) == 5
        assert (speakers[rows] == names[:, None]).all()
        drawn += names.tolist()
    often = np.bincount(drawn)
    assert often.tolist() == [12] * 3 + [6] * 9


@pytest.mark.parametrize("turns", [(50, 50), (75, 25), (67, 33), (99, 1), (100,)])
def test_pools_take_turns(turns: tuple[int, ...]) -> None:
    speakers = speakers_of([6] * 12)
    people = np.split(np.arange(12), [4])[: len(turns)]
    pools = [Pool("", own, 3, turn) for own, turn in zip(people, turns, strict=True)]
    sampler = SpeakerBatches(speakers, pools, 2, seed=5)
    owners, drawn = [], []
    for step in range(2 * CYCLE):
        names, rows = sampler.batch(step)
        assert len(set(names)) == 3
        assert (speakers[rows] == names[:, None]).all()
        (owner,) = {int(name >= 4) for name in names}
        owners.append(owner)
        drawn += rows.ravel().tolist()
    often = np.bincount(owners)
    assert often.tolist() == [2 * turn for turn in turns]
    early = np.bincount(owners[:20], minlength=len(turns))  # evenly spread, not in blocks
    assert (np.abs(early - np.array(turns) / 5) <= 1).all()
    for index, own in enumerate(people):
        counts = np.bincount(np.array(drawn), minlength=72)[np.isin(speakers, own)]
        assert counts.max() - counts.min() <= 2, (index, counts)


def test_sharing_out() -> None:
    assert shared_out(64, {"a": 1, "b": 2}) == {"a": 21, "b": 43}
    assert shared_out(5, {"a": 1, "b": 1}) == {"a": 3, "b": 2}
    assert shared_out(6, {"a": 0.5, "b": 0}) == {"a": 6, "b": 0}
