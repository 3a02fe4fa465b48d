"""Named tensors: the vector of each utterance and each speaker, by id."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import safetensors.numpy

from timbral.embeddings.aggregate import speaker_table
from timbral.embeddings.formats.vector_format import VectorFormat
from timbral.embeddings.table import vectors_of
from timbral.errors import DataError
from timbral.io.files import atomic_write, usual_mode

__all__ = ["SAFETENSORS"]

VECTORS_PER_FILE = 100_000
"""limit, because each has an entry in its file's header, which must stay small"""
METADATA_KEY = "timbral"
"""a single key, with JSON, because safetensors writes several keys in a random order"""
RESERVED = "__metadata__"
"""a name that the format reserves"""


def _write(table: pa.Table, root: str | Path, output: Path, model_name: str) -> None:
    """utterances.safetensors and speakers.safetensors: a tensor (E,) under each id.

    More than 100,000 utterances are split into ``utterances-00001-of-00003.safetensors`` etc.
    """
    made_with = {name: str(table[name][0]) for name in ("encoder", "weights_sha256", "license")}
    metadata = {METADATA_KEY: json.dumps(made_with, sort_keys=True)}
    speakers = speaker_table(table)
    for name, content, column in (
        ("utterances", table, "utterance"),
        ("speakers", speakers, "speaker"),
    ):
        ids, vectors = content[column].to_pylist(), vectors_of(content)
        starts = range(0, len(ids), VECTORS_PER_FILE)
        for number, start in enumerate(starts, start=1):
            suffix = f"-{number:05d}-of-{len(starts):05d}" if len(starts) > 1 else ""
            rows = slice(start, start + VECTORS_PER_FILE)
            tensors = dict(zip(ids[rows], vectors[rows], strict=True))
            path = output / f"{name}{suffix}.safetensors"
            with atomic_write(path) as temporary, usual_mode(temporary):
                safetensors.numpy.save_file(tensors, temporary, metadata)


def _check(table: pa.Table, root: str | Path, model_name: str) -> list[Path]:
    for column in ("utterance", "speaker"):
        if RESERVED in table[column].to_pylist():
            raise DataError(
                f"{column} {RESERVED!r}: safetensors reserves this name; rename it, or use the "
                "format parquet"
            )
    return []


SAFETENSORS = VectorFormat(_write, _check)
