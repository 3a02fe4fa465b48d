"""Vectors by name, from the files of timbral and of other tools."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.embeddings.foreign.registry import read_foreign_vectors
from timbral.embeddings.name_matching import match_loosely, without_suffix
from timbral.embeddings.precision import precision_of
from timbral.embeddings.table import UTTERANCES, read_embeddings, vectors_of
from timbral.embeddings.utterance_columns import COLUMNS
from timbral.embeddings.vectors import has_directions
from timbral.errors import DataError
from timbral.io.types import Ints, Vectors

__all__ = ["READERS", "NamedVectors", "read_vectors"]

FORMS = (
    "a folder or table written by `embed` (.parquet), .npz and .safetensors with one vector per "
    "name, .scp and .ark of Kaldi"
)


@dataclass(frozen=True)
class NamedVectors:
    """N vectors with names."""

    names: pa.Array
    """(N,) strings"""
    vectors: Vectors
    """(N, E)"""
    paths: pa.Array | None = None
    """(N,); None if the file has none"""
    speakers: pa.Array | None = None
    """(N,); None if the file has none, or all are empty"""
    encoder: str = ""
    """empty if unknown"""
    weights_sha256: str = ""
    """empty if unknown"""
    precision: str = ""
    """precision in which they were computed; empty if unknown"""
    columns: Mapping[str, pa.Array] = field(default_factory=dict)
    """further columns of a table as strings (N,), null if empty; durations in seconds are
    `duration`"""

    def rows_of(self, names: pa.Array, root: str | Path = "") -> Ints:
        """The row of each of `names` (K,), ids or paths relative to `root`; -1 if it has none.

        Names without an exact match are matched without their suffixes, and without folders if one
        of both has none (`match_loosely`).
        """
        searches: list[Callable[[pa.Array], Ints]] = [
            lambda wanted: _index(wanted, self.names),
            lambda wanted: _index(without_suffix(wanted), self.names),
        ]
        if (paths := self.paths) is not None:
            searches += [
                lambda wanted: _index(wanted, paths),
                lambda wanted: _index(_full_paths(root, wanted), paths),
                lambda wanted: match_loosely(_full_paths(root, wanted), paths),
            ]
        searches.append(lambda wanted: match_loosely(wanted, self.names))
        if paths is not None:
            searches.append(lambda wanted: match_loosely(wanted, paths))
        rows = np.full(len(names), -1, dtype=np.int64)
        for search in searches:
            unmatched = np.flatnonzero(rows < 0)
            if unmatched.size:
                rows[unmatched] = search(names.take(pa.array(unmatched)))
        return rows


def _index(names: pa.Array, known: pa.Array) -> Ints:
    """The row of each name in `known`; -1 if it is not there."""
    return np.asarray(pc.fill_null(pc.index_in(names, value_set=known), -1), dtype=np.int64)


def _full_paths(root: str | Path, names: pa.Array) -> pa.Array:
    full = [os.path.abspath(os.path.join(root, name)) for name in names.to_pylist()]  # noqa: PTH118
    return pa.array(full, pa.string())


def read_vectors(source: str | Path) -> NamedVectors:
    """Read named vectors.

    Args:
        source: a folder or table from `embed` (.parquet); .npz or .safetensors with named vectors
            (E,) or (1, E); .scp or .ark of Kaldi, as the recipes of WeSpeaker, ESPnet and
            SpeechBrain write them

    Raises DataError, with the first name at fault, if the source cannot be read, names are
    repeated, or vectors differ in size or are not finite.
    """
    path = Path(source)
    reader = READERS.get(path.suffix.lower(), _read_parquet)
    if not path.exists():
        raise DataError(f"{source}: no such file or folder; vectors are read from {FORMS}")
    found = reader(path)
    if not len(found.names):
        raise DataError(f"{source}: contains no vectors")
    bad = np.flatnonzero(~np.isfinite(found.vectors).all(axis=1))
    if bad.size:
        name = found.names[int(bad[0])]
        raise DataError(
            f"{source}: {bad.size} of {len(found.names)} vectors are not finite, the first that of "
            f"{name}; remove them"
        )
    if not found.vectors.any(axis=1).all():
        zero = found.names[int(np.argmin(found.vectors.any(axis=1)))]
        raise DataError(
            f"{source}: the vector of {zero} is zero, so it is not from a voice; remove it"
        )
    if (bad := np.flatnonzero(~has_directions(found.vectors))).size:
        raise DataError(
            f"{source}: {bad.size} of {len(found.names)} vectors are too long or too short for "
            f"float32, the first that of {found.names[int(bad[0])]}; divide them by a number"
        )
    if pc.count_distinct(found.names).as_py() < len(found.names):
        counts = pc.value_counts(found.names)
        twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
        raise DataError(
            f"{source}: {len(twice)} names have several vectors, such as {twice[0]}; keep one each"
        )
    return found


def _read_parquet(path: Path) -> NamedVectors:
    table = read_embeddings(path)
    first = {
        column: str(table[column][0]) if column in table.column_names and len(table) else ""
        for column in ("encoder", "weights_sha256")
    }
    speakers = _strings(table["speaker"])
    return NamedVectors(
        _strings(table["utterance"]),
        vectors_of(table),
        _strings(table["path"]),
        speakers if pc.any(pc.not_equal(speakers, "")).as_py() else None,
        columns=_other_columns(table, path),
        precision=precision_of(table),
        **first,
    )


def _other_columns(table: pa.Table, path: Path) -> dict[str, pa.Array]:
    """Session and duration, if known, and the columns that are not timbral's own."""
    file = path / UTTERANCES if path.is_dir() else path
    others = [
        field.name
        for field in pa.parquet.read_schema(file)
        if field.name not in (*COLUMNS, "embedding") and not pa.types.is_nested(field.type)
    ]
    columns = {"session": table["session"], "duration": table["duration_seconds"]}
    if others:
        read = pa.parquet.read_table(file, columns=others)
        columns |= {name: read[name] for name in others}
    texts = {}
    for name, column in columns.items():
        try:
            text = _strings(column)
        except pa.ArrowException:  # binary, or another type without text
            continue
        is_known = pc.and_kleene(
            pc.not_equal(text, ""), name != "duration" or pc.not_equal(text, "0")
        )
        texts[name] = pc.if_else(is_known, text, None)
    return {name: text for name, text in texts.items() if text.null_count < len(text)}


