"""S × U batches as a pure function of (seed, step).

Speakers come in rounds: each stands once in every round, and no batch holds one twice. The
utterances of a speaker come in rounds too: each is drawn before any is drawn again. Any step
can be asked for at once, so a resumed run needs no sampler state, and what is prefetched or
by how many workers makes no difference.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from timbral.errors import ConfigError

__all__ = ["Rounds", "SpeakerBatches"]

Ints = NDArray[np.int64]


class Rounds:
    """Endless draws of `size` out of `count` items, round after round.

    With `size` <= `count` no draw holds an item twice: when a round's rest is smaller than a
    draw, the draw is filled up from the next round with other items. With `size` > `count` a
    draw holds every item as often as any other, or once more.
    """

    def __init__(self, count: int, size: int, key: tuple[int, ...]) -> None:
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
        generator = np.random.default_rng([*self._key, period])
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


class SpeakerBatches:
    """Batches of S speakers × U utterances.

    `speakers` (N,) holds the number of each utterance's speaker, counted from 0.
    Raises ConfigError when there are fewer speakers than a batch needs.
    """

    def __init__(
        self, speakers: Ints, speakers_per_batch: int, utterances_per_speaker: int, seed: int
    ) -> None:
        order = np.argsort(speakers, kind="stable")
        counts = np.bincount(speakers)
        if speakers_per_batch > len(counts):
            raise ConfigError(
                f"data.speakers_per_batch is {speakers_per_batch}, but there are only "
                f"{len(counts)} speakers to train on; lower it, or add speakers"
            )
        self.size = speakers_per_batch
        self._num_speakers = len(counts)
        self._rows = np.split(order, np.cumsum(counts)[:-1])  # rows of each speaker
        self._speakers = Rounds(len(counts), speakers_per_batch, (seed, 0))
        self._utterances = [
            Rounds(int(count), utterances_per_speaker, (seed, 1, speaker))
            for speaker, count in enumerate(counts)
        ]

    def batch(self, step: int) -> tuple[Ints, Ints]:
        """Speakers (S,) and their utterances' rows (S, U) at a step counted from 0."""
        speakers = self._speakers.draw(step)
        first_place = step * self.size
        rows = [
            # A speaker stands once in each round, so its round counts how often it was drawn.
            self._rows[speaker][self._utterances[speaker].draw(place // self._num_speakers)]
            for place, speaker in enumerate(speakers, start=first_place)
        ]
        return speakers, np.stack(rows)
