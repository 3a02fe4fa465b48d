"""Tables of other tools (CSV, TSV, Parquet, Arrow), with columns of any name.

Vectors are in a column of lists, in a column of text (``[0.1, 0.2]``, ``0.1 0.2``), or in one
column per component (``0`` … ``191``, ``dim_0``, ``x0``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from timbral.data.column_aliases import column_called
from timbral.data.text_columns import read_text_columns
from timbral.embeddings.foreign.found import FoundVector, as_vector
from timbral.errors import ConfigError, DataError, first_line
from timbral.io.near_names import near_name

__all__ = ["ALIASES", "of_table", "read_table"]

ALIASES: dict[str, tuple[str, ...]] = {
    "utterance": (
        *("utterance", "utterance_id", "utt", "utt_id", "uttid", "utterance_name", "segment_id"),
        *("segment", "recording_id", "id", "key", "name", "clip", "sample_id"),
    ),
    "path": (
        *("path", "audio_filepath", "audio_path", "file_path", "filepath", "file", "filename"),
        *("wav", "wav_path", "audio_file", "audio", "location"),
    ),
    "speaker": (
        *("speaker", "speaker_id", "spk", "spk_id", "spkid", "client_id", "speaker_name"),
        *("label", "spk_name"),
    ),
    "session": ("session", "session_id", "recording", "chapter"),
    "embedding": (
        *("embedding", "embeddings", "vector", "emb", "embed", "xvector", "x_vector", "dvector"),
        *("d_vector", "ivector", "speaker_embedding", "spk_emb", "spk_embedding", "features"),
    ),
}
"""names of the columns in other tools, the most likely first"""
ARROW_SUFFIXES = (".feather", ".arrow")
ARROW_MAGIC = b"ARROW1"
NUMBERED = re.compile(r"[A-Za-z_. -]*?(\d+)")
WORDS = re.compile(r"[\s,;\[\]()]+")


def read_table(path: Path, columns: Mapping[str, str]) -> Iterator[FoundVector]:
    """The vectors in a table.

    `columns` are the table's names for `utterance`, `path`, `speaker`, `session` and `embedding`;
    those that are among `ALIASES` need not be given. Raises DataError if the table cannot be read
    or has no vectors, ConfigError for a column that does not exist.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        table = _parquet(path)
    elif suffix in ARROW_SUFFIXES:
        table = _arrow(path)
    else:
        _, names = read_text_columns(path, ())
        table, _ = read_text_columns(path, names)
    yield from of_table(table, path, columns)


def of_table(table: pa.Table, path: Path, columns: Mapping[str, str]) -> Iterator[FoundVector]:
    """Like `read_table`, for a table that was read from `path`."""
    names = table.column_names
    nested = {field.name for field in table.schema if pa.types.is_nested(field.type)}
    found = _named_columns(names, columns, path, nested)
    vectors = _vectors(table, names, found, path)
    texts_of = {name: _texts(table[column], path) for name, column in found.items()
                if name != "embedding"}  # fmt: skip
    if "utterance" not in texts_of and "path" not in texts_of:
        raise DataError(
            f"{path}: no column says which recording or speaker each vector is of; choose one "
            f"with utterance=COLUMN; it has {', '.join(names[:12])}"
        )
    for row, vector in enumerate(vectors):
        values = {name: texts[row] for name, texts in texts_of.items()}
        recording = values.get("path", "")
        name = values.get("utterance") or re.sub(r"\.[^./]+$", "", recording)
        session = {"session": values["session"]} if values.get("session") else {}
        yield FoundVector(name, vector, values.get("speaker", ""), recording, session)


def _parquet(path: Path) -> pa.Table:
    try:
        return pa.parquet.read_table(path)
    except (pa.ArrowException, OSError, ValueError, TypeError, MemoryError) as error:
        reason = first_line(error)
        raise DataError(f"{path}: cannot be read as Parquet ({reason})") from None


def _arrow(path: Path) -> pa.Table:
    """A table in Arrow's format for files (Feather) or for streams (`datasets`)."""
    try:
        with pa.memory_map(str(path)) as file:
            is_file = file.read(len(ARROW_MAGIC)) == ARROW_MAGIC
            file.seek(0)
            table = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(file).read_all()
            table.validate(full=True)
            return table
    except (pa.ArrowException, OSError, ValueError, TypeError, MemoryError) as error:
        reason = first_line(error)
        raise DataError(f"{path}: cannot be read as Arrow ({reason})") from None


