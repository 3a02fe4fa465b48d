"""Batches: no speaker twice, every utterance before any again, any step at once."""

from __future__ import annotations

import numpy as np
import pytest

from timbral.data.batches.pools import CYCLE_BATCHES, SpeakerPool, largest_remainder
from timbral.data.batches.sampler import SpeakerSampler
from timbral.data.batches.shuffling import EpochShuffler, SessionShuffler, even_allocation
from timbral.data.random_streams import Stream
from timbral.errors import ConfigError

KEY = (3, Stream.UTTERANCES)


@pytest.mark.parametrize(
    ("num_items", "draw_size"),
    [(1, 1), (1, 5), (2, 5), (5, 2), (7, 7), (12, 5), (13, 8), (100, 48), (9, 6)],
)
def test_every_item_is_drawn_before_any_again(num_items: int, draw_size: int) -> None:
    shuffler = EpochShuffler(num_items, draw_size, KEY)
    draws = [shuffler.draw(index) for index in range(5 * num_items)]
    items = np.concatenate(draws)
    for start in range(0, len(items) - num_items + 1, num_items):
        assert sorted(items[start : start + num_items]) == list(range(num_items))
    if draw_size <= num_items:
        assert all(len(set(draw)) == draw_size for draw in draws)


def test_draws_differ_and_any_can_be_asked_for() -> None:
    shuffler = EpochShuffler(12, 5, KEY)
    draws = [shuffler.draw(index).tolist() for index in range(40)]
    assert EpochShuffler(12, 5, KEY).draw(33).tolist() == draws[33]
    assert EpochShuffler(12, 5, (4, Stream.UTTERANCES)).draw(33).tolist() != draws[33]
    assert len({tuple(draw) for draw in draws}) > 30


def speakers_of(counts: list[int]) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))


def one_pool(speakers: np.ndarray, per_batch: int) -> list[SpeakerPool]:
    return [SpeakerPool("the data", np.unique(speakers), per_batch)]


def test_speakers_and_utterances_are_drawn_evenly() -> None:
    counts = [1, 2, 3, 9, 10, 11, 30]
    speakers = speakers_of(counts)
    sampler = SpeakerSampler(speakers, one_pool(speakers, 3), 4, seed=5)
    drawn: dict[int, list[int]] = {speaker: [] for speaker in range(len(counts))}
    for step in range(200):
        names, utterances = sampler.batch(step)
        assert utterances.shape == (3, 4)
        assert len(set(names)) == 3
        for name, own in zip(names, utterances, strict=True):
            assert (speakers[own] == name).all()
            drawn[int(name)] += own.tolist()
            if counts[name] >= 4:
                assert len(set(own)) == 4
    for speaker, own in drawn.items():
        count = counts[speaker]
        for start in range(0, len(own) - count + 1, count):
            assert len(set(own[start : start + count])) == count
    draws = [len(own) for own in drawn.values()]
    assert max(draws) - min(draws) <= 4, "speakers are drawn equally often"


def test_a_step_does_not_depend_on_the_steps_before() -> None:
    speakers = speakers_of([5, 6, 7, 8, 9])
    forward = SpeakerSampler(speakers, one_pool(speakers, 2), 4, seed=1)
    batches = [forward.batch(step) for step in range(60)]
    alone = SpeakerSampler(speakers, one_pool(speakers, 2), 4, seed=1)
    for step in (57, 3, 31):
        for first, second in zip(alone.batch(step), batches[step], strict=True):
            np.testing.assert_array_equal(first, second)
    other = SpeakerSampler(speakers, one_pool(speakers, 2), 4, seed=2).batch(57)[1]
    assert not np.array_equal(other, batches[57][1])


def test_draws_do_not_change_between_versions() -> None:
    """A run that is resumed sees the batches that it would have seen."""
    speakers = np.arange(7).repeat(5)
    names, utterances = SpeakerSampler(speakers, one_pool(speakers, 3), 4, seed=5).batch(100)
    assert names.tolist() == [0, 5, 2]
    assert utterances.tolist() == [[2, 1, 3, 0], [25, 26, 28, 27], [10, 13, 14, 12]]


