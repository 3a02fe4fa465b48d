"""A whole corpus to files of vectors; resumable.

Finished utterances lie in OUTPUT/.embed/ in parts; a killed job goes on behind the last part.
At the end the parts become the files that were asked for. When recordings were repaired or added
since, a second run embeds the parts that they are in anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from timbral.audio import Wave
from timbral.data.manifest import Utterance, file_size
from timbral.embedding_files import FORMATS, utterance_schema
from timbral.errors import AudioError, DataError, did_you_mean
from timbral.files import folder_lock, read_json, write_json, write_jsonl, written_whole
from timbral.inference import Embedder, Vector

__all__ = ["BulkReport", "embed_corpus"]

PART_UTTERANCES = 256
BATCH_SECONDS = 600.0
"""audio that is held decoded, waiting for the encoder"""

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class BulkReport:
    """What an embedding job ended with."""

    utterances: int
    speakers: int
    audio_seconds: float
    failures: int
    wall_seconds: float
    """of this run; what an earlier run had done is not in it"""
    new_audio_seconds: float
    """audio embedded by this run"""

    @property
    def realtime(self) -> float:
        """Seconds of audio per second, of what this run did."""
        return self.new_audio_seconds / self.wall_seconds if self.wall_seconds else 0.0


def embed_corpus(
    embedder: Embedder,
    utterances: Sequence[Utterance],
    root: Path,
    output: Path,
    *,
    format: str = "parquet",
    model_name: str | None = None,
    progress: Progress = lambda done, total, seconds: None,
) -> BulkReport:
    """Embed every utterance and every speaker into `output`.

    `root` is the corpus's folder, whose tree the formats npy and torch mirror. Recordings that
    cannot be used go to failures.jsonl. Raises DataError when `output` holds the vectors of
    other weights or of another corpus, or when no recording could be used.
    """
    if format not in FORMATS:
        raise DataError(f"unknown format {format!r}{did_you_mean(format, FORMATS)}")
    name = model_name or embedder.name
    if Path(name).name != name:
        raise DataError(f"--model-name is part of file names and cannot be {name!r}; leave out /")
    started = time.monotonic()
    with folder_lock(output):
        _claim(embedder, root, output)
        parts = [
            utterances[start : start + PART_UTTERANCES]
            for start in range(0, len(utterances), PART_UTTERANCES)
        ]
        new_seconds = _embed_parts(embedder, parts, output / ".embed", progress)
        table, failures = _collect(embedder, len(parts), output / ".embed")
        write_jsonl(output / "failures.jsonl", failures)
        if table.num_rows == 0:
            raise DataError(
                f"none of the {len(failures)} recordings could be used; the first: "
                f"{failures[0]['reason']}; all of them: {output / 'failures.jsonl'}"
            )
        FORMATS[format](table, root, output, name)
    return BulkReport(
        utterances=table.num_rows,
        speakers=len(table["speaker"].unique()),
        audio_seconds=sum(table["duration_seconds"].to_pylist()),
        failures=len(failures),
        wall_seconds=time.monotonic() - started,
        new_audio_seconds=new_seconds,
    )


def _claim(embedder: Embedder, root: Path, output: Path) -> None:
    """Tie the folder to these weights and this corpus."""
    job = {
        "weights_sha256": embedder.weights_sha256,
        "preprocessing": embedder.preprocessing.as_dict(),
        "corpus": os.path.abspath(root),
    }
    path = output / ".embed" / "job.json"
    if path.exists():
        there = read_json(path)
        differing = [key for key in job if there.get(key) != job[key]]
        if differing:
            raise DataError(
                f"{output}: holds vectors made with other {', '.join(differing)}; "
                "choose another --output, or delete that folder first"
            )
    else:
        write_json(path, job)


def _digest(part: Sequence[Utterance]) -> str:
    """Names a part's recordings; another size means that a recording was replaced."""
    rows = [[*asdict(row).values(), file_size(row.path)] for row in part]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _is_done(index: Path, digest: str) -> bool:
    return index.exists() and read_json(index)["recordings_sha256"] == digest


