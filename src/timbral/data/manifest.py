"""Utterances as rows of a table, and lists of speakers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from timbral.audio.segments import Segment
from timbral.errors import DataError, did_you_mean
from timbral.io.storage import location_of

__all__ = [
    "COLUMNS",
    "TABLE_SUFFIXES",
    "Manifest",
    "Utterance",
    "check_unique",
    "file_size",
    "read_manifest",
    "read_speakers",
    "select_speakers",
]

BATCH_ROWS = 8192
REPEATED_TEXT = pa.dictionary(pa.int32(), pa.string())
"""few values in many rows: each value is kept once"""
COLUMNS = pa.schema(
    [
        ("utterance", pa.string()),
        ("speaker", REPEATED_TEXT),
        ("session", REPEATED_TEXT),
        ("path", pa.string()),
        ("corpus", REPEATED_TEXT),
    ]
)


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording of one speaker, not yet read."""

    utterance: str
    """unique within its corpus"""
    speaker: str
    session: str
    """recordings of one session share room and microphone; empty when unknown"""
    path: str
    """absolute, or a URL; ``#t=START,END`` at its end names a segment of a file (`Segment`)"""
    corpus: str


class Manifest(Sequence[Utterance]):
    """Utterances, kept as columns: about 150 bytes each."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table.select(COLUMNS.names).cast(COLUMNS).unify_dictionaries()

    @classmethod
    def of(cls, utterances: Iterable[Utterance]) -> Manifest:
        """Take any utterances, in their order."""
        rows = iter(utterances)
        batches = []
        while batch := list(islice(rows, BATCH_ROWS)):
            columns = [[getattr(row, name) for row in batch] for name in COLUMNS.names]
            try:
                arrays = [pa.array(column, pa.string()) for column in columns]
            except UnicodeEncodeError as error:
                raise DataError(
                    f"{error.object!r}: the name is not UTF-8; rename the file"
                ) from None
            batches.append(pa.table(arrays, COLUMNS.names).cast(COLUMNS))
        return cls(pa.concat_tables(batches) if batches else COLUMNS.empty_table())

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @overload
    def __getitem__(self, index: int) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> list[Utterance]: ...
    def __getitem__(self, index: int | slice) -> Utterance | list[Utterance]:
        if isinstance(index, int):
            row = index if index >= 0 else index + len(self)
            if not 0 <= row < len(self):
                raise IndexError(index)
            return self[row : row + 1][0]
        start, stop, step = index.indices(len(self))
        if step != 1:
            return [self[row] for row in range(start, stop, step)]
        return _utterances(self.table.slice(start, max(0, stop - start)))

    def __iter__(self) -> Iterator[Utterance]:
        for batch in self.table.to_batches(max_chunksize=BATCH_ROWS):
            yield from _utterances(batch)


def _utterances(rows: pa.Table | pa.RecordBatch) -> list[Utterance]:
    return [Utterance(*values) for values in zip(*rows.to_pydict().values(), strict=True)]


def file_size(path: str) -> int:
    """Bytes of the whole file of a recording; -1 where it is missing or not on a disk."""
    try:
        return Path(Segment.of(path).file).stat().st_size
    except OSError:
        return -1


def check_unique(utterances: Iterable[Utterance] | Manifest, where: Path | str) -> Manifest:
    """Sort by speaker and utterance; DataError when there are none or two share an id."""
    manifest = utterances if isinstance(utterances, Manifest) else Manifest.of(utterances)
    if not len(manifest):
        raise DataError(f"{where}: holds no utterances")
    rows = manifest.table
    counts = pc.value_counts(rows["utterance"])
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(repeated):
        name = repeated[0].as_py()
        paths = rows.filter(pc.equal(rows["utterance"], name))["path"].to_pylist()
        raise DataError(
            f"{where}: {len(repeated)} utterance ids stand for more than one file, such as "
            f"{name!r}: {', '.join(sorted(paths)[:3])}; rename or remove the copies"
        )
    keys = pa.table([rows["speaker"].cast(pa.string()), rows["utterance"]], ["speaker", "name"])
    order = pc.sort_indices(keys, sort_keys=[("speaker", "ascending"), ("name", "ascending")])
    in_order = pc.all(pc.equal(order, np.arange(len(order), dtype=np.uint64))).as_py()
    return manifest if in_order else Manifest(rows.take(order))


READERS = {
    ".parquet": lambda path: pa.parquet.read_table(path),
    ".csv": lambda path: pa.csv.read_csv(path),
    ".tsv": lambda path: pa.csv.read_csv(path, parse_options=pa.csv.ParseOptions(delimiter="\t")),
    ".jsonl": lambda path: pa.json.read_json(path),
}
"""how a table of utterances is read, by suffix"""
TABLE_SUFFIXES = tuple(READERS)


def read_manifest(path: str | Path, root: str | Path | None = None) -> Manifest:
    """A table of utterances from Parquet, CSV, TSV or JSONL.

    The columns `path` and `speaker` are needed, `utterance` (else the path without its suffix),
    `session` and `corpus` are taken when they are there, and so are `start` and `end`, the
    seconds of a segment of the file; others are ignored. Paths may be URLs; relative ones are
    below `root`, which is the table's folder unless another folder or URL is named. Raises
    DataError when the table cannot be used.
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        known = ", ".join(READERS)
        raise DataError(f"{path}: a corpus is a folder or a table; a table ends in {known}")
    try:
        table = READERS[path.suffix.lower()](path)
    except (OSError, pa.ArrowInvalid) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read as a table of utterances ({reason})") from None
    return check_unique(Manifest(_complete(table, path, root or path.resolve().parent)), path)


