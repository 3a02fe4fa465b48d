"""The number of threads for a lone batch: all cores if these are free, else one.

Threads of one matrix product wait for each other. If other programs keep the cores busy, several
threads are slower than one, by tens of times. So both are timed now and then, and the slower one
more and more rarely while it stays slower.
"""

from __future__ import annotations

from collections import deque
from statistics import median

__all__ = ["LoneThreads"]

KEPT = 5
"""number of latest times of each, of which the median counts: the first batch with several threads
also starts them"""
FIRST = 3
"""batches of each before they are compared"""
FIRST_PAUSE, LONGEST_PAUSE = 16, 128
"""batches until the slower number is timed again; while it stays slower, the pause doubles"""


class LoneThreads:
    """Chooses between one thread and `most`, by how fast batches were."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._costs: dict[int, deque[float]] = {
            threads: deque(maxlen=KEPT) for threads in (most, 1)
        }
        """by number of threads, seconds of computing per second of audio, newest last"""
        self._slower = 0
        self._pause = self._left = FIRST_PAUSE

    def choose(self) -> int:
        """The number of threads for the next batch."""
        if self.most == 1:
            return 1
        for threads, costs in self._costs.items():
            if len(costs) < FIRST:
                return threads
        faster, other = sorted(self._costs, key=lambda threads: median(self._costs[threads]))
        if other != self._slower:
            self._slower = other
            self._pause = self._left = FIRST_PAUSE
        if self._costs[other][-1] < median(self._costs[faster]):
            return other  # time it once more: whatever kept it slow may be gone
        self._left -= 1
        if self._left:
            return faster
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._left = self._pause
        return other

    def note(self, threads: int, cost: float) -> None:
        """Note the cost of a batch that was alone from beginning to end."""
        self._costs[threads].append(cost)