def _strings(column: pa.ChunkedArray) -> pa.Array:
    combined = column.cast(pa.string()).combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined


def _of_foreign(path: Path) -> NamedVectors:
    """The vectors of another tool's file, as `import_embeddings` reads them."""
    rows: dict[str, Any] = {}
    for found in read_foreign_vectors(path, {}):
        if found.name in rows:
            raise DataError(f"{path}: {found.name} occurs a second time")
        if found.vector.dtype.kind != "f":
            raise DataError(
                f"{path}: {found.name} is {found.vector.dtype} of shape {found.vector.shape}, not "
                "a vector of floats"
            )
        rows[found.name] = found.vector
    return NamedVectors(pa.array(rows, pa.string()), _stacked(rows, path))


def _stacked(rows: Mapping[str, Any], path: Path) -> Vectors:
    sizes = {len(vector): name for name, vector in rows.items()}
    if len(sizes) > 1:
        shown = ", ".join(f"{size} ({name})" for size, name in sorted(sizes.items())[:3])
        raise DataError(
            f"{path}: the vectors have different sizes: {shown}; give those of one encoder"
        )
    return (
        np.stack(list(rows.values())).astype(np.float32) if rows else np.empty((0, 0), np.float32)
    )


READERS: dict[str, Callable[[Path], NamedVectors]] = dict.fromkeys(
    (".npz", ".safetensors", ".scp", ".ark"), _of_foreign
)
"""by the file's suffix; anything else is a folder or a table from `embed`"""
