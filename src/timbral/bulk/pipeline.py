"""From recordings to vectors: readers decode ahead while the model works; memory is bounded.

Within a part utterances are taken in the order of their lengths, so that little is padding, and
put back into the corpus's order at its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from timbral.bulk.inputs import Input, input_of
from timbral.bulk.shards import Done, Part, finish
from timbral.errors import AudioError
from timbral.inference.embedder import SECONDS_PER_BATCH, Embedder, Vector

__all__ = ["embed_parts"]

Content = NDArray[np.float32]
"""what a file holds: a wave (T,), or a mel (F, M)"""

BATCHES_AT_ONCE = 16
"""batches of the model whose audio is given to it together"""
AHEAD = 2
"""groups whose audio is held decoded; a longer recording is read when nothing else is held"""


@dataclass(frozen=True)
class _Group:
    """Rows of one part, of near length, that are read and embedded together."""

    part: Part
    kind: Input
    rows: list[int]
    seconds: float


def embed_parts(
    embedder: Embedder, parts: Iterable[Part], *, readers: int, strict: bool = False
) -> Iterator[Done]:
    """Embed parts one after another; reading runs ahead into the next part.

    With `strict` the first recording that cannot be used raises its AudioError.
    """
    work = _Work()
    for group, contents in _read_ahead(embedder, parts, readers):
        usable: dict[int, Content] = {}
        for row, content in zip(group.rows, contents, strict=True):
            if not isinstance(content, AudioError):
                usable[row] = content
            elif strict:
                raise content
            else:
                work.failures[row] = content
        vectors = group.kind.embed(list(usable.values()))
        for (row, content), vector in zip(usable.items(), vectors, strict=True):
            work.vectors[row] = vector
            work.seconds[row] = group.kind.length(content)
        if len(work.vectors) + len(work.failures) == len(group.part.utterances):
            yield finish(embedder, group.part, work.vectors, work.seconds, work.failures)
            work = _Work()


@dataclass
class _Work:
    """What is known of the part in work, by row."""

    vectors: dict[int, Vector] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    failures: dict[int, AudioError] = field(default_factory=dict)


def _read_ahead(
    embedder: Embedder, parts: Iterable[Part], readers: int
) -> Iterator[tuple[_Group, list[Content | AudioError]]]:
    limit = BATCHES_AT_ONCE * SECONDS_PER_BATCH.get(embedder.device.type, 16)
    with ThreadPoolExecutor(readers) as pool:
        ahead: deque[tuple[_Group, list[Future[Content | AudioError]]]] = deque()
        held = 0.0
        for group in _groups(embedder, parts, pool, limit):
            while ahead and held + group.seconds > AHEAD * limit:
                first, contents = ahead.popleft()
                held -= first.seconds
                yield first, [content.result() for content in contents]
            held += group.seconds
            paths = [group.part.utterances[row].path for row in group.rows]
            ahead.append((group, [pool.submit(group.kind.read, path) for path in paths]))
        while ahead:
            first, contents = ahead.popleft()
            yield first, [content.result() for content in contents]


def _groups(
    embedder: Embedder, parts: Iterable[Part], pool: ThreadPoolExecutor, limit: float
) -> Iterator[_Group]:
    """Groups of parts; the lengths of a part are looked up before the part before is read."""
    waiting: deque[tuple[Part, Input, list[Future[float]]]] = deque()
    for part in parts:
        kind = input_of(embedder, part.utterances[0].path)
        lengths = [pool.submit(kind.seconds, row.path) for row in part.utterances]
        waiting.append((part, kind, lengths))
        if len(waiting) > 1:
            yield from _by_length(*waiting.popleft(), limit)
    while waiting:
        yield from _by_length(*waiting.popleft(), limit)


def _by_length(
    part: Part, kind: Input, lengths: list[Future[float]], limit: float
) -> Iterator[_Group]:
    seconds = [length.result() for length in lengths]
    rows: list[int] = []
    total = 0.0
    for row in sorted(range(len(seconds)), key=seconds.__getitem__):
        if rows and total + seconds[row] > limit:
            yield _Group(part, kind, rows, total)
            rows, total = [], 0.0
        rows.append(row)
        total += seconds[row]
    yield _Group(part, kind, rows, total)
