"""From recordings to vectors: readers decode ahead while the model works; memory is bounded.

    shard 0 ──▶ lengths ──▶ groups, shortest recordings first ──▶ readers ──▶ model ──▶ result 0
    shard 1 ──▶ lengths …   (looked up while the groups of shard 0 are read)

Within a shard utterances are taken in the order of their lengths, so that little is padding, and
put back into the corpus's order at its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from timbral.audio.quality.risks import risks_of
from timbral.bulk.inputs import Content, Input, input_of
from timbral.bulk.shards import EmbeddedRow, PartialShard, Shard, ShardResult
from timbral.data.file_state import file_stamp
from timbral.embeddings.vectors import finite_rows
from timbral.errors import AudioError
from timbral.inference.embedder import Embedder
from timbral.inference.recordings import no_finite_vector
from timbral.io.types import Vectors

__all__ = ["GroupProgress", "embed_shards"]

BATCHES_PER_GROUP = 16
"""batches of the model whose audio is given to it together"""
GroupProgress = Callable[[int, float, int], None]
"""called with the utterances of a group, usable or not, the seconds of audio embedded, and how many
were not usable"""
_Look = tuple[tuple[int, int], float]
"""the stamp of a recording's file, and its seconds, before it is read"""
GROUPS_AHEAD = 2
"""whose audio is held decoded; a longer recording is read when nothing else is held"""


@dataclass(frozen=True)
class _Group:
    """Rows of one shard, of near length, that are read and embedded together."""

    shard: Shard
    input: Input
    rows: list[int]
    seconds: float


def embed_shards(
    embedder: Embedder,
    shards: Iterable[Shard],
    *,
    readers: int,
    strict: bool = False,
    progress: GroupProgress = lambda utterances, seconds, failures: None,
) -> Iterator[ShardResult]:
    """Embed shards one after another; `readers` threads run ahead into the next shard.

    With `strict` the first recording that cannot be used raises its AudioError. `progress` is
    called after each group of recordings, of which a shard has many.
    """
    partial: PartialShard | None = None
    for group, contents in _read_ahead(embedder, shards, readers):
        partial = partial or PartialShard.of(group.shard)
        for row, error in _embed_group(group, contents, partial):
            if strict:
                raise error
            partial.failures[row] = error
        seconds = sum(partial.rows[row].seconds for row in group.rows if row in partial.rows)
        failures = sum(row in partial.failures for row in group.rows)
        progress(len(group.rows), seconds, failures)
        if partial.is_complete:
            yield partial.result(embedder)
            partial = None


def _embed_group(
    group: _Group, contents: Sequence[Content | AudioError], partial: PartialShard
) -> Iterator[tuple[int, AudioError]]:
    """Vectors of a group into its shard; yields the rows that have none, and why."""
    usable: dict[int, Content] = {}
    for row, content in zip(group.rows, contents, strict=True):
        if isinstance(content, AudioError):
            yield row, content
        else:
            usable[row] = content
    if not usable:
        return
    vectors = group.input.embed(list(usable.values()))
    for (row, content), vector, finite in zip(
        usable.items(), vectors, finite_rows(vectors), strict=True
    ):
        if finite:
            partial.rows[row] = _made_of(content, vector, group.input.seconds(content))
        else:
            yield row, no_finite_vector(group.shard.utterances[row].path)


def _made_of(content: Content, vector: Vectors, seconds: float) -> EmbeddedRow:
    quality = content.quality
    if quality is None:
        return EmbeddedRow(vector, seconds)
    risks = [risk.kind for risk in risks_of(quality)]
    return EmbeddedRow(
        vector, seconds, quality.speech_seconds, risks, quality.bandwidth_hz, quality.snr_db
    )


def _read_ahead(
    embedder: Embedder, shards: Iterable[Shard], readers: int
) -> Iterator[tuple[_Group, list[Content | AudioError]]]:
    """Groups and what their files hold, or why they cannot be used; at most two groups ahead."""
    limit = BATCHES_PER_GROUP * embedder.runtime.seconds_per_batch
    with ThreadPoolExecutor(readers) as pool:
        ahead: deque[tuple[_Group, list[Future[Content | AudioError]]]] = deque()
        seconds_ahead = 0.0
        for group in _groups(embedder, shards, pool, limit):
            while ahead and seconds_ahead + group.seconds > GROUPS_AHEAD * limit:
                first, contents = ahead.popleft()
                seconds_ahead -= first.seconds
                yield first, [content.result() for content in contents]
            seconds_ahead += group.seconds
            paths = [group.shard.utterances[row].path for row in group.rows]
            ahead.append((group, [pool.submit(group.input.read, path) for path in paths]))
        while ahead:
            first, contents = ahead.popleft()
            yield first, [content.result() for content in contents]


def _groups(
    embedder: Embedder, shards: Iterable[Shard], pool: ThreadPoolExecutor, limit: float
) -> Iterator[_Group]:
    """Groups of shards; a shard's lengths are looked up before the shard before it is read."""
    upcoming: deque[tuple[Shard, Input, dict[int, Future[_Look]]]] = deque()
    for shard in shards:
        input = input_of(embedder, shard.utterances[0].path)
        lengths = {
            row: pool.submit(_look, input, utterance.path)
            for row, utterance in enumerate(shard.utterances)
            if row not in shard.known
        }
        upcoming.append((shard, input, lengths))
        if len(upcoming) > 1:
            yield from _groups_by_length(*upcoming.popleft(), limit)
    while upcoming:
        yield from _groups_by_length(*upcoming.popleft(), limit)


def _look(input: Input, path: str) -> _Look:
    return file_stamp(path), input.estimated_seconds(path)


def _groups_by_length(
    shard: Shard, input: Input, lengths: dict[int, Future[_Look]], limit: float
) -> Iterator[_Group]:
    """Groups of `limit` seconds or less, or of one longer recording; the shortest come first.

    One without rows, where all vectors of the shard are known.
    """
    looks = {row: length.result() for row, length in lengths.items()}
    seconds = {row: length for row, (_, length) in looks.items()}
    stamps = {row: stamp for row, (stamp, _) in looks.items()}
    shard = replace(shard, stamps={**shard.stamps, **stamps})
    rows: list[int] = []
    total = 0.0
    for row in sorted(seconds, key=seconds.__getitem__):
        if rows and total + seconds[row] > limit:
            yield _Group(shard, input, rows, total)
            rows, total = [], 0.0
        rows.append(row)
        total += seconds[row]
    yield _Group(shard, input, rows, total)
