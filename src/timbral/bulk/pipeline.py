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

__all__ = ["BatchProgress", "embed_shards", "no_progress"]

BATCHES_PER_GROUP = 16
"""batches of the model in one group"""
BatchProgress = Callable[[str, int, float, int], None]
"""called with the file name of a shard, and of a batch of its recordings: how many, usable or not,
the seconds of audio embedded, and how many were not usable"""
_FileInfo = tuple[tuple[int, int], float]
"""the stamp of a recording's file, and its estimated duration, before it is read"""
GROUPS_AHEAD = 2
"""groups whose audio is in memory; a longer recording is read when no other is"""


def no_progress(shard: str, utterances: int, seconds: float, failures: int) -> None:
    """A `BatchProgress` that shows nothing."""


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
    progress: BatchProgress = no_progress,
) -> Iterator[ShardResult]:
    """Embed shards one after another; `readers` threads run ahead into the next shard.

    With `strict`, the first unusable recording raises its AudioError. `progress` is called after
    each batch of recordings.
    """
    partial: PartialShard | None = None
    for group, contents in _read_ahead(embedder, shards, readers):
        partial = partial or PartialShard.of(group.shard)
        for count, seconds, errors in _embed_group(group, contents, partial):
            if strict and errors:
                raise errors[0]
            progress(group.shard.file_name, count, seconds, len(errors))
        if partial.is_complete:
            yield partial.result(embedder)
            partial = None


def _embed_group(
    group: _Group, contents: Sequence[Content | AudioError], partial: PartialShard
) -> Iterator[tuple[int, float, list[AudioError]]]:
    """Add the vectors and failures of a group to its shard, one batch after another.

    Yields the number of recordings in each batch, the seconds embedded, and the failures.
    """
    usable: dict[int, Content] = {}
    errors: list[AudioError] = []
    for row, content in zip(group.rows, contents, strict=True):
        if isinstance(content, AudioError):
            partial.failures[row] = content
            errors.append(content)
        else:
            usable[row] = content
    if errors:
        yield len(errors), 0.0, errors
    rows, kept = list(usable), list(usable.values())
    for batch in group.input.batches(kept) if kept else ():
        seconds, errors = 0.0, []
        vectors = group.input.embed([kept[index] for index in batch])
        for index, vector, finite in zip(batch, vectors, finite_rows(vectors), strict=True):
            row, content = rows[index], kept[index]
            if finite:
                made = _embedded_row(content, vector, group.input.seconds(content))
                partial.rows[row] = made
                seconds += made.seconds
            else:
                error = no_finite_vector(group.shard.utterances[row].path)
                partial.failures[row] = error
                errors.append(error)
        yield len(batch), seconds, errors


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
