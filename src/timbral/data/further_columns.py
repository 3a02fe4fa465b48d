"""Further columns of lists of utterances, such as gender, age, accent.

One rule for all lists and corpora. A column keeps its name and its values: text, whole numbers or
numbers; true and false become text. Empty text is no value, and neither is a number that is not
finite. If parts differ in a column's type, it becomes text; if a part lacks the column, it is null
there. A column is left out, with a message, if it has a name that timbral's own tables use, if its
values are lists, objects or bytes, or if one of its texts is longer than `LONGEST_TEXT`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from timbral.io.text import is_utf8

__all__ = [
    "LONGEST_TEXT",
    "OWN_NAMES",
    "RESERVED",
    "Value",
    "as_further",
    "concatenated",
    "joined",
    "made_by_timbral",
    "table_of_rows",
    "unfit_columns",
    "unfit_type",
]

Value = str | int | float | None
LONGEST_TEXT = 1000
"""characters; a longer text is no property of a voice, and lists are held in memory"""
MOST_COLUMNS = 64
OWN_NAMES = frozenset((
    "utterance", "speaker", "session", "path", "corpus", "start", "end", "duration",
    "duration_seconds", "sample_rate", "samples", "shard", "frames", "file", "embedding",
    "encoder", "weights_sha256", "license", "speech_seconds", "risks", "embedding_sha256",
    "reason", "kind",
))  # fmt: skip
"""names of the columns that timbral itself writes into tables of utterances"""
MADE_AGAIN = frozenset((
    "duration_seconds", "speech_seconds", "risks", "embedding", "encoder", "weights_sha256",
    "embedding_sha256",
))  # fmt: skip
"""those of them that other tools do not use, and that timbral computes from the recording again"""
RESERVED = "has a name that timbral uses itself; rename it to keep it"
NESTED = "contains lists, objects or bytes"


def as_further(table: pa.Table) -> tuple[pa.Table, dict[str, str]]:
    """The columns of a table to keep, in timbral's types; and why others are left out, by name."""
    kept: dict[str, pa.ChunkedArray] = {}
    left_out = unfit_columns(table.schema)
    for place, name in enumerate(table.column_names):
        if name in left_out:
            continue
        column = _converted(table.column(place))
        if _longest(column) > LONGEST_TEXT:
            left_out[name] = f"contains texts of more than {LONGEST_TEXT:,} characters"
        elif len(kept) == MOST_COLUMNS:
            left_out[name] = f"exceeds the limit of {MOST_COLUMNS} columns"
        else:
            kept[name] = column
    return _table(kept, len(table)), left_out


def unfit_columns(schema: pa.Schema) -> dict[str, str]:
    """Why columns of these names and types are not kept, by name, without checking their values."""
    reasons = {
        field.name: _unfit_name(field.name, schema.names) or unfit_type(field.type)
        for field in schema
    }
    return {name: reason for name, reason in reasons.items() if reason}


def made_by_timbral(left_out: Mapping[str, str]) -> frozenset[str]:
    """The columns left out of a table that need no message, because timbral writes them again."""
    if left_out.get("duration_seconds") != RESERVED:
        return frozenset()
    license = {"license"} if "weights_sha256" in left_out else set()  # that of the vectors
    return frozenset(left_out) & (MADE_AGAIN | license)


def table_of_rows(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A column for each key of the rows; lists and objects become empty lists."""
    names = dict.fromkeys(name for row in rows for name in row)
    return _table({name: _column([row.get(name) for row in rows]) for name in names}, len(rows))


def concatenated(tables: Iterable[pa.Table]) -> pa.Table:
    """Concatenated tables; null where one lacks a column, text where types differ."""
    pieces = list(tables)
    types: dict[str, pa.DataType] = {}
    for piece in pieces:
        for field in piece.schema:
            types[field.name] = _common(types.get(field.name, pa.null()), field.type)
    columns = {}
    for name, kind in types.items():
        chunks = [
            _cast(piece[name], kind) if name in piece.column_names else pa.nulls(len(piece), kind)
            for piece in pieces
        ]
        flat = [c for each in chunks for c in getattr(each, "chunks", [each])]
        columns[name] = pa.chunked_array(flat, kind)
    return _table(columns, sum(map(len, pieces)))


def joined(table: pa.Table, utterances: pa.Table, names: Sequence[str]) -> pa.Table:
    """A table with the columns `names` of another table's rows with the same `utterance`."""
    if not names:
        return table
    known = utterances["utterance"].combine_chunks()
    rows = pc.index_in(table["utterance"].combine_chunks(), value_set=known)
    for name in names:
        table = table.append_column(name, utterances[name].take(rows))
    return table


def _table(columns: Mapping[str, Any], num_rows: int) -> pa.Table:
    """A table that has a number of rows even without columns."""
    if columns:
        return pa.Table.from_arrays(list(columns.values()), list(columns))
    return pa.table([pa.nulls(num_rows)], ["rows"]).select([])


def _unfit_name(name: str, names: Sequence[str]) -> str:
    if not name or "\0" in name or not is_utf8(name):
        return "has no usable name"
    if name in OWN_NAMES:
        return RESERVED
    return "occurs more than once" if names.count(name) > 1 else ""


def unfit_type(kind: pa.DataType) -> str:
    """Why values of a type are not kept; empty if they are."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if _is_text(kind) or pa.types.is_null(kind) or pa.types.is_boolean(kind):
        return ""
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return ""
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return NESTED
    return f"is {kind}, neither text nor numbers"


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _converted(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_integer(kind):
        with suppress(pa.ArrowInvalid):  # more than 63 bits: such a number is text
            return column.cast(pa.int64())
    if pa.types.is_floating(kind):
        numbers = column.cast(pa.float64())
        return pc.if_else(pc.is_finite(numbers), numbers, None)
    text = column.cast(pa.string())
    return pc.if_else(pc.equal(text, ""), None, text)


def _longest(column: pa.ChunkedArray) -> int:
    if not pa.types.is_string(column.type):
        return 0
    return int(pc.max(pc.utf8_length(column)).as_py() or 0)


def _column(values: Sequence[Any]) -> pa.Array:
    """A column of values from JSON or Python."""
    present = [value for value in values if value is not None]
    if any(not isinstance(value, str | bool | int | float) for value in present):
        return pa.array([None if value is None else [] for value in values], pa.list_(pa.null()))
    if not present:
        return pa.nulls(len(values))
    kinds = {type(value) for value in present}
    try:
        if kinds == {int}:
            return pa.array(values, pa.int64())
        if kinds and kinds <= {int, float}:
            return pa.array([_number(value) for value in values], pa.float64())
        return pa.array([_text(value) for value in values], pa.string())
    except (pa.ArrowException, OverflowError):  # an integer of more than 64 bits
        return pa.array([_text(value) for value in values], pa.string())
    except UnicodeEncodeError:  # bytes that are no UTF-8
        texts = [_text(value) for value in values]
        return pa.array([text and text.encode(errors="replace").decode() for text in texts])


def _number(value: int | float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _text(value: Value) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value in (None, "") else str(value)


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if pa.types.is_nested(one) or pa.types.is_nested(other):
        return pa.list_(pa.null())
    numbers = (pa.int64(), pa.float64())
    return pa.float64() if one in numbers and other in numbers else pa.string()


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type != kind and pa.types.is_nested(kind):
        return pa.chunked_array([pa.array([[]] * len(column), kind)])
    return column.cast(kind)