def test_too_few_speakers_is_an_error() -> None:
    speakers = speakers_of([4, 4, 4])
    with pytest.raises(ConfigError, match="only 3 speakers"):
        SpeakerSampler(speakers, one_pool(speakers, 4), 2, seed=0)


@pytest.mark.parametrize(
    ("counts", "draw_size", "fewest"),
    [([3, 3, 3, 3], 3, 3), ([1, 1, 8], 4, 3), ([1, 19], 10, 2), ([5, 5], 4, 2), ([1, 1], 5, 2)],
)
def test_sessions_are_as_many_as_possible(counts: list[int], draw_size: int, fewest: int) -> None:
    sessions = speakers_of(counts)
    shuffler = SessionShuffler(sessions, draw_size, KEY)
    draws = [shuffler.draw(index) for index in range(60)]
    assert SessionShuffler(sessions, draw_size, KEY).draw(41).tolist() == draws[41].tolist()
    for indices in draws:
        assert len(set(sessions[indices])) == fewest
        assert len(set(indices)) == min(draw_size, len(sessions))
    times_drawn = np.bincount(np.concatenate(draws), minlength=len(sessions))
    for session in range(len(counts)):
        own = times_drawn[sessions == session]
        assert own.max() - own.min() <= 1, "each before any again"
    if len(counts) >= draw_size:
        of_session = np.bincount(sessions[np.concatenate(draws)])
        assert of_session.max() - of_session.min() <= 1, "sessions are drawn equally often"


def test_even_allocation() -> None:
    assert even_allocation(np.array([1, 19]), 10) == [1, 9]
    assert even_allocation(np.array([5, 5]), 4) == [2, 2]
    assert even_allocation(np.array([3, 1, 8]), 6) == [2, 1, 3]


def test_every_batch_holds_some_of_every_pool() -> None:
    speakers = speakers_of([6] * 12)
    pools = [SpeakerPool("small", np.arange(3), 2), SpeakerPool("large", np.arange(3, 12), 3)]
    sampler = SpeakerSampler(speakers, pools, 2, seed=5)
    drawn = []
    for step in range(18):
        names, utterances = sampler.batch(step)
        assert (names < 3).sum() == 2
        assert len(set(names)) == 5
        assert (speakers[utterances] == names[:, None]).all()
        drawn += names.tolist()
    assert np.bincount(drawn).tolist() == [12] * 3 + [6] * 9


@pytest.mark.parametrize("batches", [(50, 50), (75, 25), (67, 33), (99, 1), (100,)])
def test_pools_alternate(batches: tuple[int, ...]) -> None:
    speakers = speakers_of([6] * 12)
    members = np.split(np.arange(12), [4])[: len(batches)]
    pools = [SpeakerPool("", own, 3, count) for own, count in zip(members, batches, strict=True)]
    sampler = SpeakerSampler(speakers, pools, 2, seed=5)
    pool_of_step, drawn = [], []
    for step in range(2 * CYCLE_BATCHES):
        names, utterances = sampler.batch(step)
        assert len(set(names)) == 3
        assert (speakers[utterances] == names[:, None]).all()
        (pool,) = {int(name >= 4) for name in names}
        pool_of_step.append(pool)
        drawn += utterances.ravel().tolist()
    assert np.bincount(pool_of_step).tolist() == [2 * count for count in batches]
    early = np.bincount(pool_of_step[:20], minlength=len(batches))
    assert (np.abs(early - np.array(batches) / 5) <= 1).all(), "evenly spread, not in blocks"
    for index, own in enumerate(members):
        counts = np.bincount(np.array(drawn), minlength=72)[np.isin(speakers, own)]
        assert counts.max() - counts.min() <= 2, (index, counts)


def test_largest_remainder() -> None:
    assert largest_remainder(64, {"a": 1, "b": 2}) == {"a": 21, "b": 43}
    assert largest_remainder(5, {"a": 1, "b": 1}) == {"a": 3, "b": 2}
    assert largest_remainder(6, {"a": 0.5, "b": 0}) == {"a": 6, "b": 0}
