"""Prefetch batches in a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from timbral.data.batches.batch import Batch

__all__ = ["prefetch"]


def prefetch(batches: Iterator[Batch], depth: int = 2) -> Iterator[Batch]:
    """The same endless batches; a thread makes `depth` in advance while the model computes."""
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        pending = deque(pool.submit(next, batches) for _ in range(depth))
        while True:
            yield pending.popleft().result()
            pending.append(pool.submit(next, batches))
