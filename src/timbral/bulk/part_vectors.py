"""Compute the vectors of the two parts of recordings, for an audit, resumably.

Finished shards are stored in the `embed` folder, in .parts/, from which a killed job resumes.
Changed recordings are embedded again; those of a moved corpus are not. Results are read from the
shards, one after the other, so that memory does not grow with the corpus.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from timbral.audio.decode import Wave
from timbral.audio.preprocessing import seconds_in_recording
from timbral.bulk.embed_job import EmbedJob, tie_folder
from timbral.bulk.shards import DAMAGED, Shard, arrow_content
from timbral.data.manifest import Utterance
from timbral.embeddings.audit.second_speaker import SplitRecordings
from timbral.embeddings.table import vectors_of
from timbral.errors import AudioError, DataError
from timbral.inference.embedder import Embedder
from timbral.inference.speech_parts import CUT_VERSION, RecordingParts, parts_of
from timbral.io.storage import Folder
from timbral.io.threads import map_ahead
from timbral.io.types import Floats, Ints, Progress, Vectors

__all__ = ["SHARD_RECORDINGS", "KeptParts", "embed_parts", "parts_table"]

SHARD_RECORDINGS = 64
BATCH_RECORDINGS = 16
BATCH_SECONDS = 300.0
"""a batch, whose audio is in memory at once, ends with the recording that reaches either"""
NUMBERS = ("moment", "before", "after")


@dataclass(frozen=True)
class KeptParts:
    """The parts of recordings, which each iteration reads from the shards."""

    folder: Folder
    shards: tuple[tuple[str, Ints], ...]
    """for each file, its name and the rows of its recordings in the corpus"""

    def __iter__(self) -> Iterator[SplitRecordings]:
        for name, rows in self.shards:
            content = self.folder.read(name)
            try:
                yield _parse(content or b"", rows)
            except DAMAGED:
                raise DataError(
                    f"{self.folder.location}/{name}: was changed by another process while it was "
                    "read; start again"
                ) from None


def embed_parts(
    embedder: Embedder,
    utterances: Sequence[Utterance],
    rows: Ints,
    folder: Path,
    *,
    progress: Progress = lambda done, total: None,
) -> tuple[KeptParts, list[AudioError]]:
    """The parts of N recordings, and why some have none.

    `rows` (N,) are the recordings' rows in the corpus. Shards are stored below `folder`, with one
    folder for each combination of weights, preprocessing and version of the splitting.
    """
    job = EmbedJob.of_recordings(embedder)
    kept = Folder(folder / f"{job.digest[:12]}-{CUT_VERSION}")
    tie_folder(kept, job)
    shards: list[tuple[str, Ints]] = []
    failures: list[AudioError] = []
    for start in range(0, len(utterances), SHARD_RECORDINGS):
        progress(start, len(utterances))
        end = start + SHARD_RECORDINGS
        shard = Shard(start // SHARD_RECORDINGS, utterances[start:end], movable=True)
        failed = _saved_failures(kept, shard)
        if failed is None:
            done = partial(_advance, progress, start, len(utterances))
            content, failed = _embed(embedder, shard, done)
            kept.write(shard.file_name, content)
        shards.append((shard.file_name, rows[start:end]))
        failures += failed
    progress(len(utterances), len(utterances))
    return KeptParts(kept, tuple(shards)), failures


def _advance(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _embed(
    embedder: Embedder, shard: Shard, on_done: Callable[[int], None]
) -> tuple[bytes, list[AudioError]]:
    """The content of a shard's file, with one row per recording, and the failures in its
    metadata.

    `on_done` is called after each batch with the number of the shard's recordings done.
    """
    fingerprint = shard.fingerprint()
    failures: list[AudioError] = []
    numbers: list[int] = []
    found: list[RecordingParts] = []
    for rows, waves, kept in _batches(embedder, shard, failures):
        for row, parts, times in zip(rows, parts_of(embedder, waves), kept, strict=True):
            if parts is not None:
                numbers.append(row)
                moment = seconds_in_recording(times, parts.moment)
                found.append(replace(parts, moment=moment))
        on_done(rows[-1] + 1)
    vectors = np.array([parts.vectors for parts in found], np.float32)
    seconds = np.array([parts.seconds for parts in found]).reshape(-1, 2)
    moments = np.array([parts.moment for parts in found])
    shape = (len(found), 2, embedder.embedding_dim)
    table = parts_table(np.array(numbers, np.int32), vectors.reshape(shape), seconds, moments)
    failed = json.dumps([failure.as_dict() for failure in failures])
    table = table.replace_schema_metadata({"recordings": fingerprint, "failures": failed})
    return arrow_content(table), failures


def parts_table(numbers: Ints, vectors: Vectors, seconds: Floats, moments: Floats) -> pa.Table:
    """A shard's table: recordings' rows in the shard (K,), vectors of parts (K, 2, E), their
    seconds of speech (K, 2), and the moments between them (K,).
    """
    flat = pa.array(vectors.reshape(-1))
    return pa.table(
        {
            "recording": pa.array(numbers, pa.int32()),
            "moment": pa.array(moments, pa.float64()),
            "before": pa.array(seconds[:, 0], pa.float64()),
            "after": pa.array(seconds[:, 1], pa.float64()),
            "embedding": pa.FixedSizeListArray.from_arrays(flat, 2 * vectors.shape[2]),
        }
    )


def _batches(
    embedder: Embedder, shard: Shard, failures: list[AudioError]
) -> Iterator[tuple[list[int], list[Wave], list[Floats]]]:
    """Batches of a shard's rows, their audio, and the times of it that trimming left (K, 2).

    Unreadable recordings are added to `failures`.
    """
    rows: list[int] = []
    waves: list[Wave] = []
    kept: list[Floats] = []
    paths = [utterance.path for utterance in shard.utterances]
    for row, loaded in enumerate(map_ahead(embedder.loader.try_load_with_times, paths)):
        if isinstance(loaded, AudioError):
            failures.append(loaded)
            continue
        rows.append(row)
        waves.append(loaded[0])
        kept.append(loaded[1])
        seconds = sum(map(len, waves)) / embedder.sample_rate
        if len(rows) == BATCH_RECORDINGS or seconds >= BATCH_SECONDS:
            yield rows, waves, kept
            rows, waves, kept = [], [], []
    if rows:
        yield rows, waves, kept


def _parse(content: bytes, rows: Ints) -> SplitRecordings:
    """The recordings in a shard's file, whose rows are `rows`; raises one of `DAMAGED`."""
    table = pa.ipc.open_file(content).read_all()
    table.validate(full=True)
    parts = vectors_of(table) if len(table) else np.zeros((0, 2), np.float32)
    numbers = np.stack([table[name].to_numpy() for name in NUMBERS])
    seconds = numbers[1:].T
    if not (np.isfinite(parts).all() and np.isfinite(numbers).all() and (seconds > 0).all()):
        raise ValueError("its numbers are not those of two parts")
    return SplitRecordings(
        rows[table["recording"].to_numpy()],
        parts.reshape(len(table), 2, parts.shape[1] // 2),
        seconds,
        numbers[0],
    )


def _saved_failures(folder: Folder, shard: Shard) -> list[AudioError] | None:
    """The failures of a saved shard; None if it is missing or damaged."""
    numbers = np.arange(len(shard.utterances))
    failures = shard.saved_failures(folder, lambda content: _parse(content, numbers))
    paths = {row.path for row in shard.utterances}
    if failures is None or paths.issuperset(failure.path for failure in failures):
        return failures
    return None  # the corpus was moved, and they have the old paths
