"""Datasets of Hugging Face `datasets`, saved to disk or in its cache: Arrow files with a column
of audio, whose bytes are decoded by timbral. The library itself is not needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from timbral.audio.segments import Segment
from timbral.data.column_aliases import ALIASES, find_columns
from timbral.data.corpora.corpus import Corpus
from timbral.data.further_columns import unfit_type
from timbral.data.locations import listed_path
from timbral.data.manifest import Utterance
from timbral.errors import AudioError, DataError, first_line
from timbral.io.json_parsing import parse_json

__all__ = [
    "BY_NAME", "HUGGING_FACE", "ColumnChoice", "is_saved_dataset", "label_names", "read_splits",
]  # fmt: skip

OWN_CACHE = "cache-"
"""prefix of the library's files with results of scripts on a dataset"""


@dataclass(frozen=True)
class ColumnChoice:
    """The columns to use if names do not show them; empty: recognized by name."""

    audio: str = ""
    speaker: str = ""
    advice: str = "rename_column of `datasets` renames a column"
    """advice for errors if columns are not recognized"""


BY_NAME = ColumnChoice()


@dataclass(frozen=True)
class _Row:
    """A row of a dataset."""

    name: str
    """its id, or the name of its recording; empty if it has none"""
    speaker: str
    session: str
    path: str
    further: Mapping[str, Any]


def is_saved_dataset(root: Path) -> bool:
    """Whether a folder is from `save_to_disk`, or the cache of one dataset."""
    described = any((root / name).is_file() for name in ("dataset_info.json", "dataset_dict.json"))
    return described and bool(_files(root))


def _files(root: Path) -> list[Path]:
    files = sorted(path for path in root.rglob("*.arrow") if not path.name.startswith(OWN_CACHE))
    return [Path(os.path.abspath(path)) for path in files]


def _scan(root: Path) -> Iterator[Utterance | AudioError]:
    absolute = Path(os.path.abspath(root))
    splits: dict[str, list[Path]] = {}
    for path in _files(root):
        splits.setdefault(path.parent.relative_to(absolute).as_posix(), []).append(path)
    yield from read_splits(
        {"" if folder == "." else folder: paths for folder, paths in splits.items()}
    )


def read_splits(
    splits: Mapping[str, Sequence[Path]], choice: ColumnChoice = BY_NAME
) -> Iterator[Utterance | AudioError]:
    """The utterances of the Arrow files of each split; ids begin with a split's name, if any.

    Raises DataError for any other file, and for columns without audio and speakers.
    """
    for name, paths in splits.items():
        split = f"{name}/" if name else ""
        unique = _have_unique_names(row for path in paths for row in _rows(path, choice))
        for number, row in enumerate(row for path in paths for row in _rows(path, choice)):
            if isinstance(row, AudioError):
                yield row
            else:
                name = f"{split}{row.name if unique else f'{number:08d}'}"
                yield Utterance(
                    name, row.speaker, row.session, row.path, "datasets", further=row.further
                )


def _have_unique_names(rows: Iterable[_Row | AudioError]) -> bool:
    seen: set[str] = set()
    for row in rows:
        if isinstance(row, _Row):
            if not row.name or row.name in seen:
                return False
            seen.add(row.name)
    return bool(seen)


def _rows(path: Path, choice: ColumnChoice) -> Iterator[_Row | AudioError]:
    """The rows of a file; DataError for any other file, or one without audio or speakers."""
    try:
        mapped = pa.memory_map(str(path))
        content = mapped.read_buffer(mapped.size())
        table = pa.ipc.open_stream(pa.BufferReader(content))
        columns = _Columns.of(table.schema, path, choice)
        number = 0
        for batch in table:
            yield from columns.rows(batch, content.address, path, number)
            number += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        reason = first_line(error)
        raise DataError(f"{path}: cannot be read as a dataset's Arrow file ({reason})") from None