def _complete(table: pa.Table, where: Path, root: str | Path) -> pa.Table:
    """The five columns as text, absent ones filled in."""
    columns: dict[str, Any] = {}
    for name in ("path", "speaker"):
        if name not in table.column_names:
            raise DataError(
                f"{where}: has no column {name!r}; path and speaker are needed, and utterance, "
                f"session, corpus are taken too; it has: {', '.join(table.column_names)}"
            )
        columns[name] = _text(table, name, where)
        empty = pc.equal(pc.utf8_length(pc.fill_null(columns[name], "")), 0)
        if pc.any(empty).as_py():
            row = pc.index(empty, True).as_py() + 1
            raise DataError(f"{where}: row {row} has no {name}; every row needs one")
    segments = _segments(table, columns["path"], where)
    if segments:
        columns["path"] = pa.chunked_array([[str(segment) for segment in segments]])
        names = pa.chunked_array([[_utterance_id(segment) for segment in segments]])
    else:
        names = pc.replace_substring_regex(columns["path"], r"\.[^./]+$", "")
    for name, value in {"utterance": names, "session": "", "corpus": "manifest"}.items():
        if name in table.column_names:
            columns[name] = pc.fill_null(_text(table, name, where), "")
        elif isinstance(value, str):
            columns[name] = pa.chunked_array([pa.repeat(value, table.num_rows)])
        else:
            columns[name] = value
    below = pc.binary_join_element_wise(f"{location_of(root)}/", columns["path"], "")
    absolute = pc.match_substring_regex(columns["path"], "^(/|[A-Za-z0-9.+-]+://)")
    columns["path"] = pc.if_else(absolute, columns["path"], below)
    return pa.table(columns)


def _segments(table: pa.Table, paths: pa.ChunkedArray, where: Path) -> list[Segment]:
    """The segments that the rows are; empty when all are whole files."""
    times = {"start", "end"}.intersection(table.column_names)
    if not times and not pc.any(pc.match_substring(paths, "#t=")).as_py():
        return []
    starts, ends = (_seconds(table, name, where) for name in ("start", "end"))
    segments = []
    rows = zip(paths.to_pylist(), starts, ends, strict=True)
    for number, (path, start, end) in enumerate(rows, start=1):
        segment = Segment.of(path)
        if start is not None:
            segment = replace(segment, start=start)
        if end is not None:
            segment = replace(segment, end=end)
        if not 0 <= segment.start < segment.end:
            raise DataError(
                f"{where}: row {number}: a segment needs a start of 0 s or more and a later end, "
                f"got {segment.start:g} and {segment.end:g}"
            )
        segments.append(segment)
    return segments


def _seconds(table: pa.Table, name: str, where: Path) -> list[float | None]:
    if name not in table.column_names:
        return [None] * table.num_rows
    try:
        return list(table[name].cast(pa.float64()).to_pylist())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        type_name = table.schema.field(name).type
        raise DataError(f"{where}: column {name!r} should be seconds, got {type_name}") from None


def _utterance_id(segment: Segment) -> str:
    """The path without its suffix, and the times: ``calls/a-1.5-3``."""
    stem = re.sub(r"\.[^./]+$", "", segment.file)
    return str(replace(segment, file=stem)).replace("#t=", "-").replace(",", "-")


def _text(table: pa.Table, name: str, where: Path) -> pa.ChunkedArray:
    try:
        return table[name].cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        type_name = table.schema.field(name).type
        raise DataError(f"{where}: column {name!r} should be text, got {type_name}") from None


def read_speakers(path: Path) -> list[str]:
    """Speaker ids, one a line; blank lines are ignored. DataError when none can be read."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of speakers ({error})") from None
    speakers = [line.strip() for line in lines if line.strip()]
    if not speakers:
        raise DataError(f"{path}: names no speaker; one speaker id a line is needed")
    return speakers


def select_speakers(listed: Sequence[str], known: Iterable[str], where: Path | str) -> set[str]:
    """The listed speakers; DataError when one of them is not among `known`."""
    known = set(known)
    missing = [speaker for speaker in listed if speaker not in known]
    if missing:
        hint = did_you_mean(missing[0], known) if len(known) <= 20 else ""
        raise DataError(
            f"{where}: {len(missing)} of {len(listed)} listed speakers are not in the data, "
            f"such as {missing[0]!r}{hint or f'; the data has {sorted(known)[:3]} and others'}"
        )
    return set(listed)
