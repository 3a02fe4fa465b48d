"""Embed recordings with bounded memory, while threads decode the next ones.

    shard 0 ──▶ lengths ──▶ groups, shortest recordings first ──▶ readers ──▶ model ──▶ result 0
    shard 1 ──▶ lengths …   (looked up while the groups of shard 0 are read)

Utterances of a shard are embedded in the order of their lengths, to reduce padding, and then put
back into the corpus's order.
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
"""batches of the model in one group"""
GroupProgress = Callable[[int, float, int], None]
"""called after each group with its number of utterances, usable or not, the seconds of audio
embedded, and the number of unusable ones"""
_FileInfo = tuple[tuple[int, int], float]
"""the stamp of a recording's file, and its estimated duration, before it is read"""
GROUPS_AHEAD = 2
"""groups whose audio is in memory; a longer recording is read when no other is"""


@dataclass(frozen=True)
class _Group:
    """Rows of one shard, of similar length, that are read and embedded together."""

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

    With `strict`, the first unusable recording raises its AudioError. `progress` is called after
    each group of recordings.
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
    """Add the vectors of a group to its shard; yields the failed rows with their errors."""
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
            partial.rows[row] = _embedded_row(content, vector, group.input.seconds(content))
        else:
            yield row, no_finite_vector(group.shard.utterances[row].path)


def _embedded_row(content: Content, vector: Vectors, seconds: float) -> EmbeddedRow:
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
    """Groups with the contents of their files or errors, of which at most two are read ahead."""
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
    """Groups of shards; the lengths of a shard are looked up before the previous one is read."""
    upcoming: deque[tuple[Shard, Input, dict[int, Future[_FileInfo]]]] = deque()
    for shard in shards:
        input = input_of(embedder, shard.utterances[0].path)
        lengths = {
            row: pool.submit(_file_info, input, utterance.path)
            for row, utterance in enumerate(shard.utterances)
            if row not in shard.known
        }
        upcoming.append((shard, input, lengths))
        if len(upcoming) > 1:
            yield from _groups_by_length(*upcoming.popleft(), limit)
    while upcoming:
        yield from _groups_by_length(*upcoming.popleft(), limit)


def _file_info(input: Input, path: str) -> _FileInfo:
    return file_stamp(path), input.estimated_seconds(path)


def _groups_by_length(
    shard: Shard, input: Input, lengths: dict[int, Future[_FileInfo]], limit: float
) -> Iterator[_Group]:
    """Groups of at most `limit` seconds, or of one longer recording, the shortest first.

    A single group without rows if all vectors of the shard are known.
    """
    infos = {row: length.result() for row, length in lengths.items()}
    seconds = {row: length for row, (_, length) in infos.items()}
    stamps = {row: stamp for row, (stamp, _) in infos.items()}
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
