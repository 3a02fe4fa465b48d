"""The utterances of a folder of vectors, for lists of trials that name them by their ids."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from timbral.data.corpora.corpus_files import audio_files
from timbral.data.manifest import COLUMNS, Manifest, sorted_manifest
from timbral.embeddings.table import UTTERANCES, read_embeddings
from timbral.errors import DataError
from timbral.io.outputs import EMBEDDINGS, IMPORTED

__all__ = ["holds_vectors", "utterances_of_vectors"]


def holds_vectors(source: str | Path) -> bool:
    """Whether a source is a folder from `embed` or `import-embeddings`, without audio."""
    path = Path(source)
    if not any(kind.is_in(path) for kind in (EMBEDDINGS, IMPORTED)):
        return False
    return not any(audio_files(path))


def utterances_of_vectors(folder: str | Path) -> Manifest:
    """The utterances of a folder of vectors, with the further columns of its table.

    Raises DataError when the table cannot be read, for an id that occurs twice, and for vectors
    without a speaker, which would all count as one speaker and give wrong trials.
    """
    table = read_embeddings(folder)
    speakers = table["speaker"]
    unnamed = table.filter(pc.equal(speakers, ""))["utterance"]
    if len(unnamed):
        raise DataError(
            f"{folder}: {len(unnamed):,} of {len(table):,} vectors have no speaker, the first "
            f"{unnamed[0].as_py()!r}; give speakers with `import-embeddings --speakers FILE` "
            "(lines `utterance speaker`), or with the corpus that is embedded"
        )
    with_corpus = table.append_column("corpus", pa.array([""] * len(table), pa.string()))
    utterances = with_corpus.select(COLUMNS.names)
    parquet_file = pa.parquet.ParquetFile(Path(folder) / UTTERANCES)
    others = [
        field.name
        for field in parquet_file.schema_arrow
        if field.name not in (*with_corpus.column_names, "norm")
        and not pa.types.is_nested(field.type)
    ]
    columns = parquet_file.read(others)
    for name in others:
        utterances = utterances.append_column(name, columns[name])
    return sorted_manifest(Manifest.of_own_table(utterances), folder)
