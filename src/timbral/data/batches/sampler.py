"""S × U batches as a pure function of (seed, step).

Speakers come in rounds: each stands once in every round, and no batch holds one twice. The
utterances of a speaker come in rounds too: each is drawn before any is drawn again. Any step
can be asked for at once, so a resumed run needs no sampler state, and what is prefetched or
by how many workers makes no difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from timbral.data.batches.config import DataConfig
from timbral.data.prepared.base import PreparedData
from timbral.data.streams import Stream, random_generator
from timbral.errors import ConfigError
from timbral.io.types import Ints

__all__ = [
    "CYCLE",
    "Pool",
    "Rounds",
    "SessionDraws",
    "SpeakerBatches",
    "shared_out",
    "speaker_pools",
]


class Rounds:
    """Endless draws of `size` out of `count` items, round after round.

    With `size` <= `count` no draw holds an item twice: when a round's rest is smaller than a
    draw, the draw is filled up from the next round with other items. With `size` > `count` a
    draw holds every item as often as any other, or once more.
    """

    def __init__(self, count: int, size: int, key: tuple[int, Stream, *tuple[int, ...]]) -> None:
        self._count = count
        self._size = size
        self._key = key
        # After this many draws a round ends where a draw ends, and all begins anew.
        self._period_draws = count // math.gcd(count, size)
        self._period = -1
        self._draws = np.empty((0, size), dtype=np.int64)

    def draw(self, number: int) -> Ints:
        """Items of the draw with this number: (size,)."""
        period, row = divmod(number, self._period_draws)
        if period != self._period:
            self._draws, self._period = self._shuffle(period), period
        items: Ints = self._draws[row]
        return items

    def _shuffle(self, period: int) -> Ints:  # (draws of a period, size)
        generator = random_generator(*self._key, period)
        rounds: list[Ints] = []
        for number in range(self._period_draws * self._size // self._count):
            order = generator.permutation(self._count)
            shared = number * self._count % self._size  # last round's items in a common draw
            if shared and self._size <= self._count:
                taken = np.isin(order, rounds[-1][-shared:])
                first = np.flatnonzero(~taken)[: self._size - shared]
                order = np.concatenate([order[first], np.delete(order, first)])
            rounds.append(order)
        return np.concatenate(rounds).reshape(self._period_draws, self._size)


class SessionDraws:
    """Draws of U of a speaker's utterances, from as many sessions as possible.

    With U sessions or more, every draw holds U of them; with fewer, all of them, as evenly as
    their sizes allow. No draw holds an utterance twice unless there are fewer than U.
    """

    def __init__(
        self, sessions: Ints, size: int, key: tuple[int, Stream, *tuple[int, ...]]
    ) -> None:
        order = np.argsort(sessions, kind="stable")
        self._rows = np.split(order, np.flatnonzero(np.diff(sessions[order])) + 1)
        counts = np.array([len(rows) for rows in self._rows])
        self._count, self._size = len(counts), size
        self._sessions: Rounds | None = None
        if len(sessions) < size:  # each utterance as often as any other: every session is there
            self._rows, taken = [np.arange(len(sessions))], [size]
        elif len(counts) >= size:
            self._sessions, taken = Rounds(len(counts), size, key), [1] * len(counts)
        else:
            taken = _dealt(counts, size)
        self._utterances = [
            Rounds(len(rows), take, (*key, number))
            for number, (rows, take) in enumerate(zip(self._rows, taken, strict=True))
        ]

    def draw(self, number: int) -> Ints:
        """Places, in `sessions`, of the draw with this number: (size,)."""
        if self._sessions is None:
            parts = zip(self._rows, self._utterances, strict=True)
            return np.concatenate([rows[own.draw(number)] for rows, own in parts])
        first = number * self._size  # a session stands once in each round of sessions
        return np.concatenate(
            [
                self._rows[session][self._utterances[session].draw(place // self._count)]
                for place, session in enumerate(self._sessions.draw(number), start=first)
            ]
        )


def _dealt(counts: Ints, total: int) -> list[int]:
    """How many to take of each group so that `total` are taken, as evenly as `counts` allow."""
    taken = np.zeros_like(counts)
    while taken.sum() < total:
        open_groups = np.flatnonzero(taken == taken[taken < counts].min())
        open_groups = open_groups[counts[open_groups] > taken[open_groups]]
        largest_first = open_groups[np.argsort(-counts[open_groups], kind="stable")]
        taken[largest_first[: total - taken.sum()]] += 1
    return [int(take) for take in taken]


def shared_out(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers that sum to `total`, in proportion to `weights` (largest remainders)."""
    exact = {name: total * weight / sum(weights.values()) for name, weight in weights.items()}
    shares = {name: math.floor(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (shares[name] - exact[name], name))
    for name in by_remainder[: total - sum(shares.values())]:
        shares[name] += 1
    return shares


CYCLE = 100
"""steps in which pools that take turns have theirs"""


@dataclass(frozen=True)
class Pool:
    """Speakers of whom each batch holds the same number, or who take turns with other pools."""

    name: str
    speakers: Ints
    per_batch: int
    turns: int = 0
    """of CYCLE steps those whose whole batch is of this pool; 0: each batch has some of every"""


def turns_of(pools: Sequence[Pool]) -> Ints:
    """Which pool's turn each step of a cycle is, each pool's evenly spread: (CYCLE,)."""
    places = np.concatenate([(np.arange(pool.turns) + 0.5) / pool.turns for pool in pools])
    owners = np.repeat(np.arange(len(pools)), [pool.turns for pool in pools])
    turns: Ints = owners[np.argsort(places, kind="stable")]
    return turns


def speaker_pools(config: DataConfig, speakers: Ints, corpora: NDArray[Any]) -> list[Pool]:
    """Which speakers a batch is made of, and how many of each corpus, or how often."""
    names, first_rows = np.unique(speakers, return_index=True)
    of_speaker = corpora[first_rows]
    present, sizes = np.unique(of_speaker, return_counts=True)
    weights = config.corpus_weights
    if weights and weights.keys() != set(present.tolist()):
        raise ConfigError(
            f"data.corpus_weights must name the corpora of the data, {', '.join(present)}; "
            f"got {weights}"
        )
    size = config.speakers_per_batch
    if config.one_corpus_per_batch:
        often = weights or dict(zip(present.tolist(), sizes.tolist(), strict=True))
        return [
            Pool(corpus, names[of_speaker == corpus], size, turns)
            for corpus, turns in shared_out(CYCLE, often).items()
            if turns
        ]
    if not weights:
        return [Pool("the data", names, size)]
    return [
        Pool(corpus, names[of_speaker == corpus], share)
        for corpus, share in shared_out(size, weights).items()
        if share
    ]


class SpeakerBatches:
    """Batches of S speakers × U utterances.

    `speakers` (N,) holds the number of each utterance's speaker, counted from 0; `sessions` (N,)
    that of its session, when a speaker's utterances are to come from as many as possible.
    Raises ConfigError when a pool has fewer speakers than a batch needs.
    """

    def __init__(
        self,
        speakers: Ints,
        pools: Sequence[Pool],
        utterances_per_speaker: int,
        seed: int,
        sessions: Ints | None = None,
    ) -> None:
        order = np.argsort(speakers, kind="stable")
        counts = np.bincount(speakers)
        for pool in pools:
            if pool.per_batch > len(pool.speakers):
                wanted = sum(other.per_batch for other in pools if not other.turns)
                in_turns = pool.turns and len(pools) > 1
                remedy = ", or switch data.one_corpus_per_batch off" if in_turns else ""
                raise ConfigError(
                    f"data.speakers_per_batch is {wanted or pool.per_batch}, which "
                    f"takes {pool.per_batch} speakers of {pool.name}, but there are only "
                    f"{len(pool.speakers)} speakers to train on; lower it, or add speakers{remedy}"
                )
        self.num_speakers = len(counts)
        self._pools = pools
        self._turns = turns_of(pools) if pools[0].turns else None
        self._rows = np.split(order, np.cumsum(counts)[:-1])  # rows of each speaker
        self._speakers = [
            Rounds(len(pool.speakers), pool.per_batch, (seed, Stream.SPEAKERS, number))
            for number, pool in enumerate(pools)
        ]
        self._utterances: list[Rounds | SessionDraws] = []
        for speaker, rows in enumerate(self._rows):
            key = (seed, Stream.UTTERANCES, speaker)
            self._utterances.append(
                Rounds(len(rows), utterances_per_speaker, key)
                if sessions is None
                else SessionDraws(sessions[rows], utterances_per_speaker, key)
            )

    @classmethod
    def of_data(
        cls, data: PreparedData, rows: Ints, speakers: Ints, config: DataConfig, seed: int
    ) -> Self:
        """Batches as `config` asks for them, of items that are `rows` (N,) of prepared data."""
        pools = speaker_pools(config, speakers, data.table["corpus"].to_numpy()[rows])
        sessions = None
        if config.sessions == "distinct":
            _, sessions = np.unique(data.table["session"].to_numpy()[rows], return_inverse=True)
        return cls(speakers, pools, config.utterances_per_speaker, seed, sessions)

    def batch(self, step: int) -> tuple[Ints, Ints]:
        """Speakers (S,) and their utterances' rows (S, U) at a step counted from 0."""
        speakers: list[int] = []
        rows: list[Ints] = []
        for index, draw in self._draws(step):
            pool = self._pools[index]
            places = enumerate(self._speakers[index].draw(draw), start=draw * pool.per_batch)
            for place, number in places:
                speaker = int(pool.speakers[number])
                # A speaker stands once in each round, so its round counts how often it was drawn.
                drawn = self._utterances[speaker].draw(place // len(pool.speakers))
                speakers.append(speaker)
                rows.append(self._rows[speaker][drawn])
        return np.array(speakers), np.stack(rows)

    def _draws(self, step: int) -> list[tuple[int, int]]:
        """The pools that a batch is made of, and how often each has been drawn from before."""
        if self._turns is None:
            return [(index, step) for index in range(len(self._pools))]
        cycle, place = divmod(step, CYCLE)
        index = int(self._turns[place])
        before = int((self._turns[:place] == index).sum())
        return [(index, cycle * self._pools[index].turns + before)]
