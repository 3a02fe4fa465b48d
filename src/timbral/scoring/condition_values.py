"""Properties of recordings to report figures by: durations, genders, channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.data.name_pairs import read_pairs
from timbral.data.text_columns import TABLE_SUFFIXES, read_text_columns
from timbral.embeddings.named_vectors import NamedVectors
from timbral.errors import ConfigError, DataError
from timbral.io.types import Floats, Ints
from timbral.scoring.enrollment import NamedRecordings
from timbral.scoring.trial_speakers import look_up

__all__ = ["DURATION", "ByColumns", "Source", "column_sources", "seconds_of", "values_of"]

DURATION = "duration"
Source = str | Path | Mapping[str, str] | None
"""values by utterance, path or speaker: a table that has the column (.parquet, .csv, .tsv, .jsonl),
a file of lines ``name value``, a mapping; None: the vectors' own column"""
ByColumns = Mapping[str, Source] | Sequence[str]
"""columns with their sources, or words ``COLUMN`` and ``COLUMN=FILE``"""
KEYS = ("utterance", "path")
"""columns of a table that name a recording; without them its values are by speaker"""


def column_sources(by: ByColumns) -> dict[str, Source]:
    """Columns with their sources; ConfigError for a word without a column or a file."""
    if isinstance(by, Mapping):
        return dict(by)
    sources: dict[str, Source] = {}
    for word in by:
        column, separator, file = word.partition("=")
        if not column or (separator and not file):
            raise ConfigError(
                f"by takes COLUMN or COLUMN=FILE, such as gender=spk2gender; got {word!r}"
            )
        sources[column] = file or None
    return sources


def values_of(
    column: str,
    source: Source,
    recordings: NamedRecordings,
    table: NamedVectors,
    rows: Ints,
    speakers: pa.Array | None,
) -> pa.Array:
    """A column's value for each name (K,), strings; null if unknown.

    Args:
        column: such as ``gender``
        source: where its values are
        recordings: the R recordings of the names; a model whose recordings differ has no value
        table: the vectors
        rows: (R,) row of each recording's vector; -1: none
        speakers: (R,) speaker of each recording, or null; None: unknown

    Raises DataError when no recording has a value.
    """
    each = _each_value(column, source, recordings, table, rows, speakers)
    first = each.take(pa.array(recordings.starts[:-1]))
    if not recordings.are_single:
        expected = first.take(pa.array(recordings.name_of_each))
        agrees = np.asarray(pc.fill_null(pc.equal(each, expected), False))
        all_agree = np.logical_and.reduceat(agrees, recordings.starts[:-1])
        first = pc.if_else(pa.array(all_agree), first, None)
    return first


def seconds_of(
    source: Source,
    recordings: NamedRecordings,
    table: NamedVectors,
    rows: Ints,
    speakers: pa.Array | None,
) -> Floats:
    """Seconds of each name (K,), summed over a model's recordings; NaN if unknown.

    Arguments and errors as for `values_of`; also DataError for a value that is not a number.
    """
    each = _each_value(DURATION, source, recordings, table, rows, speakers)
    try:
        seconds = np.asarray(each.cast(pa.float64()).fill_null(np.nan), dtype=np.float64)
    except pa.ArrowException as error:
        raise DataError(f"{DURATION}: a value is not a number of seconds ({error})") from None
    return np.asarray(np.add.reduceat(seconds, recordings.starts[:-1]))


def _each_value(
    column: str,
    source: Source,
    recordings: NamedRecordings,
    table: NamedVectors,
    rows: Ints,
    speakers: pa.Array | None,
) -> pa.Array:
    """The value of each recording (R,); arguments and errors as for `values_of`."""
    if source is None:
        if column not in table.columns:
            has = ", ".join(table.columns) or "none"
            raise DataError(
                f"{column}: the vectors have no such column (they have {has}); give a file with "
                f"its values, {column}=FILE"
            )
        return table.columns[column].take(pa.array(rows, mask=rows < 0))
    known = source if isinstance(source, Mapping) else _read_values(column, Path(source))
    keys = [recordings.recordings, recordings.names.take(pa.array(recordings.name_of_each))]
    if table.names is not None:
        keys.append(table.names.take(pa.array(rows, mask=rows < 0)))
    if speakers is not None:
        keys.append(speakers)
    values = pc.coalesce(*(look_up(each, known) for each in keys))
    if values.null_count == len(values):
        where = "the mapping" if isinstance(source, Mapping) else source
        raise DataError(
            f"{column}: no recording of the list has a value; the list has "
            f"{recordings.recordings[0]}, {where} {next(iter(known), 'nothing')}"
        )
    return values


def _read_values(column: str, path: Path) -> dict[str, str]:
    if path.suffix.lower() not in TABLE_SUFFIXES:
        return read_pairs(path, "a list of values", single_words=True)
    table, names = read_text_columns(path, [column, *KEYS, "speaker"])
    if column not in table.column_names:
        raise DataError(f"{path}: has no column {column!r}; it has: {', '.join(names)}")
    keys = [key for key in KEYS if key in names] or [key for key in ("speaker",) if key in names]
    if not keys:
        raise DataError(
            f"{path}: has no column utterance, path or speaker; it has: {', '.join(names)}"
        )
    values = table[column].to_pylist()
    return {
        name: value
        for key in keys
        for name, value in zip(table[key].to_pylist(), values, strict=True)
        if name and value
    }
