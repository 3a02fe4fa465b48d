"""Read the columns of a table as text, exactly as written in the file.

Nothing is inferred: ``001``, ``true``, ``NA`` and ``1.10`` are ids. CSV and TSV have the quotes of
RFC 4180. A file that is not well-formed by it, but whose every line has the header's number of
fields without quotes, has no quotes. Raises DataError with the line for anything else.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from timbral.errors import DataError, first_line
from timbral.io.text import open_text

__all__ = ["BAR", "TABLE_SUFFIXES", "read_text_columns"]

BATCH_ROWS = 8192
BAR = "|"
CSV_DELIMITERS = f",;{BAR}"
"""delimiters of CSV; the first of these that is in the header is used"""
ESCAPED_BAR = "\\|"
MARKDOWN_BAR = re.compile(r"(?<!\\)\|")
MARKDOWN_RULE = re.compile(":?-+:?")
"""a value of the second line of a Markdown table, such as ``|---|:---:|``"""
OTHER_DELIMITERS = ";|\t,"

Row = Sequence[str | None]


def read_text_columns(path: Path, wanted: Collection[str]) -> tuple[pa.Table, list[str]]:
    """The existing `wanted` columns as strings, and the names of all columns.

    path: a file that ends in one of `TABLE_SUFFIXES`.

    Raises DataError if the file cannot be read as such a table, a wanted column occurs twice or is
    not text, or it contains a NUL character.
    """
    try:
        table, names = READERS[path.suffix.lower()](path, wanted)
    except (OSError, pa.ArrowException, ValueError, TypeError, MemoryError) as error:
        reason = first_line(error)
        raise DataError(f"{path}: cannot be read as a table of utterances ({reason})") from None
    return table, names


def _read_csv(path: Path, wanted: Collection[str]) -> tuple[pa.Table, list[str]]:
    """Excel writes semicolons where a comma is the decimal point, Coqui TTS and Markdown bars."""
    with open_text(path) as file:
        header, below = file.readline(), file.readline()
    if BAR in below and all(map(MARKDOWN_RULE.fullmatch, _markdown_values(below))):
        return _read_markdown(path, wanted)
    delimiter = next((each for each in CSV_DELIMITERS if each in header), ",")
    return _read_delimited(path, delimiter, wanted)


def _read_markdown(path: Path, wanted: Collection[str]) -> tuple[pa.Table, list[str]]:
    """A Markdown table: ``| path | speaker |`` above ``|---|---|``."""
    with open_text(path) as file:
        names = _markdown_values(file.readline())
        next(file)  # the rule below the header
        columns = _positions(path, names, wanted)
        return _table(columns, _markdown_rows(path, file, len(names)), path), names


def _markdown_rows(path: Path, file: TextIO, count: int) -> Iterator[list[str]]:
    for number, line in enumerate(file, start=3):
        if not line.strip():
            continue
        values = _markdown_values(line)
        if len(values) != count:
            raise DataError(
                f"{path}:{number}: has {len(values)} values, but the header has {count}"
            )
        yield values


def _markdown_values(line: str) -> list[str]:
    """The values of a line; bars at both ends may be left out, others in values are written \\|."""
    inner = line.strip().removeprefix(BAR)
    if inner.endswith(BAR) and not inner.endswith(ESCAPED_BAR):
        inner = inner[:-1]
    return [each.strip().replace(ESCAPED_BAR, BAR) for each in MARKDOWN_BAR.split(inner)]


def _read_tsv(path: Path, wanted: Collection[str]) -> tuple[pa.Table, list[str]]:
    return _read_delimited(path, "\t", wanted)


def _read_delimited(
    path: Path, delimiter: str, wanted: Collection[str]
) -> tuple[pa.Table, list[str]]:
    with open_text(path) as file:
        names, columns = _header(path, file, delimiter, wanted)
        if delimiter == BAR and _is_unquoted(file, len(names)):
            return _table(columns, _unquoted_rows(file, delimiter), path), names
        if (table := _fast_csv(path, delimiter, names, columns)) is not None:
            return table, names
        try:
            return _table(columns, _quoted_rows(path, file, delimiter, names), path), names
        except DataError:
            file.seek(0)
            if not _fits_without_quotes(file, delimiter, columns, len(names)):
                raise
        return _table(columns, _unquoted_rows(file, delimiter), path), names


def _fast_csv(
    path: Path, delimiter: str, names: list[str], columns: dict[str, int]
) -> pa.Table | None:
    """Read with Arrow, ten times as fast; None unless each row is one line, so that none is lost.

    If a quote is not closed in its line, Arrow silently includes the following lines.
    """
    unique = [str(place) for place in range(len(names))]
    kept = [str(place) for place in columns.values()]
    try:
        table = pa.csv.read_csv(
            path,
            pa.csv.ReadOptions(column_names=unique, skip_rows=1),
            pa.csv.ParseOptions(delimiter=delimiter),
            pa.csv.ConvertOptions(
                include_columns=kept, column_types={place: pa.string() for place in kept}
            ),
        )
    except (OSError, pa.ArrowException):  # the slow way reports the reason
        return None
    is_whole = bool(columns) and table.num_rows == _num_lines(path) - 1
    return table.rename_columns(list(columns)) if is_whole else None


def _fast_jsonl(path: Path, wanted: Collection[str]) -> pa.Table | None:
    """Read strings with Arrow, very fast; None unless each row is one line."""
    options = pa.json.ParseOptions(
        explicit_schema=pa.schema([(name, pa.string()) for name in wanted]),
        unexpected_field_behavior="ignore",
    )
    try:
        table = pa.json.read_json(path, parse_options=options)
        table.validate(full=True)
    except (OSError, pa.ArrowException):  # numbers as ids, a bad line, or texts not UTF-8
        return None
    return table if table.num_rows == _num_lines(path) else None


def _num_lines(path: Path) -> int:
    """Lines of a file that are not empty."""
    with open(path, "rb") as file:
        return sum(1 for line in file if line.strip(b"\r\n"))


def _header(
    path: Path, file: TextIO, delimiter: str, wanted: Collection[str]
) -> tuple[list[str], dict[str, int]]:
    """All names, and the positions of the wanted columns."""
    first_row = next(csv.reader(file, delimiter=delimiter), [])
    names = [name.encode(errors="surrogateescape").decode(errors="replace") for name in first_row]
    if len(names) == 1 and any(other in names[0] for other in OTHER_DELIMITERS):
        needed = "tabs in .tsv" if delimiter == "\t" else "commas, semicolons or | in .csv"
        raise DataError(
            f"{path}:1: columns are separated by {needed}; this header is {names[0]!r}; save the "
            "table with these"
        )
    return names, _positions(path, names, wanted)


def _positions(path: Path, names: Sequence[str], wanted: Collection[str]) -> dict[str, int]:
    for name in wanted:
        if names.count(name) > 1:
            raise DataError(f"{path}: has the column {name!r} {names.count(name)} times; keep one")
    return {name: names.index(name) for name in wanted if name in names}


def _quoted_rows(
    path: Path, file: TextIO, delimiter: str, names: Sequence[str]
) -> Iterator[list[str]]:
    """The rows after the header, by RFC 4180."""
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    before = 0
    while True:
        line = 2 + before
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{path}:{line}: {error}; a value that begins with a quote ends with one, and "
                "quotes inside it are doubled"
            ) from None
        if row is None:
            return
        if reader.line_num - before > 1 and _takes_in_rows(row, delimiter, len(names)):
            raise DataError(
                f"{path}:{line}: a quoted value extends over the following rows; close the quote "
                "on its line, or double it if it belongs to the value"
            )
        before = reader.line_num
        if not row:
            continue
        if len(row) != len(names):
            raise DataError(
                f"{path}:{line}: has {len(row)} values, but the header has {len(names)}"
            )
        yield row


def _takes_in_rows(row: Iterable[str], delimiter: str, count: int) -> bool:
    """Whether a line within a value has as many delimiters as a row would."""
    lines = (line for value in row for line in value.splitlines()[1:])
    return any(line.count(delimiter) >= max(1, count - 1) for line in lines)


def _fits_without_quotes(file: TextIO, delimiter: str, columns: dict[str, int], count: int) -> bool:
    """Whether each line has `count` values, and no wanted one is in quotes."""
    for line in file:
        if not line.strip("\r\n"):
            continue
        values = _split(line, delimiter)
        if len(values) != count or any('"' in values[place] for place in columns.values()):
            return False
    return True


def _is_unquoted(file: TextIO, count: int) -> bool:
    """Whether a table with bars has `count` values in each line, and no quotes in its header.

    Quotes then belong to the texts: one transcript may begin a quotation that the next one ends.
    The answer does not depend on the wanted columns, so all columns are read with the same rows.
    """
    file.seek(0)
    is_unquoted = '"' not in file.readline() and _fits_without_quotes(file, BAR, {}, count)
    file.seek(0)
    next(file)  # as after the header
    return is_unquoted


def _unquoted_rows(file: TextIO, delimiter: str) -> Iterator[list[str]]:
    """The rows after the header, in which quotes have no meaning."""
    file.seek(0)
    next(file)
    return (_split(line, delimiter) for line in file if line.strip("\r\n"))


def _split(line: str, delimiter: str) -> list[str]:
    return line.rstrip("\r\n").split(delimiter)


def _read_jsonl(path: Path, wanted: Collection[str]) -> tuple[pa.Table, list[str]]:
    if (fast := _fast_jsonl(path, wanted)) is not None:
        present = [name for name in wanted if fast[name].null_count < fast.num_rows]
        if {"path", "speaker"} <= set(present):  # else the slow reader finds the keys
            return fast.select(present), present
    names: dict[str, None] = {}
    columns = {name: place for place, name in enumerate(wanted)}
    with open_text(path) as file:
        table = _table(columns, _json_rows(path, file, wanted, names), path)
    return table.select([name for name in wanted if name in names]), list(names)


def _json_rows(
    path: Path, file: TextIO, wanted: Collection[str], names: dict[str, None]
) -> Iterator[Row]:
    """Rows of the wanted values; numbers as they are written. Collects the keys in `names`."""
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        if number == 1 and line.lstrip().startswith("["):
            raise DataError(
                f"{path}: is a JSON array; one object per line is needed (`jq -c '.[]'` makes that)"
            )
        try:
            row = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
        except (ValueError, RecursionError) as error:
            reason = f"cannot be read as a table of utterances (not JSON: {error})"
            raise DataError(f"{path}:{number}: {reason}") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: an object is needed, got {line.strip()[:50]!r}")
        names.update(dict.fromkeys(row))
        yield [_json_text(row.get(name), name, f"{path}:{number}") for name in wanted]


def _json_text(value: object, name: str, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    raise DataError(f"{where}: column {name!r} should be text, got {json.dumps(value)[:50]}")


def _read_parquet(path: Path, wanted: Collection[str]) -> tuple[pa.Table, list[str]]:
    names = pa.parquet.read_schema(path).names
    columns = list(_positions(path, names, wanted))
    table = pa.parquet.read_table(path, columns=columns, partitioning=None)
    for name in columns:
        _check_type(path, name, table.schema.field(name).type)
    table = table.cast(pa.schema([(name, pa.string()) for name in columns]))
    table.validate(full=True)  # that texts are UTF-8
    return table, names


def _check_type(path: Path, name: str, given: pa.DataType) -> None:
    """DataError for a type whose text is not what an id was: 7.0 was 7 or 007 once."""
    type_ = given.value_type if pa.types.is_dictionary(given) else given
    is_text = pa.types.is_string(type_) or pa.types.is_large_string(type_)
    is_number = pa.types.is_integer(type_) or name in ("start", "end")
    if not (is_text or is_number or pa.types.is_null(type_)):
        raise DataError(f"{path}: column {name!r} should be text, got {given}; write it as strings")


def _table(columns: dict[str, int], rows: Iterable[Row], path: Path) -> pa.Table:
    """Values of the rows as columns of strings."""
    schema = pa.schema([(name, pa.string()) for name in columns])
    source = iter(rows)
    batches = []
    while batch := list(islice(source, BATCH_ROWS)):
        try:
            arrays = [
                pa.array([row[place] for row in batch], pa.string()) for place in columns.values()
            ]
        except UnicodeEncodeError as error:
            raise DataError(
                f"{path}: {error.object!r} is not UTF-8; save the table as UTF-8"
            ) from None
        batches.append(pa.record_batch(arrays, schema))
    return pa.Table.from_batches(batches, schema)


READERS: dict[str, Callable[[Path, Collection[str]], tuple[pa.Table, list[str]]]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".json": _read_jsonl,
}
TABLE_SUFFIXES = tuple(READERS)
"""suffixes of supported tables; .json are lines of JSON, as in NeMo's manifests"""
