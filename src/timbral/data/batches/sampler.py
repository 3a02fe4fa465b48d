"""S × U batches as a pure function of (seed, step).

Speakers are drawn in epochs: each occurs once per epoch, and no batch has one twice. The utterances
of a speaker are drawn in epochs, too: each is drawn before any is drawn again. Any step can be
computed directly, so a resumed run needs no sampler state, and neither prefetching nor the number
of processes makes a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from timbral.data.batches.data_config import DataConfig
from timbral.data.batches.pools import CYCLE_BATCHES, SpeakerPool, pool_schedule, speaker_pools
from timbral.data.batches.shuffling import EpochShuffler, Key, SessionShuffler
from timbral.data.prepared.base import PreparedData
from timbral.data.random_streams import Stream
from timbral.errors import ConfigError
from timbral.io.types import Ints

__all__ = ["SpeakerSampler", "number_speakers"]


class SpeakerSampler:
    """Batches of S speakers × U utterances.

    `speakers` (N,) is the number of each utterance's speaker, counted from 0; `sessions` (N,) that
    of its session, if a speaker's utterances are to come from as many sessions as possible. Raises
    ConfigError if a pool has fewer speakers than a batch needs.
    """

    def __init__(
        self,
        speakers: Ints,
        pools: Sequence[SpeakerPool],
        utterances_per_speaker: int,
        seed: int,
        sessions: Ints | None = None,
    ) -> None:
        _check_sizes(pools)
        counts = np.bincount(speakers)
        self.num_speakers = len(counts)
        self._pools = pools
        self._schedule = pool_schedule(pools) if pools[0].batches_per_cycle else None
        self._pool_shufflers = [
            EpochShuffler(
                len(pool.speakers), pool.speakers_per_batch, (seed, Stream.SPEAKERS, index)
            )
            for index, pool in enumerate(pools)
        ]
        by_speaker = np.argsort(speakers, kind="stable")
        self._utterances = np.split(by_speaker, np.cumsum(counts)[:-1])  # those of each speaker
        self._utterance_shufflers: list[EpochShuffler | SessionShuffler] = []
        for speaker, utterances in enumerate(self._utterances):
            key: Key = (seed, Stream.UTTERANCES, speaker)
            self._utterance_shufflers.append(
                EpochShuffler(len(utterances), utterances_per_speaker, key)
                if sessions is None
                else SessionShuffler(sessions[utterances], utterances_per_speaker, key)
            )

    @classmethod
    def of_data(
        cls, data: PreparedData, rows: Ints, speakers: Ints, config: DataConfig, seed: int
    ) -> Self:
        """Batches by `config` of `rows` (N,) of prepared data."""
        pools = speaker_pools(config, speakers, data.table["corpus"].to_numpy()[rows])
        sessions = None
        if config.sessions == "distinct":
            _, sessions = np.unique(data.table["session"].to_numpy()[rows], return_inverse=True)
        return cls(speakers, pools, config.utterances_per_speaker, seed, sessions)

    def batch(self, step: int) -> tuple[Ints, Ints]:
        """The speakers (S,) of a step, counted from 0, and their utterances (S, U)."""
        speakers: list[int] = []
        utterances: list[Ints] = []
        for pool_index, draw in self._pool_draws(step):
            pool = self._pools[pool_index]
            first = draw * pool.speakers_per_batch
            members = self._pool_shufflers[pool_index].draw(draw)
            for position, member in enumerate(members, start=first):
                speaker = int(pool.speakers[member])
                # Each epoch of speakers holds each once, so its number says how often this
                # speaker was drawn before, and thereby which draw of utterances comes next:
                #
                #     position in the pool   0 1 2 3 | 4 5 6 7 | 8 …     4 speakers
                #     epoch                  0 . . . | 1 . . . | 2 …
                #     batch (S = 3)          0 . . 1   . . 2 .   . …
                epoch = position // len(pool.speakers)
                drawn = self._utterance_shufflers[speaker].draw(epoch)
                speakers.append(speaker)
                utterances.append(self._utterances[speaker][drawn])
        return np.array(speakers), np.stack(utterances)

    def _pool_draws(self, step: int) -> list[tuple[int, int]]:
        """The pools of a batch, and how often each was used before."""
        if self._schedule is None:
            return [(index, step) for index in range(len(self._pools))]
        cycle, batch = divmod(step, CYCLE_BATCHES)
        index = int(self._schedule[batch])
        earlier = int((self._schedule[:batch] == index).sum())
        return [(index, cycle * self._pools[index].batches_per_cycle + earlier)]


def number_speakers(data: PreparedData, rows: Ints, config: DataConfig) -> Ints:
    """Speaker numbers, from 0, of rows of prepared data (N,)."""
    if config.recordings_as_speakers:
        return np.arange(len(rows))
    numbers: Ints = np.unique(data.speaker_codes[rows], return_inverse=True)[1]
    return numbers


def _check_sizes(pools: Sequence[SpeakerPool]) -> None:
    for pool in pools:
        size = pool.speakers_per_batch
        if size <= len(pool.speakers):
            continue
        batch_size = sum(other.speakers_per_batch for other in pools if not other.batches_per_cycle)
        alternate = pool.batches_per_cycle and len(pools) > 1
        remedy = ", or switch data.one_corpus_per_batch off" if alternate else ""
        if len(pool.speakers) == 1:
            raise ConfigError(
                f"{pool.name} has only 1 speaker to train on, and training tells speakers apart: "
                f"add the recordings of others{remedy}"
            )
        raise ConfigError(
            f"data.speakers_per_batch is {batch_size or size}, which needs {size} speakers of "
            f"{pool.name}, but there are only {len(pool.speakers)} speakers to train on; "
            f"lower it, hold out fewer for validation, or add speakers{remedy}"
        )
