"""Vectors of an earlier or killed comparison, stored in its report's folder to be reused.

A file contains the recordings of one batch. A file that cannot be read, or a recording that was
changed since, is ignored, and the recording is embedded again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from timbral.audio.quality.measures import Quality
from timbral.bulk.embed_job import EmbedJob
from timbral.bulk.shards import DAMAGED, arrow_content
from timbral.cloning.encoded_recording import EncodedRecording
from timbral.data.file_state import file_stamp
from timbral.inference.embedder import Embedder
from timbral.io.json_parsing import parse_json
from timbral.io.storage import Folder

__all__ = ["KEPT_FOLDER", "KeptRecordings"]

KEPT_FOLDER = ".recordings"
"""name of the folder within a report's folder"""


class KeptRecordings:
    """The stored vectors of one encoder with its settings, by path."""

    def __init__(self, report: Path, embedder: Embedder) -> None:
        self._path = report / KEPT_FOLDER / EmbedJob.of_recordings(embedder).digest[:12]
        self._folder = Folder(self._path)
        self._dim = embedder.embedding_dim

    def known(self, paths: Sequence[str]) -> dict[str, EncodedRecording]:
        """The stored recordings of `paths` whose files have not changed."""
        wanted = set(paths)
        found: dict[str, EncodedRecording] = {}
        for file in sorted(self._path.glob("*.arrow")):
            try:
                rows = list(_rows(file.read_bytes(), self._dim))
            except DAMAGED:
                continue
            for path, stamp, recording in rows:
                if path in wanted and stamp == file_stamp(path):
                    found[path] = recording
        return found

    def add(
        self, recordings: Mapping[str, EncodedRecording], stamps: Mapping[str, tuple[int, int]]
    ) -> None:
        """Store a batch, except recordings that are not files, whose changes could not be detected.

        `stamps` are the states of the files before they were read.
        """
        kept = [path for path in recordings if stamps[path][0] >= 0]
        if not kept:
            return
        vectors = np.array([recordings[path].vector for path in kept], np.float32)
        table = pa.table(
            {
                "path": kept,
                "size": [stamps[path][0] for path in kept],
                "changed_ns": [stamps[path][1] for path in kept],
                "quality": [json.dumps(asdict(recordings[path].quality)) for path in kept],
                "embedding": pa.FixedSizeListArray.from_arrays(
                    pa.array(vectors.reshape(-1)), vectors.shape[1]
                ),
            }
        )
        name = hashlib.sha256("\0".join(kept).encode()).hexdigest()[:16]
        self._folder.write(f"{name}.arrow", arrow_content(table))


def _rows(
    content: bytes, dimension: int
) -> Iterator[tuple[str, tuple[int, int], EncodedRecording]]:
    """The recordings in a file, with the states of their files; raises one of `DAMAGED`."""
    table = pa.ipc.open_file(content).read_all()
    table.validate(full=True)
    vectors = table["embedding"].combine_chunks()
    numbers = vectors.flatten().to_numpy().reshape(len(table), -1)
    if numbers.shape[1] != dimension or not np.isfinite(numbers).all():
        raise ValueError("its vectors are not from this encoder")
    for row, vector in zip(table.drop(["embedding"]).to_pylist(), numbers, strict=True):
        quality = _quality(parse_json(row["quality"]))
        yield (
            row["path"],
            (row["size"], row["changed_ns"]),
            EncodedRecording(vector.astype(np.float32), quality),
        )


def _quality(values: Any) -> Quality:
    names = {field.name for field in fields(Quality)}
    numbers = [value for value in values.values() if value is not None]
    if values.keys() != names or not all(isinstance(value, int | float) for value in numbers):
        raise ValueError("its measures are not those of a recording")
    return Quality(**values)