@dataclass(frozen=True)
class _Columns:
    """The roles of a dataset's columns."""

    audio: str
    found: Mapping[str, str]
    """the dataset's columns by timbral's names"""
    labels: Mapping[str, list[str]]
    """names of the numbers of a column (ClassLabel)"""
    others: Sequence[str] = ()
    """further columns of text and numbers"""
    unfit: Sequence[str] = ()
    """columns of other types, which are not read"""

    @classmethod
    def of(cls, schema: pa.Schema, path: Path, choice: ColumnChoice) -> _Columns:
        features = _features(schema)
        audio = [name for name in schema.names if _kind(features, name) == "Audio"]
        audio = audio or [f.name for f in schema if _holds_bytes(f.type)]
        others = [name for name in schema.names if name not in audio]
        if choice.audio:
            audio = [name for name in audio if name == choice.audio]
        found = find_columns(others)
        if choice.speaker:
            found = {name: column for name, column in found.items() if column != choice.speaker}
            found["speaker"] = choice.speaker
        problem = ""
        if len(audio) != 1:
            problem = f"a column of audio{f' called {choice.audio!r}' * bool(choice.audio)}"
        elif found.get("speaker") not in others:
            asked = choice.speaker or ", ".join(("speaker", *ALIASES["speaker"]))
            problem = f"a column of speakers ({asked})"
        if problem:
            raise DataError(
                f"{path}: a dataset with {problem} is needed; it has {', '.join(schema.names)}; "
                f"{choice.advice}"
            )
        for name in ("speaker", "utterance", "session"):
            column = found.get(name)
            if column and (why := unfit_type(schema.field(column).type)):
                raise DataError(
                    f"{path}: the column {column!r}, which is the {name}, {why}; {choice.advice}"
                )
        labels = {
            name: label_names(schema, name)
            for name in others
            if _kind(features, name) == "ClassLabel"
        }
        further = [name for name in others if name not in found.values()]
        unfit = [name for name in further if unfit_type(schema.field(name).type)]
        kept = [name for name in further if name not in unfit]
        return cls(audio[0], found, labels, kept, unfit)

    def rows(
        self, batch: pa.RecordBatch, base: int, path: Path, first: int
    ) -> Iterator[_Row | AudioError]:
        """The rows of a batch, whose file is in memory from `base` on."""
        audio = batch.column(self.audio)
        content, paths = audio.field("bytes"), audio.field("path").to_pylist()
        texts = {name: self._texts(batch, column) for name, column in self.found.items()}
        further = [self._further(batch, column) for column in self.others]
        spans = _spans(content, base, path)
        present = audio.is_valid().to_pylist()
        for row in range(batch.num_rows):
            where = f"{path}: row {first + row + 1}"
            speaker = texts["speaker"][row]
            if not speaker:
                yield AudioError(where, "names no speaker", "no-speaker")
                continue
            if not present[row] or (spans[row] is None and not paths[row]):
                yield AudioError(where, "has no audio", "empty")
                continue
            name = texts["utterance"][row] if "utterance" in texts else _stem(paths[row])
            session = texts["session"][row] if "session" in texts else ""
            span = spans[row]
            location = (
                listed_path(paths[row], path.parent)
                if span is None
                else str(Segment(str(path), within=span))
            )
            known = {name: values[row] for name, values in zip(self.others, further, strict=True)}
            known |= dict.fromkeys(self.unfit, ())
            yield _Row(name, speaker, session, location, known)

    def _texts(self, batch: pa.RecordBatch, column: str) -> list[str]:
        values = self._further(batch, column)
        return ["" if value is None else str(value) for value in values]

    def _further(self, batch: pa.RecordBatch, column: str) -> list[Any]:
        """The values of a column; for a ClassLabel their names."""
        names = self.labels.get(column, [])
        values: list[Any] = batch.column(column).to_pylist()
        if names:
            values = [names[v] if v is not None and 0 <= v < len(names) else None for v in values]
        return values


def _features(schema: pa.Schema) -> Mapping[str, Any]:
    """The library's metadata of each column."""
    try:
        metadata = parse_json((schema.metadata or {}).get(b"huggingface", b"{}").decode())
        features = metadata["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def label_names(schema: pa.Schema, column: str) -> list[str]:
    """Names of a column's numbers (ClassLabel), from 0; empty if the file has none for it."""
    features = _features(schema)
    if _kind(features, column) != "ClassLabel":
        return []
    return list(map(str, features[column].get("names") or []))


def _kind(features: Mapping[str, Any], column: str) -> str:
    feature = features.get(column)
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _holds_bytes(type: pa.DataType) -> bool:
    return pa.types.is_struct(type) and {f.name for f in type} == {"bytes", "path"}


def _spans(content: pa.Array, base: int, path: Path) -> list[tuple[int, int] | None]:
    """Offset and number of each row's bytes in the file; None if it has none."""
    if content.null_count == len(content):
        return [None] * len(content)
    _, offsets, data = content.buffers()
    number = np.int64 if pa.types.is_large_binary(content.type) else np.int32
    first, last = content.offset, content.offset + len(content)
    starts = np.frombuffer(offsets, number)[first : last + 1].tolist()
    if starts[0] == starts[-1]:  # also those of no audio at all
        return [None] * len(content)
    begin = data.address - base
    if not 0 <= begin <= path.stat().st_size - data.size:
        raise DataError(
            f"{path}: its Arrow file is compressed, so recordings cannot be read in place; save "
            "the dataset with save_to_disk of `datasets`"
        )
    return [
        (begin + start, end - start) if valid else None
        for start, end, valid in zip(
            starts, starts[1:], content.is_valid().to_pylist(), strict=False
        )
    ]


def _stem(path: str | None) -> str:
    return PurePosixPath(path).stem if path else ""


HUGGING_FACE = Corpus(_scan, ("dataset_info.json", "[SPLIT/]*.arrow"))
