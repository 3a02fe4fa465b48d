"""From recordings to vectors: readers decode ahead while the model works; memory is bounded.

Within a part utterances are taken in the order of their lengths, so that little is padding, and
put back into the corpus's order at its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import soundfile

from timbral.audio import Wave
from timbral.bulk.parts import Done, Part, finish
from timbral.data.manifest import file_size
from timbral.errors import AudioError
from timbral.inference import SECONDS_PER_BATCH, Embedder, Vector
from timbral.storage import is_url, open_url

__all__ = ["embed_parts"]

BATCHES_AT_ONCE = 16
"""batches of the model whose audio is given to it together"""
AHEAD = 2
"""groups whose audio is held decoded; a longer recording is read when nothing else is held"""


@dataclass(frozen=True)
class _Group:
    """Rows of one part, of near length, that are read and embedded together."""

    part: Part
    rows: list[int]
    seconds: float


def embed_parts(
    embedder: Embedder, parts: Iterable[Part], *, readers: int, strict: bool = False
) -> Iterator[Done]:
    """Embed parts one after another; reading runs ahead into the next part.

    With `strict` the first recording that cannot be used raises its AudioError.
    """
    work = _Work()
    for group, waves in _read_ahead(embedder, parts, readers):
        usable: dict[int, Wave] = {}
        for row, wave in zip(group.rows, waves, strict=True):
            if not isinstance(wave, AudioError):
                usable[row] = wave
            elif strict:
                raise wave
            else:
                work.failures[row] = str(wave)
        vectors = embedder.embed_waves(list(usable.values()))
        for (row, wave), vector in zip(usable.items(), vectors, strict=True):
            work.vectors[row] = vector
            work.seconds[row] = wave.size / embedder.sample_rate
        if len(work.vectors) + len(work.failures) == len(group.part.utterances):
            yield finish(embedder, group.part, work.vectors, work.seconds, work.failures)
            work = _Work()


@dataclass
class _Work:
    """What is known of the part in work, by row."""

    vectors: dict[int, Vector] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)


def _read_ahead(
    embedder: Embedder, parts: Iterable[Part], readers: int
) -> Iterator[tuple[_Group, list[Wave | AudioError]]]:
    limit = BATCHES_AT_ONCE * SECONDS_PER_BATCH.get(embedder.device.type, 16)
    with ThreadPoolExecutor(readers) as pool:
        ahead: deque[tuple[_Group, list[Future[Wave | AudioError]]]] = deque()
        held = 0.0
        for group in _groups(parts, pool, limit):
            while ahead and held + group.seconds > AHEAD * limit:
                first, waves = ahead.popleft()
                held -= first.seconds
                yield first, [wave.result() for wave in waves]
            held += group.seconds
            paths = [group.part.utterances[row].path for row in group.rows]
            ahead.append((group, [pool.submit(embedder.load_or_error, path) for path in paths]))
        while ahead:
            first, waves = ahead.popleft()
            yield first, [wave.result() for wave in waves]


def _groups(parts: Iterable[Part], pool: ThreadPoolExecutor, limit: float) -> Iterator[_Group]:
    """Groups of parts; the lengths of a part are looked up before the part before is read."""
    waiting: deque[tuple[Part, list[Future[float]]]] = deque()
    for part in parts:
        waiting.append((part, [pool.submit(_seconds, row.path) for row in part.utterances]))
        if len(waiting) > 1:
            yield from _by_length(*waiting.popleft(), limit)
    while waiting:
        yield from _by_length(*waiting.popleft(), limit)


def _by_length(part: Part, lengths: list[Future[float]], limit: float) -> Iterator[_Group]:
    seconds = [length.result() for length in lengths]
    rows: list[int] = []
    total = 0.0
    for row in sorted(range(len(seconds)), key=seconds.__getitem__):
        if rows and total + seconds[row] > limit:
            yield _Group(part, rows, total)
            rows, total = [], 0.0
        rows.append(row)
        total += seconds[row]
    yield _Group(part, rows, total)


def _seconds(path: str) -> float:
    """Length by a recording's header; a guess from its size where that cannot be read."""
    try:
        if is_url(path):
            with open_url(path) as file:
                return _header(file)
        return _header(path)
    except (soundfile.LibsndfileError, OSError, ValueError):
        return max(file_size(path), 0) / 8_000  # compressed speech at 64 kbit/s


def _header(file: Any) -> float:
    with soundfile.SoundFile(file) as opened:
        return float(opened.frames / opened.samplerate)
