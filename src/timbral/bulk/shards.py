"""Shards of a corpus: utterances that are embedded and saved together.

A killed job resumes after its saved shards. A shard in which a recording was repaired or replaced
is made again, from known vectors and new ones.
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
"""errors that reading a damaged Arrow file raises"""
SHARD_UTTERANCES = {"cpu": 64, "cuda": 512}
"""size of a shard, by device; a killed job loses at most one shard per worker"""


@dataclass(frozen=True)
class EmbeddedRow:
    """The result for one recording."""

    vector: Vectors
    """(E,)"""
    seconds: float
    """duration of the embedded audio"""
    speech_seconds: float | None = None
    risks: list[str] | None = None
    """kinds of its risks; None if the recording was not measured"""
    bandwidth_hz: float | None = None
    snr_db: float | None = None


@dataclass(frozen=True)
class Shard:
    """Consecutive utterances of a corpus."""

    number: int
    utterances: Sequence[Utterance]
    known: Mapping[int, EmbeddedRow] = field(default_factory=dict)
    """known results, by row"""
    states: Mapping[int, FileState] = field(default_factory=dict)
    """states of the files of known rows when they were looked up, by row"""
    stamps: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """stamps of the files before they were read, by row"""

    movable: bool = False
    """whether the recordings may be moved: files are then identified by content, not by path"""

    @property
    def file_name(self) -> str:
        return shard_file_name(self.number)

    def fingerprint(self) -> str:
        """A hash of the utterances, and the states of their files, as JSON.

        A file that was written after it was read, as in a folder that is being filled, has no
        state, so the next job embeds the recording again.
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
        """Whether a fingerprint is of the same recordings, and their files are unchanged.

        A file of the same size with another stamp is hashed, because it may have been copied.
        """
        saved = parse_json(fingerprint)
        if saved["utterances"] != self._names_sha256():
            return False
        pairs = zip(self.utterances, saved["files"], strict=True)
        return all(FileState(*file).is_of(row.path) for row, file in pairs)

    def _names_sha256(self) -> str:
        """SHA-256 of the five columns of the utterances."""
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
        """The failures in the saved shard; None if it is missing, outdated or damaged.

        It is damaged, too, if `check` raises one of `DAMAGED` for the file's content.
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
    """An embedded shard: its file, and numbers for the progress."""

    file_name: str
    content: bytes
    num_utterances: int
    num_failures: int
    audio_seconds: float
    """duration of the audio embedded for it, without known rows"""


@dataclass(frozen=True)
class PartialShard:
    """The results of a shard so far, by row in the shard."""

    shard: Shard
    rows: dict[int, EmbeddedRow] = field(default_factory=dict)
    failures: dict[int, AudioError] = field(default_factory=dict)

    @classmethod
    def of(cls, shard: Shard) -> PartialShard:
        """The results of a shard that are known before it is embedded."""
        return cls(shard, dict(shard.known))

    @property
    def is_complete(self) -> bool:
        return len(self.rows) + len(self.failures) == len(self.shard.utterances)

    def result(self, embedder: Embedder) -> ShardResult:
        """The finished shard: an Arrow file with the columns of utterances.parquet, and failures in
        its metadata.
        """
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
        results = [self.rows[row] for row in rows]
        vectors = [result.vector for result in results]
        stacked = np.stack(vectors) if vectors else np.empty(0, np.float32)
        return {
            "utterance": [row.utterance for row in kept],
            "speaker": [row.speaker for row in kept],
            "session": [row.session for row in kept],
            "path": [row.path for row in kept],
            "duration_seconds": [result.seconds for result in results],
            "embedding": pa.FixedSizeListArray.from_arrays(stacked.ravel(), embedder.embedding_dim),
            "encoder": [embedder.name] * len(rows),
            "weights_sha256": [embedder.weights_sha256] * len(rows),
            "license": [embedder.license] * len(rows),
            "speech_seconds": [result.speech_seconds for result in results],
            "risks": [result.risks for result in results],
            "bandwidth_hz": [result.bandwidth_hz for result in results],
            "snr_db": [result.snr_db for result in results],
            "embedding_sha256": [embedder.embedding_identity()] * len(rows),
        }


def arrow_content(table: pa.Table) -> bytes:
    """The content of an Arrow file with a table and its metadata."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def shard_file_name(number: int) -> str:
    """The name of the file of a shard, by its number."""
    return f"{number:06d}.arrow"


def split_into_shards(utterances: Sequence[Utterance], device: str, folder: Folder) -> list[Shard]:
    """Shards of a corpus. Their size is that of the shards in the folder; that of the first ones
    depends on the device, never on the workers.
    """
    size = _saved_size(folder) or SHARD_UTTERANCES.get(device, SHARD_UTTERANCES["cpu"])
    starts = range(0, len(utterances), size)
    return [Shard(number, utterances[start : start + size]) for number, start in enumerate(starts)]


def _saved_size(folder: Folder) -> int | None:
    """Utterances per shard in a folder; None if that is unknown.

    Only sizes of devices count: the last shard may have fewer, and that of a corpus that shrank
    need not have the last name.
    """
    for name in folder.names():
        if not name.endswith(".arrow"):
            continue
        try:
            metadata = pa.ipc.open_file(folder.read(name)).schema.metadata
            size = len(parse_json(metadata[b"recordings"])["files"])
        except DAMAGED:
            continue
        if size in SHARD_UTTERANCES.values():
            return size
    return None


def read_shard(folder: Folder, shard: Shard) -> tuple[pa.Table, list[dict[str, str]]]:
    """The rows and failures of a finished shard; DataError if its file is damaged."""
    content = folder.read(shard.file_name)
    assert content is not None, "all shards were embedded"
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
    checked = _checked(table, path) if table.num_rows else table
    for column in OPTIONAL_FIELDS:
        if column.name not in checked.column_names:  # an older version wrote it
            checked = checked.append_column(column, pa.nulls(len(table), column.type))
    last = [column.name for column in OPTIONAL_FIELDS]  # in one order, to concatenate tables
    return checked.select([name for name in checked.column_names if name not in last] + last)


def _checked(table: pa.Table, path: str) -> pa.Table:
    """The columns of a shard, checked and in their types, with its metadata."""
    columns, size = utterance_columns(table, path)
    columns |= {name: table[name] for name in table.column_names if name not in columns}
    schema = pa.schema([item for item in embedded_schema(size) if item.name in columns])
    typed = pa.table([columns[name] for name in schema.names], schema.names).cast(schema)
    return typed.replace_schema_metadata(table.schema.metadata)
