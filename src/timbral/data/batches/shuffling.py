"""Endless shuffled draws, any of which can be computed directly.

A draw takes some of a set of items. An *epoch* takes each item once; a draw may cross from one
epoch into the next. Nothing is stored between draws: the items of a draw depend only on a key
(seed, stream, …) and the draw's index, so a resumed run needs no state of its samplers.
"""

from __future__ import annotations

import math

import numpy as np

from timbral.data.random_streams import Stream, random_generator
from timbral.io.types import Ints

__all__ = ["EpochShuffler", "Key", "SessionShuffler", "even_allocation"]

Key = tuple[int, Stream, *tuple[int, ...]]
"""seed, stream, and position in the stream"""


class EpochShuffler:
    """Draws of `draw_size` out of `num_items` items: each is drawn before any is drawn again.

    With `draw_size` <= `num_items` no draw holds an item twice. With `draw_size` > `num_items` a
    draw holds every item as often as any other, or once more.
    """

    def __init__(self, num_items: int, draw_size: int, key: Key) -> None:
        self._num_items = num_items
        self._draw_size = draw_size
        self._key = key
        # Epochs and draws end together after lcm(num_items, draw_size) items: a period. It is
        # shuffled as a whole, by a generator of its own. With 5 items in draws of 3:
        #
        #     epoch   0 . . . .  1 . . . .  2 . . . .
        #     draw    0 . . 1 .  . 2 . . 3  . . 4 . .
        #
        # Draw 1 holds the last two items of epoch 0 and the first of epoch 1.
        self._draws_per_period = num_items // math.gcd(num_items, draw_size)
        self._period = -1  # the one that `_draws` holds: draws are mostly asked for in order
        self._draws = np.empty((0, draw_size), dtype=np.int64)

    def draw(self, index: int) -> Ints:
        """The items of a draw (draw_size,)."""
        period, row = divmod(index, self._draws_per_period)
        if period != self._period:
            self._draws, self._period = self._shuffled_period(period), period
        items: Ints = self._draws[row]
        return items

    def _shuffled_period(self, period: int) -> Ints:  # (draws of a period, draw_size)
        generator = random_generator(*self._key, period)
        epochs: list[Ints] = []
        for epoch in range(self._draws_per_period * self._draw_size // self._num_items):
            order = generator.permutation(self._num_items)
            # The last `begun` items of the epoch before stand in the draw that this epoch fills
            # up: it is filled with other items, which move to the front in their order.
            begun = epoch * self._num_items % self._draw_size
            if begun and self._draw_size <= self._num_items:
                drawn = np.isin(order, epochs[-1][-begun:])
                first = np.flatnonzero(~drawn)[: self._draw_size - begun]
                order = np.concatenate([order[first], np.delete(order, first)])
            epochs.append(order)
        return np.concatenate(epochs).reshape(self._draws_per_period, self._draw_size)


class SessionShuffler:
    """Draws of U utterances of a speaker, from as many sessions as possible.

    With U sessions or more, every draw has U of them; with fewer, all of them, as evenly as their
    sizes allow. No draw has an utterance twice unless there are fewer than U.
    """

    def __init__(self, sessions: Ints, draw_size: int, key: Key) -> None:
        order = np.argsort(sessions, kind="stable")
        utterances = np.split(order, np.flatnonzero(np.diff(sessions[order])) + 1)
        sizes = np.array([len(indices) for indices in utterances])
        self._draw_size = draw_size
        self._session_shuffler: EpochShuffler | None = None
        if len(sessions) < draw_size:  # all are drawn, so all sessions: each as often as any other
            utterances, per_draw = [np.arange(len(sessions))], [draw_size]
        elif len(sizes) >= draw_size:  # draw sessions, and one utterance of each
            self._session_shuffler = EpochShuffler(len(sizes), draw_size, key)
            per_draw = [1] * len(sizes)
        else:  # draw some of every session
            per_draw = even_allocation(sizes, draw_size)
        self._utterances = utterances  # indices into `sessions` of each session's utterances
        self._shufflers = [
            EpochShuffler(len(indices), size, (*key, session))
            for session, (indices, size) in enumerate(zip(utterances, per_draw, strict=True))
        ]

    def draw(self, index: int) -> Ints:
        """Indices, into `sessions`, of the utterances of a draw (draw_size,)."""
        if self._session_shuffler is None:
            each = zip(self._utterances, self._shufflers, strict=True)
            return np.concatenate([indices[shuffler.draw(index)] for indices, shuffler in each])
        drawn = []
        first = index * self._draw_size
        for position, session in enumerate(self._session_shuffler.draw(index), start=first):
            # Each epoch of sessions holds each once: its number counts a session's earlier draws.
            epoch = position // len(self._utterances)
            drawn.append(self._utterances[session][self._shufflers[session].draw(epoch)])
        return np.concatenate(drawn)


def even_allocation(sizes: Ints, total: int) -> list[int]:
    """How many items to take from each group (of `sizes`), as evenly as possible, `total` in all.

    Groups are filled level by level; in the last level, the largest groups come first.
    """
    taken = np.zeros_like(sizes)
    while taken.sum() < total:
        level = taken[taken < sizes].min()
        unfilled = np.flatnonzero((taken == level) & (taken < sizes))
        largest_first = unfilled[np.argsort(-sizes[unfilled], kind="stable")]
        taken[largest_first[: total - taken.sum()]] += 1
    return [int(count) for count in taken]