def _named_columns(
    names: Sequence[str], given: Mapping[str, str], path: Path, nested: Collection[str]
) -> dict[str, str]:
    """The table's column for each key of `ALIASES` that it has; only embeddings may be nested."""
    for name, column in given.items():
        if name not in ALIASES:
            raise ConfigError(f"columns: {name!r} is unknown; allowed: {', '.join(ALIASES)}")
        if column not in names:
            raise ConfigError(f"columns: {path} has no column {column!r}{near_name(column, names)}")
    found = dict(given)
    for name, aliases in ALIASES.items():
        if name in found:
            continue
        candidates = [
            each
            for each in names
            if each not in found.values() and (name == "embedding" or each not in nested)
        ]
        known = (column_called(each, candidates, path) for each in aliases)
        if (first := next(filter(None, known), None)) is not None:
            found[name] = first
    return found


def _vectors(
    table: pa.Table, names: Sequence[str], found: Mapping[str, str], path: Path
) -> list[np.ndarray[Any, Any]]:
    """The vector of each row."""
    if "embedding" in found:
        column = table[found["embedding"]]
        if pa.types.is_string(column.type):
            return [
                _parsed(text, f"{path}: row {row}")
                for row, text in enumerate(column.to_pylist(), start=1)
            ]
        return [
            as_vector(value if value is not None else [], f"{path}: row {row}")
            for row, value in enumerate(column.to_pylist(), start=1)
        ]
    lists = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    if lists:
        raise DataError(
            f"{path}: it is unclear which column contains the vectors; choose it, as in "
            f"embedding={lists[0]}; columns of lists: {', '.join(lists[:12])}"
        )
    numbered = _numbered_columns([name for name in names if name not in found.values()])
    if sum(map(_is_number, names)) > 1 and not _are_counted(names):
        raise DataError(
            f"{path}: its first line holds numbers, not names of columns; write one before it, as "
            "in utterance,0,1,2"
        )
    if len(numbered) < 2:
        raise DataError(
            f"{path}: has no column of vectors ({', '.join(ALIASES['embedding'][:5])}, …), and no "
            f"column for each of their numbers (0, 1, …); it has {', '.join(names[:12])}"
        )
    try:
        columns = [table[name].cast(pa.float64()).to_numpy() for name in numbered]
    except pa.ArrowException as error:
        reason = first_line(error)
        raise DataError(f"{path}: a column of numbers contains something else ({reason})") from None
    return list(np.stack(columns, axis=1))


def _is_number(name: str) -> bool:
    try:
        return math.isfinite(float(name))
    except ValueError:
        return False


def _are_counted(names: Sequence[str]) -> bool:
    """Whether the names that are numbers are consecutive from 0 or 1, in any order."""
    numbers = sorted(float(name) for name in names if _is_number(name))
    return numbers in [list(range(first, first + len(numbers))) for first in (0, 1)]


def _numbered_columns(names: Sequence[str]) -> list[str]:
    """The largest group of columns whose names differ only in a number, sorted by it."""
    groups: dict[str, dict[int, str]] = {}
    for name in names:
        found = NUMBERED.fullmatch(name)
        if found is not None:
            groups.setdefault(name[: found.start(1)], {})[int(found[1])] = name
    best = max(groups.values(), key=len, default={})
    return [best[number] for number in sorted(best)]


def _parsed(text: str | None, where: str) -> np.ndarray[Any, Any]:
    text = text or ""
    words = [word for word in WORDS.split(text) if word]
    try:
        if [text.count(opening) for opening in "[("] != [text.count(closing) for closing in "])"]:
            raise ValueError("a list that is cut off")
        return as_vector(np.array([float(word) for word in words], np.float32), where)
    except ValueError:
        raise DataError(f"{where}: contains {text!r:.60} instead of a vector") from None


def _texts(column: pa.ChunkedArray, path: Path) -> list[str]:
    try:
        return [text or "" for text in column.cast(pa.string()).to_pylist()]
    except pa.ArrowException:
        raise DataError(f"{path}: a column of names is {column.type}, not text") from None
