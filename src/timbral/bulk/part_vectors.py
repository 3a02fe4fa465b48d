"""Vectors of the two parts of recordings that were embedded, for an audit; resumable.

Finished shards lie in the `embed` folder, in .parts/; a killed job is resumed behind them, and
recordings that were changed since are embedded again, those of a moved corpus are not. What is
found is read from the shards, one after the other, so that memory does not grow with the corpus.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
"""whose audio is held decoded"""
NUMBERS = ("moment", "before", "behind")


@dataclass(frozen=True)
class KeptParts:
    """The parts of recordings, read from shards as often as they are gone through."""

    folder: Folder
    shards: tuple[tuple[str, Ints], ...]
    """the name of each file, and the numbers of its recordings in the corpus"""

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
    """The parts of every recording (N,), and why some have none.

    `rows` (N,) are the recordings' numbers in the corpus. Shards are kept in `folder`, those of
    other weights, another preprocessing or another way of cutting in another folder of it.
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
            content, failed = _embed(embedder, shard)
            kept.write(shard.file_name, content)
        shards.append((shard.file_name, rows[start:end]))
        failures += failed
    progress(len(utterances), len(utterances))
    return KeptParts(kept, tuple(shards)), failures


def _embed(embedder: Embedder, shard: Shard) -> tuple[bytes, list[AudioError]]:
    """A shard's file, a row a recording, and those that failed, which its metadata names."""
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
    vectors = np.array([parts.vectors for parts in found], np.float32)
    seconds = np.array([parts.seconds for parts in found]).reshape(-1, 2)
    moments = np.array([parts.moment for parts in found])
    shape = (len(found), 2, embedder.embedding_dim)
    table = parts_table(np.array(numbers, np.int32), vectors.reshape(shape), seconds, moments)
    failed = json.dumps([failure.as_dict() for failure in failures])
    table = table.replace_schema_metadata({"recordings": fingerprint, "failures": failed})
    return arrow_content(table), failures


def parts_table(numbers: Ints, vectors: Vectors, seconds: Floats, moments: Floats) -> pa.Table:
    """The rows of a shard: recordings' numbers in it (K,), parts (K, 2, E) and what they last
    (K, 2), and the moments (K,) between them.
    """
    flat = pa.array(vectors.reshape(-1))
    return pa.table(
        {
            "recording": pa.array(numbers, pa.int32()),
            "moment": pa.array(moments, pa.float64()),
            "before": pa.array(seconds[:, 0], pa.float64()),
            "behind": pa.array(seconds[:, 1], pa.float64()),
            "embedding": pa.FixedSizeListArray.from_arrays(flat, 2 * vectors.shape[2]),
        }
    )


def _batches(
    embedder: Embedder, shard: Shard, failures: list[AudioError]
) -> Iterator[tuple[list[int], list[Wave], list[Floats]]]:
    """Rows of a shard, their audio, and the seconds that trimming left of it (K, 2).

    What cannot be read joins the `failures`.
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
        if len(rows) == BATCH_RECORDINGS:
            yield rows, waves, kept
            rows, waves, kept = [], [], []
    if rows:
        yield rows, waves, kept


def _parse(content: bytes, rows: Ints) -> SplitRecordings:
    """The recordings of a shard's file, whose numbers are `rows`; raises one of `DAMAGED`."""
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
    """The failures of a shard that is saved and whole; None while it is not."""
    numbers = np.arange(len(shard.utterances))
    failures = shard.saved_failures(folder, lambda content: _parse(content, numbers))
    paths = {row.path for row in shard.utterances}
    if failures is None or paths.issuperset(failure.path for failure in failures):
        return failures
    return None  # the corpus was moved, and they name the old paths
