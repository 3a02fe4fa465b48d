"""The tables of an `embed` folder: columns, reading and writing.

An `embed` folder in the format parquet contains:

utterances.parquet, one row per utterance in the order of the corpus
    =================  ==========  ========================================================
    utterance          string      id, unique in the corpus
    speaker            string
    session            string      empty if the corpus has none
    path               string      the recording; a segment of it ends in ``#t=START,END``
    duration_seconds   float64     duration of the embedded audio, after trimming
    embedding          float32[E]  unit length
    encoder            string      the encoder's name
    weights_sha256     string      hash of its weights
    license            string      license of its weights
    speech_seconds     float64     net speech in the recording (`Quality`)
    risks              [string]    kinds of its risks (`timbral.audio.quality.risks`)
    bandwidth_hz       float64     bandwidth of the recording (`Quality`)
    snr_db             float64     its SNR (`Quality`); also null without a pause
    embedding_sha256   string      hash of preprocessing and windows
                                   (`Embedder.embedding_identity`)
    =================  ==========  ========================================================
    The last five are null in rows of older versions; the measures are null for embedded mels.
    Metadata of the schema: `precision`, in which vectors were computed; not in older tables.
speakers.parquet, one row per speaker, sorted; replaced by `timbral speakers`
    ====================  ==========  =====================================================
    speaker               string
    group                 string      session or cluster of the speaker; empty: all of it
    num_utterances        int64       number of utterances in the group
    duration_seconds      float64     their total duration
    mean_cosine_distance  float64     from the group's utterances to `embedding`
    embedding             float32[E]  the field's metadata has `unit_length`
    utterance_ids         [string]    the utterances that were averaged
    encoder, weights_sha256, license as above
    ====================  ==========  =====================================================
    Metadata of the schema: `aggregate`, `group_by`, `unit_length` (true or false), `precision`.
failures.jsonl
    the recordings without an embedding, with the reasons
audit.parquet, audit.csv
    the findings of `timbral audit`, see `timbral.embeddings.audit.findings`
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
from timbral.io.files import atomic_write, visible_names
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
"""name of the file with the findings of an audit, which the voice map marks"""


def utterance_schema(embedding_dim: int) -> pa.Schema:
    """The columns of utterances.parquet that are read."""
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
"""further columns of utterances.parquet, which not every table has"""


def embedded_schema(embedding_dim: int) -> pa.Schema:
    """The columns of utterances.parquet as `embed` writes it."""
    return pa.schema([*utterance_schema(embedding_dim), *OPTIONAL_FIELDS])


def speaker_schema(
    embedding: pa.DataType, *, aggregate: str, group_by: str, unit_length: bool
) -> pa.Schema:
    """The columns of speakers.parquet; `embedding` is the type of that column."""
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
    """The column `embedding` as an array (N, E), without copying if it has one chunk."""
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
"""advice for vectors that `embed` wrote in another format"""
IMPORT = "`timbral import-embeddings {} --output FOLDER`"
"""the command that imports another tool's vectors"""


def read_embeddings(folder: str | Path) -> pa.Table:
    """Read the table of utterances in an `embed` folder, or in a file, with the columns of
    `utterance_schema`.

    Only utterance, speaker, path and embedding are required, and other columns are ignored. Raises
    DataError if there is no table, or it has invalid rows.
    """
    path = Path(folder)
    if not path.exists():
        raise DataError(f"{folder}: no such file or folder{beside(path)}")
    if path.is_dir():
        path /= UTTERANCES
    if not path.is_file() and EMBEDDINGS.is_in(Path(folder)):
        if _is_empty(Path(folder)):
            raise DataError(
                f"{folder}: contains no vectors: `embed` was interrupted or could use no "
                "recording; give the same command again"
            )
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


def _is_empty(folder: Path) -> bool:
    """Whether a folder of `embed` contains no vectors yet, in any format."""
    return not set(visible_names(folder)) - {"failures.jsonl"}


def check_parquet_name(path: Path) -> None:
    """Raise ConfigError unless the name of a table of vectors ends in .parquet."""
    if path.suffix.lower() != ".parquet":
        raise ConfigError(
            f"{path}: the table is written as Parquet, so its name must end in .parquet"
        )


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table atomically, as CSV if the path ends in .csv, else as Parquet."""
    with atomic_write(path) as temporary:
        if path.suffix.lower() == ".csv":
            pa.csv.write_csv(table, temporary)
        else:
            write_parquet(table, temporary)


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write Parquet in which vectors take little space.

    Floats hardly repeat, so a dictionary is of no use; but split into bytes, of which the highest
    are similar, they compress well with zstd.
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