def _embed_parts(
    embedder: Embedder, parts: list[Sequence[Utterance]], folder: Path, progress: Progress
) -> float:
    """Embed what is not there yet; returns seconds of audio embedded now."""
    total = sum(map(len, parts))
    done, seconds = 0, 0.0
    for number, part in enumerate(parts):
        index = folder / f"{number:05d}.json"
        digest = _digest(part)
        if not _is_done(index, digest):
            rows, failures, vectors = [], [], []
            for batch_rows, batch_failures, batch_vectors in _batches(embedder, part):
                rows += batch_rows
                failures += batch_failures
                vectors.append(batch_vectors)
                seconds += sum(row["duration_seconds"] for row in batch_rows)
                progress(done + len(rows) + len(failures), total, seconds)
            with (
                written_whole(folder / f"{number:05d}.npy") as temporary,
                open(temporary, "wb") as f,
            ):
                np.save(f, np.concatenate(vectors))
            content = {"recordings_sha256": digest, "rows": rows, "failures": failures}
            write_json(index, content)
        done += len(part)
        progress(done, total, seconds)
    return seconds


def _batches(
    embedder: Embedder, part: Sequence[Utterance]
) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, str]], Vector]]:
    """Rows, failures and vectors (N, E) of a part, in batches of bounded audio."""
    rows: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    waves: list[Wave] = []
    for item, wave in zip(part, embedder.load_each(item.path for item in part), strict=True):
        if isinstance(wave, AudioError):
            failures.append({**asdict(item), "reason": str(wave)})
            continue
        waves.append(wave)
        rows.append({**asdict(item), "duration_seconds": wave.size / embedder.sample_rate})
        if sum(row["duration_seconds"] for row in rows) >= BATCH_SECONDS:
            yield rows, failures, embedder.embed_waves(waves)
            rows, failures, waves = [], [], []
    yield rows, failures, embedder.embed_waves(waves)


def _collect(embedder: Embedder, parts: int, folder: Path) -> tuple[pa.Table, list[dict[str, str]]]:
    """All parts as one table in the order of the utterances, and all failures."""
    schema = utterance_schema(embedder.embedding_dim)
    tables, failures = [], []
    for number in range(parts):
        index = read_json(folder / f"{number:05d}.json")
        vectors = np.load(folder / f"{number:05d}.npy")
        rows = pa.Table.from_pylist(index["rows"])
        columns = {
            "vector": pa.FixedSizeListArray.from_arrays(vectors.ravel(), embedder.embedding_dim),
            "encoder": [embedder.name] * len(vectors),
            "weights_sha256": [embedder.weights_sha256] * len(vectors),
            "licence": [embedder.licence] * len(vectors),
        }
        for name in schema.names[: -len(columns)]:
            columns[name] = rows[name].combine_chunks() if rows.num_rows else []
        tables.append(pa.table({name: columns[name] for name in schema.names}, schema=schema))
        failures += index["failures"]
    return pa.concat_tables(tables), failures


def read_vectors(folder: Path) -> pa.Table:
    """The table of utterances of an `embed` folder; DataError when there is none."""
    path = folder / "utterances.parquet" if folder.is_dir() else folder
    try:
        table = pa.parquet.read_table(path)
    except (OSError, pa.ArrowInvalid):
        raise DataError(
            f"{folder}: holds no utterances.parquet; make it with "
            "`timbral embed ENCODER CORPUS --output FOLDER`"
        ) from None
    missing = {"utterance", "speaker", "path", "vector"}.difference(table.column_names)
    if missing:
        raise DataError(
            f"{path}: is no table of utterances: it has no column {', '.join(sorted(missing))}, "
            f"only {', '.join(table.column_names)}"
        )
    return table
