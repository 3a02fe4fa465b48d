"""Vectors of the windows of recordings that were embedded, for an audit; resumable.

Finished shards lie in the `embed` folder, in .windows/; a killed job is resumed behind them, and
recordings that were changed since are embedded again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from timbral.bulk.embed_job import EmbedJob, tie_folder
from timbral.bulk.shards import DAMAGED, Shard
from timbral.data.manifest import Utterance
from timbral.embeddings.audit.second_speaker import WindowedRecording
from timbral.embeddings.table import vectors_of
from timbral.errors import AudioError
from timbral.inference.embedder import Embedder
from timbral.inference.speech_windows import windowed_recordings
from timbral.io.json_parsing import parse_json
from timbral.io.storage import Folder
from timbral.io.threads import map_ahead
from timbral.io.types import Progress

__all__ = ["NOT_READ", "embed_windows"]

SHARD_RECORDINGS = 64
BATCH_RECORDINGS = 16
"""whose audio is held decoded"""
NOT_READ = WindowedRecording(np.zeros((0, 1), np.float32), np.zeros(0), 0.0)
"""what a recording gives that is not read, or cannot be used"""


def embed_windows(
    embedder: Embedder,
    utterances: Sequence[Utterance],
    folder: Path,
    *,
    root: str | Path,
    progress: Progress = lambda done, total: None,
) -> tuple[list[WindowedRecording], list[AudioError]]:
    """The windows of every recording (N,), and why some have none.

    Shards are kept in `folder`. Raises DataError when it holds those of other weights.
    """
    kept = Folder(folder)
    tie_folder(kept, EmbedJob.of(embedder, root))
    found: list[WindowedRecording] = []
    failures: list[AudioError] = []
    for start in range(0, len(utterances), SHARD_RECORDINGS):
        progress(start, len(utterances))
        rows = utterances[start : start + SHARD_RECORDINGS]
        shard = Shard(start // SHARD_RECORDINGS, rows)
        saved = _saved(kept, shard)
        if saved is None:
            kept.write(shard.file_name, _embed(embedder, shard))
            saved = _saved(kept, shard)
            assert saved is not None, "it was just written"
        found += saved[0]
        failures += saved[1]
    progress(len(utterances), len(utterances))
    return found, failures


def _embed(embedder: Embedder, shard: Shard) -> bytes:
    """A shard's file: a row a window; recordings that failed are named in its metadata."""
    fingerprint = shard.fingerprint()
    failures: list[dict[str, str]] = []
    tables = []
    for rows, waves in _batches(embedder, shard, failures):
        for row, recording in zip(rows, windowed_recordings(embedder, waves), strict=True):
            vectors = pa.array(recording.vectors.ravel())
            columns = [
                pa.array([row] * len(recording.starts), pa.int32()),
                pa.array(recording.starts),
                pa.array([recording.window_seconds] * len(recording.starts), pa.float64()),
                pa.FixedSizeListArray.from_arrays(vectors, embedder.embedding_dim),
            ]
            tables.append(pa.table(columns, ["recording", "start", "seconds", "embedding"]))
    metadata = {"recordings": fingerprint, "failures": json.dumps(failures)}
    kind = pa.list_(pa.float32(), embedder.embedding_dim)
    numbers = [("recording", pa.int32()), ("start", pa.float64()), ("seconds", pa.float64())]
    schema = pa.schema([*numbers, ("embedding", kind)])
    table = pa.concat_tables([schema.empty_table(), *tables]).replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _batches(
    embedder: Embedder, shard: Shard, failures: list[dict[str, str]]
) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """Rows of a shard and their audio; what cannot be read joins the `failures`."""
    rows: list[int] = []
    waves: list[np.ndarray] = []
    paths = [utterance.path for utterance in shard.utterances]
    for row, wave in enumerate(map_ahead(embedder.try_load_audio, paths)):
        if isinstance(wave, AudioError):
            failures.append(wave.as_dict())
            continue
        rows.append(row)
        waves.append(wave)
        if len(rows) == BATCH_RECORDINGS:
            yield rows, waves
            rows, waves = [], []
    if rows:
        yield rows, waves


def _saved(folder: Folder, shard: Shard) -> tuple[list[WindowedRecording], list[AudioError]] | None:
    """The recordings of a shard that is saved, and its failures; None while it is not."""
    content = folder.read(shard.file_name)
    if content is None:
        return None
    try:
        table = pa.ipc.open_file(content).read_all()
        table.validate(full=True)
        if not shard.is_made_of(table.schema.metadata[b"recordings"].decode()):
            return None
        failures = parse_json(table.schema.metadata[b"failures"])
        errors = [AudioError(each["path"], each["reason"], each["kind"]) for each in failures]
        row_of = table["recording"].to_numpy()
        starts, seconds = table["start"].to_numpy(), table["seconds"].to_numpy()
        vectors = vectors_of(table)
    except DAMAGED:
        return None
    found = [NOT_READ] * len(shard.utterances)
    for row in np.unique(row_of).tolist():
        own = row_of == row
        found[row] = WindowedRecording(vectors[own], starts[own], float(seconds[own][0]))
    return found, errors
