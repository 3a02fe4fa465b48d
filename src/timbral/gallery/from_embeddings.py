"""Enroll the speakers of an `embed` folder, such as ten thousand at once, from their vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from timbral.errors import DataError, Refusal
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.voices import EnrolledRecording
from timbral.io.types import Ints, Vectors

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["EmbeddedSpeakers", "EnrolledSpeakers"]


@dataclass(frozen=True)
class EnrolledSpeakers:
    """Which speakers of an `embed` folder were enrolled, and which were not."""

    num_enrolled: int
    """voices that are new, or have new recordings"""
    num_unchanged: int
    """voices whose recordings were all enrolled before"""
    num_recordings: int
    """recordings that were enrolled"""
    refused: Mapping[str, Sequence[Refusal]]
    """the reasons for each voice that was not enrolled"""
    warnings: tuple[str, ...] = ()
    """a remark if the vectors were computed in another precision than the gallery's"""


@dataclass(frozen=True)
class EmbeddedSpeakers:
    """The speakers of an `embed` folder."""

    encoder: EncoderIdentity
    """its preprocessing is unknown if the table was written by an old timbral or another tool"""
    table: pa.Table
    vectors: Vectors

    @classmethod
    def read(cls, embeddings: str | Path) -> EmbeddedSpeakers:
        """Read a folder, or a table like its utterances.parquet.

        Raises DataError if it cannot be read, or does not say which weights made it.
        """
        import pyarrow.parquet as pq

        from timbral.embeddings.table import (
            OPTIONAL_FIELDS,
            UTTERANCES,
            read_embeddings,
            vectors_of,
        )

        table = read_embeddings(embeddings)
        weights = table["weights_sha256"].unique().to_pylist()
        if len(weights) != 1 or not weights[0]:
            raise DataError(
                f"{embeddings}: weights_sha256 should be the same for all its vectors, which must "
                f"be of one encoder; it has {len(weights)} different values"
            )
        vectors = vectors_of(table)
        file = Path(embeddings) / UTTERANCES if Path(embeddings).is_dir() else Path(embeddings)
        existing = set(pq.read_schema(file).names)
        names = [field.name for field in OPTIONAL_FIELDS if field.name in existing]
        for name in names:
            table = table.append_column(name, pq.read_table(file, columns=[name])[name])
        encoder = str(table["encoder"][0])
        identity = EncoderIdentity(encoder, weights[0], _embedding_hash(table), vectors.shape[1])
        return cls(identity, table, vectors)

    def __len__(self) -> int:
        return len(self.table["speaker"].unique())

    @property
    def precision(self) -> str:
        """The precision in which the vectors were computed; empty if unknown."""
        from timbral.embeddings.precision import precision_of

        return precision_of(self.table)

    def __iter__(self) -> Iterator[tuple[str, list[EnrolledRecording]]]:
        """Each speaker with their recordings."""
        from timbral.embeddings.table import group_rows

        for speaker, rows in group_rows(self.table["speaker"].to_pylist()):
            yield speaker, self.recordings(rows)

    def recordings(self, rows: Ints) -> list[EnrolledRecording]:
        """The recordings in some rows (N,) of the table."""
        precision = self.precision
        columns = ["path", "duration_seconds", "speech_seconds", "bandwidth_hz", "snr_db", "risks"]
        columns = [name for name in columns if name in self.table.column_names]
        values = self.table.select(columns).take(rows).to_pylist()
        return [
            EnrolledRecording(
                self.vectors[row],
                each["path"],
                duration_seconds=each["duration_seconds"],
                speech_seconds=each.get("speech_seconds"),
                bandwidth_hz=each.get("bandwidth_hz"),
                snr_db=each.get("snr_db"),
                risks=tuple(each.get("risks") or ()),
                precision=precision,
            )
            for row, each in zip(rows, values, strict=True)
        ]


def _embedding_hash(table: pa.Table) -> str:
    """The hash of preprocessing and windows of all rows; empty if unknown."""
    if "embedding_sha256" not in table.column_names:
        return ""
    found = table["embedding_sha256"].unique().to_pylist()
    return str(found[0] or "") if len(found) == 1 else ""
