"""The tables of an `embed` folder: their columns, and how vectors come out of them.

An `embed` folder in the format parquet holds:

utterances.parquet, one row an utterance in the corpus's order
    =================  ==========  ========================================================
    utterance          string      id, unique in the corpus
    speaker            string
    session            string      empty where the corpus names none
    path               string      the recording; a segment of it ends in ``#t=START,END``
    duration_seconds   float64     of the audio that was embedded, after trimming
    embedding          float32[E]  of unit length
    encoder            string      the encoder's name
    weights_sha256     string      of the weights that made the embedding
    license            string      of these weights
    speech_seconds     float64     net speech in the recording (`Quality`)
    risks              [string]    kinds of its risks (`timbral.audio.quality.risks`)
    bandwidth_hz       float64     likewise of the recording
    snr_db             float64     likewise; null also where it has no pause
    embedding_sha256   string      of preprocessing and windows (`Embedder.embedding_identity`)
    =================  ==========  ========================================================
    The last five are null in an older version's rows, the measures where mels were embedded.
    The schema's metadata: `precision`, in which they were computed; not in older tables.
speakers.parquet, one row a speaker, sorted; replaced by `timbral speakers`
    ====================  ==========  =====================================================
    speaker               string
    group                 string      session or cluster of the speaker; empty for all of it
    num_utterances        int64       in the group
    duration_seconds      float64     their sum
    mean_cosine_distance  float64     of the group's utterances from `embedding`
    embedding             float32[E]  the field's metadata says whether `unit_length`
    utterance_ids         [string]    the utterances that were averaged
    encoder, weights_sha256, license as above
    ====================  ==========  =====================================================
    The schema's metadata: `aggregate`, `group_by`, `unit_length` (true or false), `precision`.
failures.jsonl
    the recordings that gave no embedding, and why
audit.parquet, audit.csv
    what `timbral audit` found, see `timbral.embeddings.audit.findings`
.embed/
    finished shards, from which a killed job is resumed
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from timbral.embeddings.precision import precision_of, with_precision
from timbral.embeddings.utterance_columns import utterance_columns
from timbral.errors import ConfigError, DataError, first_line
from timbral.io.files import atomic_write
from timbral.io.near_names import beside
from timbral.io.outputs import EMBEDDINGS, FileKind
from timbral.io.types import Ints, Vectors

__all__ = [
    "AUDIT_FILE",
    "OPTIONAL_FIELDS",
    "RISK_FIELDS",
    "SPEAKERS",
    "UTTERANCES",
    "check_parquet_name",
    "embedded_schema",
    "group_rows",
    "read_embeddings",
    "speaker_schema",
    "utterance_schema",
    "vectors_of",
    "write_parquet",
    "write_table",
]

UTTERANCES = "utterances.parquet"
AUDIT_FILE = "audit.parquet"
"""in an `embed` folder: the findings of an audit, which the voice map rings"""


def utterance_schema(embedding_dim: int) -> pa.Schema:
    """Columns of utterances.parquet that are read."""
    return pa.schema(
        [
            ("utterance", pa.string()),
            ("speaker", pa.string()),
            ("session", pa.string()),
            ("path", pa.string()),
            ("duration_seconds", pa.float64()),
            ("embedding", pa.list_(pa.float32(), embedding_dim)),
            ("encoder", pa.string()),
            ("weights_sha256", pa.string()),
            ("license", pa.string()),
        ]
    )


RISK_FIELDS = (
    pa.field("speech_seconds", pa.float64()),
    pa.field("risks", pa.list_(pa.string())),
)
LINE_FIELDS = (pa.field("bandwidth_hz", pa.float64()), pa.field("snr_db", pa.float64()))
IDENTITY_FIELD = pa.field("embedding_sha256", pa.string())
OPTIONAL_FIELDS = (*RISK_FIELDS, *LINE_FIELDS, IDENTITY_FIELD)
"""of utterances.parquet, behind the columns that every reader takes"""


def embedded_schema(embedding_dim: int) -> pa.Schema:
    """Columns of utterances.parquet as `embed` writes it."""
    return pa.schema([*utterance_schema(embedding_dim), *OPTIONAL_FIELDS])


def speaker_schema(
    embedding: pa.DataType, *, aggregate: str, group_by: str, unit_length: bool
) -> pa.Schema:
    """Columns of speakers.parquet; `embedding` is that column's type in the utterances' table."""
    length = {"unit_length": "true" if unit_length else "false"}
    schema = pa.schema(
        [
            ("speaker", pa.string()),
            ("group", pa.string()),
            ("num_utterances", pa.int64()),
            ("duration_seconds", pa.float64()),
            ("mean_cosine_distance", pa.float64()),
            pa.field("embedding", embedding, metadata=length),
            ("utterance_ids", pa.list_(pa.string())),
            ("encoder", pa.string()),
            ("weights_sha256", pa.string()),
            ("license", pa.string()),
        ]
    )
    return schema.with_metadata({"aggregate": aggregate, "group_by": group_by, **length})


SPEAKERS = FileKind(
    "a table of speakers",
    frozenset(speaker_schema(pa.null(), aggregate="", group_by="", unit_length=True).names),
)


def vectors_of(table: pa.Table) -> Vectors:
    """The column `embedding` as an array (N, E); not copied where it is one piece."""
    chunks = table["embedding"].chunks
    column = chunks[0] if len(chunks) == 1 else table["embedding"].combine_chunks()
    return np.asarray(column.flatten()).reshape(len(column), -1)


def group_rows(names: Sequence[str]) -> Iterator[tuple[str, Ints]]:
    """Distinct names in sorted order, and the rows (N,) of each."""
    distinct, codes = np.unique(np.asarray(names), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    rows_of_each = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    for name, rows in zip(distinct, rows_of_each, strict=True):
        yield str(name), rows


REUSE = (
    "`timbral embed ENCODER CORPUS --reuse {} --output FOLDER` writes them as Parquet without "
    "embedding again"
)
"""makes a table of vectors that `embed` wrote in another format"""
IMPORT = "`timbral import-embeddings {} --output FOLDER`"
"""makes a folder of another tool's vectors"""


