"""Utterances as rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.audio.byte_source import not_utf8
from timbral.data.further_columns import (
    OWN_NAMES,
    RESERVED,
    Value,
    as_further,
    concatenated,
    table_of_rows,
)
from timbral.errors import AudioError, DataError

__all__ = ["COLUMNS", "Manifest", "Utterance", "first_failure", "sorted_manifest"]

BATCH_ROWS = 8192
REPEATED_TEXT = pa.dictionary(pa.int32(), pa.string())
"""type of columns with few values in many rows: each value is stored once"""
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
    further: Mapping[str, Value] = field(
        default_factory=dict, compare=False, repr=False, kw_only=True
    )
    """what else is known of it, by column, such as gender (`timbral.data.further_columns`)"""

    def names(self) -> dict[str, str]:
        """Its five columns, without the further ones."""
        return {name: getattr(self, name) for name in COLUMNS.names}


class Manifest(Sequence[Utterance]):
    """Utterances, stored as columns with about 150 bytes each, and unusable entries of their list.

    After the five of `COLUMNS`, the table has further columns: `further_names`.
    """

    def __init__(
        self,
        table: pa.Table,
        failures: Sequence[AudioError] = (),
        layout: str = "",
        left_out: Mapping[str, str] | None = None,
    ) -> None:
        own = table.select(COLUMNS.names).cast(COLUMNS).unify_dictionaries()
        further, unfit = as_further(_without(table, frozenset(COLUMNS.names)))
        self.further_names = further.column_names
        """names of the further columns of text and numbers"""
        self.left_out = {**(left_out or {}), **unfit}
        """why other columns were left out, by name"""
        self.table = own
        for name in self.further_names:
            self.table = self.table.append_column(name, further[name])
        self.failures = tuple(failures)
        """lines of a list, or files, without a usable utterance; they are not in the table"""
        self.layout = layout
        """the layout in which a folder was read, or a table's columns with other tools' names;
        empty for tables with timbral's names, and for prepared data"""

    @classmethod
    def of(cls, found: Iterable[Utterance | AudioError], layout: str = "") -> Manifest:
        """From utterances, in their order. Errors become `failures`, and so do unusable names."""
        rows = iter(found)
        batches: list[pa.Table] = []
        failures: list[AudioError] = []
        further: list[pa.Table] = []
        while batch := list(islice(rows, BATCH_ROWS)):
            usable: list[Utterance] = []
            for row in batch:
                if isinstance(row, AudioError):
                    failures.append(row)
                elif error := _name_error(row):
                    failures.append(error)
                else:
                    usable.append(row)
            columns = [[getattr(row, name) for row in usable] for name in COLUMNS.names]
            arrays = [pa.array(column, pa.string()) for column in columns]
            batches.append(pa.table(arrays, COLUMNS.names).cast(COLUMNS))
            further.append(table_of_rows([row.further for row in usable]))
        table = pa.concat_tables(batches) if batches else COLUMNS.empty_table()
        others = concatenated(further)
        left_out = {name: RESERVED for name in others.column_names if name in COLUMNS.names}
        kept = others.drop_columns(list(left_out))
        for name, column in zip(kept.column_names, kept.columns, strict=True):
            table = table.append_column(name, column)
        return cls(table, failures, layout, left_out)

    @classmethod
    def of_own_table(cls, table: pa.Table) -> Manifest:
        """The rows of a table written by timbral, which may have other columns of its own."""
        return cls(_without(table, OWN_NAMES.difference(COLUMNS.names)))

    def with_rows(self, table: pa.Table) -> Manifest:
        """The same failures and layout, with other rows."""
        return Manifest(table, self.failures, self.layout, self.left_out)

    def without_further(self) -> Manifest:
        """The same utterances without further columns, which saves memory."""
        return self.with_rows(self.table.select(COLUMNS.names))

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


def _without(table: pa.Table, names: frozenset[str]) -> pa.Table:
    """The table without columns of these names, which may occur several times."""
    kept = [place for place, name in enumerate(table.column_names) if name not in names]
    return table.select(kept)


def _utterances(rows: pa.Table | pa.RecordBatch) -> list[Utterance]:
    names = zip(*rows.select(COLUMNS.names).to_pydict().values(), strict=True)
    further = rows.schema.names[len(COLUMNS) :]
    if not further:
        return [Utterance(*values) for values in names]
    known = zip(*(rows.column(name).to_pylist() for name in further), strict=True)
    return [
        Utterance(*values, further=dict(zip(further, others, strict=True)))
        for values, others in zip(names, known, strict=True)
    ]


def _name_error(row: Utterance) -> AudioError | None:
    """The error for a name of an utterance that cannot be written; None if all can."""
    text = f"{row.path}{row.utterance}{row.speaker}{row.session}"
    if text.isascii() and "\0" not in text:
        return None
    if "\0" in text:
        reason = "a name contains a NUL character; correct the list"
        return AudioError(row.path.replace("\0", "\\0"), reason, "bad-name")
    try:
        text.encode()
    except UnicodeEncodeError:
        return not_utf8(row.path)
    return None


def first_failure(failures: Sequence[AudioError]) -> str:
    """The first of one or more, and how many there are."""
    several = f"the first of {len(failures):,} failures: " if len(failures) > 1 else ""
    return f"{several}{failures[0]}"


def sorted_manifest(utterances: Iterable[Utterance] | Manifest, where: Path | str) -> Manifest:
    """The utterances, sorted by speaker and id; DataError for none, or for one id of two files."""
    manifest = utterances if isinstance(utterances, Manifest) else Manifest.of(utterances)
    if not len(manifest):
        why = ""
        if failures := manifest.failures:
            why = f" that can be used; {first_failure(failures)}"
        raise DataError(f"{where}: contains no utterances{why}")
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
    return manifest if in_order else manifest.with_rows(rows.take(order))
