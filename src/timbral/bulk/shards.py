"""Shards of a corpus: so many utterances are embedded and saved together.

A job that was killed is resumed behind the shards that are saved; a shard in which a recording
was repaired or replaced since is made again, from the vectors that are known and new ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from timbral.data.file_state import FileState, content_name, file_stamp
from timbral.data.manifest import Utterance
from timbral.embeddings.table import OPTIONAL_FIELDS, embedded_schema
from timbral.embeddings.utterance_columns import utterance_columns
from timbral.errors import AudioError, DataError, first_line
from timbral.inference.embedder import Embedder
from timbral.io.json_parsing import parse_json
from timbral.io.storage import Folder
from timbral.io.types import Vectors

__all__ = [
    "DAMAGED",
    "HASHING_THREADS",
    "EmbeddedRow",
    "PartialShard",
    "Shard",
    "ShardResult",
    "arrow_content",
    "parse_shard",
    "read_shard",
    "shard_file_name",
    "split_into_shards",
]

HASHING_THREADS = 4
DAMAGED = (pa.ArrowException, OSError, LookupError, ValueError, TypeError, AttributeError)
"""what reading a damaged file of Arrow raises"""
SHARD_UTTERANCES = {"cpu": 64, "cuda": 512}
"""what a killed job embeds again, at most, for each worker"""


@dataclass(frozen=True)
class EmbeddedRow:
    """What was made of one recording."""

    vector: Vectors
    """(E,)"""
    seconds: float
    """of audio that it was made of"""
    speech_seconds: float | None = None
    risks: list[str] | None = None
    """kinds; None where the recording was not measured"""
    bandwidth_hz: float | None = None
    snr_db: float | None = None


@dataclass(frozen=True)
class Shard:
    """Some utterances, in the corpus's order."""

    number: int
    utterances: Sequence[Utterance]
    known: Mapping[int, EmbeddedRow] = field(default_factory=dict)
    """by row, what need not be embedded again"""
    states: Mapping[int, FileState] = field(default_factory=dict)
    """by row, what the file of one that is known was when it was looked up"""
    stamps: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """by row, that of its file before it was read"""

    movable: bool = False
    """whether the recordings may lie elsewhere: then content stands for paths on a disk"""

    @property
    def file_name(self) -> str:
        return shard_file_name(self.number)

    def fingerprint(self) -> str:
        """Which utterances it is made of, and what their files are now, as JSON.

        A file that was written since it was read, as in a folder that is being filled, has no
        state: the recording is embedded again by the next job.
        """
        with ThreadPoolExecutor(HASHING_THREADS) as pool:
            files = list(pool.map(self._file_state, range(len(self.utterances))))
        return json.dumps(
            {"utterances": self._names_sha256(), "files": [astuple(file) for file in files]}
        )

    def _file_state(self, row: int) -> FileState:
        path, known = self.utterances[row].path, self.states.get(row)
        if known is None:
            return FileState.of(path, self.stamps.get(row))
        return known if file_stamp(path) == known.stamp else FileState.of(path, known.stamp)

    def is_made_of(self, fingerprint: str) -> bool:
        """Whether the recordings are those that a fingerprint was taken of.

        A file of the same size that was written since is read: it may have been copied or touched.
        """
        saved = parse_json(fingerprint)
        if saved["utterances"] != self._names_sha256():
            return False
        pairs = zip(self.utterances, saved["files"], strict=True)
        return all(FileState(*file).is_of(row.path) for row, file in pairs)

    def _names_sha256(self) -> str:
        """Of the five columns of the utterances."""
        names = [row.names() for row in self.utterances]
        if self.movable:
            on_disk = (each for each in names if file_stamp(each["path"])[0] >= 0)
            for each in on_disk:
                each["path"] = content_name(each["path"])
        rows = json.dumps([list(each.values()) for each in names])
        return hashlib.sha256(rows.encode()).hexdigest()

    def saved_failures(
        self, folder: Folder, check: Callable[[bytes], object] = bytes
    ) -> list[AudioError] | None:
        """The recordings of this shard that failed; None while it is not embedded and saved.

        A damaged file counts as none, also one of which `check` raises one of `DAMAGED`: the shard
        is embedded again.
        """
        content = folder.read(self.file_name)
        if content is None:
            return None
        try:
            metadata = pa.ipc.open_file(content).schema.metadata
            if not self.is_made_of(metadata[b"recordings"].decode()):
                return None
            check(content)
            failures = parse_json(metadata[b"failures"])
            return [AudioError(each["path"], each["reason"], each["kind"]) for each in failures]
        except DAMAGED:
            return None


@dataclass(frozen=True)
class ShardResult:
    """A shard that was embedded: its file, and what the progress shows."""

    file_name: str
    content: bytes
    num_utterances: int
    num_failures: int
    audio_seconds: float
    """embedded for it; without what was known"""