def read_embeddings(folder: str | Path) -> pa.Table:
    """The table of utterances of an `embed` folder, or of such a file, its columns as above.

    Columns that are not needed (all but utterance, speaker, path and embedding) may be missing, and
    others are passed over. Raises DataError without a table, and for rows that cannot be used.
    """
    path = Path(folder)
    if not path.exists():
        raise DataError(f"{folder}: no such file or folder{beside(path)}")
    if path.is_dir():
        path /= UTTERANCES
    if not path.is_file() and EMBEDDINGS.is_in(Path(folder)):
        raise DataError(
            f"{folder}: contains {EMBEDDINGS.content}, but not in Parquet; {REUSE.format(folder)}"
        )
    if not path.is_file():
        raise DataError(
            f"{folder}: contains no utterances.parquet; make it with `timbral embed ENCODER "
            f"CORPUS --output FOLDER`, or from another tool's vectors with {IMPORT.format(folder)}"
        )
    if path.suffix.lower() != ".parquet":
        raise DataError(
            f"{path}: is not a table made by timbral; if it contains another tool's vectors, "
            f"{IMPORT.format(path)} makes a folder to use instead"
        )
    try:
        table = pa.parquet.read_table(path)
        columns, embedding_dim = utterance_columns(table, path)
    except (pa.ArrowException, OSError, ValueError, TypeError, MemoryError) as error:
        reason = first_line(error)
        raise DataError(f"{path}: cannot be read as Parquet ({reason})") from None
    schema = utterance_schema(embedding_dim)
    own = pa.table([columns[name] for name in schema.names], schema)
    return with_precision(own, precision_of(table))


def check_parquet_name(path: Path) -> None:
    """ConfigError for a table of vectors that is called otherwise."""
    if path.suffix.lower() != ".parquet":
        raise ConfigError(
            f"{path}: the table is written as Parquet, so its name must end in .parquet"
        )


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table, whole or not at all: as CSV where the path ends in .csv, else as Parquet."""
    with atomic_write(path) as temporary:
        if path.suffix.lower() == ".csv":
            pa.csv.write_csv(table, temporary)
        else:
            write_parquet(table, temporary)


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write Parquet in which vectors take little room.

    Floats that hardly repeat have no use for a dictionary; split into their bytes, of which the
    highest are much alike, they shrink with zstd.
    """
    texts = [
        field.name
        for field in table.schema
        if pa.types.is_string(field.type) or pa.types.is_dictionary(field.type)
    ]
    # the column of the list's items, as Parquet names it
    vectors = [
        f"{field.name}.list.element"
        for field in table.schema
        if pa.types.is_fixed_size_list(field.type)
    ]
    pa.parquet.write_table(
        table,
        path,
        compression="zstd",
        use_dictionary=texts,
        use_byte_stream_split=vectors,
    )
