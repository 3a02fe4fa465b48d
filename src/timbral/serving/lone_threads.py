"""How many threads compute a batch that is alone: all cores where these are free, else one.

Threads of one product wait for each other. Where other programs keep the cores busy, several are
slower than one, by tens of times. So both are timed now and then.
"""

from __future__ import annotations

__all__ = ["LoneThreads"]

KEPT = 0.8
"""of an average, when a new time comes"""
OTHER_EVERY = 16
"""batches: one of so many takes the slower number, to see whether it still is"""


class LoneThreads:
    """Chooses between one thread and `most`, by how fast batches were."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._costs: dict[int, float] = {}
        """by number of threads the seconds of computing for a second of audio, on average"""
        self._count = 0

    def choose(self) -> int:
        """For the next batch."""
        for threads in (self.most, 1):
            if threads not in self._costs:
                return threads
        self._count += 1
        one, most = self._costs[1], self._costs[self.most]
        faster, other = (1, self.most) if one < most else (self.most, 1)
        return other if self._count % OTHER_EVERY == 0 else faster

    def note(self, threads: int, cost: float) -> None:
        """What a batch that was alone from beginning to end has cost."""
        before = self._costs.get(threads, cost)
        self._costs[threads] = KEPT * before + (1 - KEPT) * cost
