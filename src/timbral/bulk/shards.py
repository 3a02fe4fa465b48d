"""Parts of a corpus: what is embedded, saved and, after a kill, repeated at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from timbral.data.manifest import Utterance, file_size
from timbral.embeddings.table import utterance_schema
from timbral.errors import AudioError
from timbral.inference.embedder import Embedder, Vector
from timbral.io.storage import Folder

__all__ = ["Done", "Part", "cut", "read_part"]

PART_UTTERANCES = {"cpu": 64, "cuda": 512}


@dataclass(frozen=True)
class Part:
    """Some utterances, in the corpus's order."""

    number: int
    utterances: Sequence[Utterance]

    @property
    def name(self) -> str:
        return f"{self.number:06d}.arrow"

    def digest(self) -> str:
        """Names the recordings; another size means that a recording was replaced."""
        rows = [[*asdict(row).values(), file_size(row.path)] for row in self.utterances]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def is_done(self, folder: Folder) -> bool:
        content = folder.read(self.name)
        return content is not None and _metadata(content)[b"recordings"].decode() == self.digest()


@dataclass(frozen=True)
class Done:
    """A part that was embedded: the content of its file, and what progress wants to know."""

    name: str
    content: bytes
    utterances: int
    audio_seconds: float
    failures: int


def cut(utterances: Sequence[Utterance], device: str) -> list[Part]:
    """Parts of a corpus; their size depends on the device alone, never on the workers."""
    size = PART_UTTERANCES.get(device, PART_UTTERANCES["cpu"])
    starts = range(0, len(utterances), size)
    return [Part(number, utterances[start : start + size]) for number, start in enumerate(starts)]


def finish(
    embedder: Embedder,
    part: Part,
    vectors: dict[int, Vector],
    seconds: dict[int, float],
    failures: dict[int, AudioError],
) -> Done:
    """Turn vectors and failures, by their rows in the part, into the part's file."""
    rows = sorted(vectors)
    kept = [part.utterances[row] for row in rows]
    stacked = np.stack([vectors[row] for row in rows]) if rows else np.empty((0,), np.float32)
    columns: dict[str, Any] = {
        **{
            name: [getattr(row, name) for row in kept]
            for name in ("utterance", "speaker", "session", "path")
        },
        "duration_seconds": [seconds[row] for row in rows],
        "embedding": pa.FixedSizeListArray.from_arrays(stacked.ravel(), embedder.embedding_dim),
        "encoder": [embedder.name] * len(rows),
        "weights_sha256": [embedder.weights_sha256] * len(rows),
        "license": [embedder.license] * len(rows),
    }
    failed = [failures[row].as_dict() | asdict(part.utterances[row]) for row in sorted(failures)]
    schema = utterance_schema(embedder.embedding_dim).with_metadata(
        {"recordings": part.digest(), "failures": json.dumps(failed)}
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(pa.table(columns, schema=schema))
    total = sum(seconds[row] for row in rows)
    return Done(part.name, sink.getvalue().to_pybytes(), len(rows), total, len(failed))


def _metadata(content: bytes) -> dict[bytes, bytes]:
    return dict(pa.ipc.open_file(content).schema.metadata)


def read_part(folder: Folder, part: Part) -> tuple[pa.Table, list[dict[str, str]]]:
    """The rows of a finished part, and its failures."""
    content = folder.read(part.name)
    assert content is not None, "the parts were all embedded"
    table = pa.ipc.open_file(content).read_all()
    return table.replace_schema_metadata(None), json.loads(table.schema.metadata[b"failures"])
