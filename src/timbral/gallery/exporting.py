"""Write a gallery as a table of vectors like that of `embed`, for audit, map, score and other
tools.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.voice_store import VoiceStore
from timbral.gallery.voices import EnrolledRecording
from timbral.io.files import atomic_write
from timbral.io.outputs import FileKind, claim_file

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["export_gallery"]

COLUMNS = (
    "utterance",
    "speaker",
    "session",
    "path",
    "duration_seconds",
    "embedding",
    "encoder",
    "weights_sha256",
    "license",
    "speech_seconds",
    "risks",
    "bandwidth_hz",
    "snr_db",
    "embedding_sha256",
    "enrolled_at",
)
EXPORT = FileKind("a table of enrolled voices", frozenset(COLUMNS))


def export_gallery(store: VoiceStore, encoder: EncoderIdentity, path: Path) -> int:
    """Write every enrolled recording as a row, in Parquet; returns their number.

    `speaker` is the voice's name, `utterance` that name with the recording's number in the gallery,
    and `path` the source of the recording. Memory does not grow with the gallery. Raises DataError
    if `path` contains something else, ConfigError for another suffix than .parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from timbral.embeddings.precision import with_precision
    from timbral.embeddings.table import check_parquet_name, embedded_schema

    check_parquet_name(path)
    claim_file(path, EXPORT)
    schema = embedded_schema(encoder.embedding_dim).append(pa.field("enrolled_at", pa.string()))
    precisions = list(store.precisions())
    if len(precisions) == 1:
        schema = with_precision(schema.empty_table(), precisions[0]).schema
    count = 0
    with atomic_write(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for rows in store.all_recordings():
            table = _table(rows, encoder, schema)
            writer.write_table(table)
            count += table.num_rows
    return count


def _table(
    rows: list[tuple[str, EnrolledRecording]], encoder: EncoderIdentity, schema: pa.Schema
) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(
        [
            {
                "utterance": f"{name}/{each.id}",
                "speaker": name,
                "session": "",
                "path": each.source,
                "duration_seconds": each.duration_seconds,
                "embedding": each.vector,
                "encoder": encoder.name,
                "weights_sha256": encoder.weights_sha256,
                "license": "",
                "speech_seconds": each.speech_seconds,
                "risks": list(each.risks),
                "bandwidth_hz": each.bandwidth_hz,
                "snr_db": each.snr_db,
                "embedding_sha256": encoder.embedding_sha256,
                "enrolled_at": each.added_at,
            }
            for name, each in rows
        ],
        schema,
    )