@dataclass(frozen=True)
class PartialShard:
    """What a shard's utterances gave so far, by their rows in the shard."""

    shard: Shard
    rows: dict[int, EmbeddedRow] = field(default_factory=dict)
    failures: dict[int, AudioError] = field(default_factory=dict)

    @classmethod
    def of(cls, shard: Shard) -> PartialShard:
        """What is known of a shard before its work begins."""
        return cls(shard, dict(shard.known))

    @property
    def is_complete(self) -> bool:
        return len(self.rows) + len(self.failures) == len(self.shard.utterances)

    def result(self, embedder: Embedder) -> ShardResult:
        """The shard's Arrow file: the columns of utterances.parquet; failures in its metadata."""
        utterances = self.shard.utterances
        failures = [
            self.failures[row].as_dict() | utterances[row].names() for row in sorted(self.failures)
        ]
        schema = embedded_schema(embedder.embedding_dim).with_metadata(
            {
                "recordings": self.shard.fingerprint(),
                "failures": json.dumps(failures),
                "failed_rows": json.dumps(sorted(self.failures)),
            }
        )
        return ShardResult(
            file_name=self.shard.file_name,
            content=arrow_content(pa.table(self._columns(embedder), schema=schema)),
            num_utterances=len(self.rows),
            num_failures=len(failures),
            audio_seconds=sum(
                self.rows[row].seconds for row in sorted(self.rows) if row not in self.shard.known
            ),
        )

    def _columns(self, embedder: Embedder) -> dict[str, Any]:
        rows = sorted(self.rows)
        kept = [self.shard.utterances[row] for row in rows]
        made = [self.rows[row] for row in rows]
        stacked = np.stack([row.vector for row in made]) if made else np.empty(0, np.float32)
        return {
            "utterance": [row.utterance for row in kept],
            "speaker": [row.speaker for row in kept],
            "session": [row.session for row in kept],
            "path": [row.path for row in kept],
            "duration_seconds": [row.seconds for row in made],
            "embedding": pa.FixedSizeListArray.from_arrays(stacked.ravel(), embedder.embedding_dim),
            "encoder": [embedder.name] * len(rows),
            "weights_sha256": [embedder.weights_sha256] * len(rows),
            "license": [embedder.license] * len(rows),
            "speech_seconds": [row.speech_seconds for row in made],
            "risks": [row.risks for row in made],
            "bandwidth_hz": [row.bandwidth_hz for row in made],
            "snr_db": [row.snr_db for row in made],
            "embedding_sha256": [embedder.embedding_identity()] * len(rows),
        }


def arrow_content(table: pa.Table) -> bytes:
    """A table, with its metadata, as the content of an Arrow file."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def shard_file_name(number: int) -> str:
    """Of the shard of this number in its folder."""
    return f"{number:06d}.arrow"


def split_into_shards(utterances: Sequence[Utterance], device: str) -> list[Shard]:
    """Shards of a corpus; their size depends on the device alone, never on the workers."""
    size = SHARD_UTTERANCES.get(device, SHARD_UTTERANCES["cpu"])
    starts = range(0, len(utterances), size)
    return [Shard(number, utterances[start : start + size]) for number, start in enumerate(starts)]


def read_shard(folder: Folder, shard: Shard) -> tuple[pa.Table, list[dict[str, str]]]:
    """The rows of a finished shard, and its failures."""
    content = folder.read(shard.file_name)
    assert content is not None, "the shards were all embedded"
    path = f"{folder.location}/{shard.file_name}"
    try:
        table = parse_shard(content, path)
        failures = parse_json(table.schema.metadata[b"failures"])
    except DAMAGED as error:
        reason = first_line(error)
        raise DataError(
            f"{path}: is damaged ({reason}); delete it and start again, and its recordings are "
            "embedded again"
        ) from None
    return table.replace_schema_metadata(None), failures


def parse_shard(content: bytes, path: str) -> pa.Table:
    """The rows of a shard's file, with its metadata; raises one of `DAMAGED`, or DataError."""
    table = pa.ipc.open_file(content).read_all()
    table.validate(full=True)
    whole = _checked(table, path) if table.num_rows else table
    for column in OPTIONAL_FIELDS:
        if column.name not in whole.column_names:  # an older version wrote it
            whole = whole.append_column(column, pa.nulls(len(table), column.type))
    last = [column.name for column in OPTIONAL_FIELDS]  # in one order, as tables are joined
    return whole.select([name for name in whole.column_names if name not in last] + last)


def _checked(table: pa.Table, path: str) -> pa.Table:
    """The columns of a shard in their types, with its metadata."""
    columns, size = utterance_columns(table, path)
    columns |= {name: table[name] for name in table.column_names if name not in columns}
    schema = pa.schema([item for item in embedded_schema(size) if item.name in columns])
    whole = pa.table([columns[name] for name in schema.names], schema.names).cast(schema)
    return whole.replace_schema_metadata(table.schema.metadata)
