"""Tables of utterances: Parquet, CSV, TSV, JSONL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from timbral.audio.segments import Segment
from timbral.data.column_aliases import ALIASES, describe_aliases, find_columns, own_columns
from timbral.data.further_of_tables import read_further
from timbral.data.locations import FILE_URL, WINDOWS_PATH, path_of_file_url
from timbral.data.manifest import COLUMNS, Manifest, sorted_manifest
from timbral.data.text_columns import TABLE_SUFFIXES, read_text_columns
from timbral.errors import DataError
from timbral.io.storage import location_of

__all__ = ["read_manifest", "read_rows", "utterance_id"]

TIMES = ("start", "end")


def read_manifest(path: str | Path, root: str | Path | None = None) -> Manifest:
    """A table of utterances from Parquet, CSV, TSV or JSONL, sorted by speaker and utterance.

    The columns `path` and `speaker` are required. `utterance` (else the path without its suffix),
    `session` and `corpus` are optional, and so are `start` and `end`, the seconds of a segment of
    the file, also in capitals; other columns, such as gender, are kept
    (`timbral.data.further_columns`). If path or speaker is missing, names of other tools are
    recognized (`timbral.data.column_aliases`), including NeMo's `offset` and `duration`.
    `Manifest.layout` says which columns have other names. Ids are text, exactly as in the file.
    Paths may be URLs; relative ones are below `root`, which is the table's folder unless another
    folder or URL is given. Raises DataError if the table cannot be used.
    """
    return sorted_manifest(read_rows(path, root), path)


def read_rows(
    path: str | Path,
    root: str | Path | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
) -> Manifest:
    """Like `read_manifest`, in the table's order; utterance ids may be repeated.

    `columns` are the table's columns to use for some of timbral's.
    """
    path = Path(path)
    if path.suffix.lower() not in TABLE_SUFFIXES:
        known = ", ".join(TABLE_SUFFIXES)
        raise DataError(
            f"{path}: is not a corpus. A corpus is a folder, a recording, a table ({known}), a "
            "list of recordings (.txt, .lst, .list), cuts of Lhotse (.jsonl, .jsonl.gz) or a "
            "WebDataset archive (.tar)"
        )
    table, names = read_text_columns(path, [*COLUMNS.names, *TIMES])
    layout, taken, renamed = "", set(table.column_names), own_columns(names, path)
    if columns or not {"path", "speaker"} <= taken:
        renamed = {**find_columns(names, path), **columns}
        if missing := sorted(set(columns.values()).difference(names)):
            raise DataError(f"{path}: has no column {missing[0]!r}; it has: {', '.join(names)}")
    if {"path", "speaker"} <= renamed.keys() and describe_aliases(renamed):
        table, layout = _renamed(path, renamed), f"table, {describe_aliases(renamed)}"
        taken = set(renamed.values())
    rows = _complete(table, names, path, root or path.resolve().parent)
    others, left_out = read_further(path, taken)
    for name in others.column_names:
        rows = rows.append_column(name, others[name])
    return Manifest(rows, layout=layout, left_out=left_out)


def _renamed(path: Path, renamed: Mapping[str, str]) -> pa.Table:
    """The columns under our names; seconds that NeMo counts from `offset` become an end."""
    table, _ = read_text_columns(path, list(renamed.values()))
    table = table.select(list(renamed.values())).rename_columns(list(renamed))
    if "duration" not in renamed:
        return table
    starts, lengths = (_seconds(table, name, path) for name in ("start", "duration"))
    ends = [
        None if start is None or length is None else str(start + length)
        for start, length in zip(starts, lengths, strict=True)
    ]
    return table.drop_columns(["duration"]).append_column("end", pa.array(ends, pa.string()))


def _complete(table: pa.Table, names: list[str], where: Path, root: str | Path) -> pa.Table:
    """The five columns, with missing ones filled in."""
    _check_columns({*table.column_names, *find_columns(names, where)}, names, where)
    columns: dict[str, Any] = {}
    for name in ("path", "speaker"):
        columns[name] = table[name]
        empty = pc.equal(pc.utf8_length(pc.fill_null(columns[name], "")), 0)
        _refuse(empty, where, f"has no {name}, which every row needs")
    columns["path"] = _local_paths(columns["path"], where)
    segments = _segments(table, columns["path"], where)
    if segments:
        columns["path"] = pa.chunked_array([[str(segment) for segment in segments]])
        ids = pa.chunked_array([[utterance_id(segment) for segment in segments]])
    else:
        ids = pc.replace_substring_regex(columns["path"], r"\.[^./]+$", "")
    for name, default in {"utterance": ids, "session": "", "corpus": "manifest"}.items():
        if name in table.column_names:
            columns[name] = pc.fill_null(table[name], "")
        elif isinstance(default, str):
            columns[name] = pa.chunked_array([pa.repeat(default, table.num_rows)], pa.string())
        else:
            columns[name] = default
    for name in COLUMNS.names:
        holds_nul = pc.match_substring(columns[name], "\0")
        _refuse(holds_nul, where, f"has a NUL character in its {name}; remove it")
    below = pc.binary_join_element_wise(f"{location_of(root)}/", columns["path"], "")
    absolute = pc.match_substring_regex(columns["path"], "^(/|[A-Za-z0-9.+-]+://)")
    columns["path"] = pc.if_else(absolute, columns["path"], below)
    return pa.table(columns)


def _check_columns(known: set[str], names: list[str], where: Path) -> None:
    if not names:
        raise DataError(f"{where}: is empty; a table with columns for paths and speakers is needed")
    for name in ("path", "speaker"):
        if name not in known:
            raise DataError(
                f"{where}: has no column {name!r}, nor {', '.join(ALIASES[name])}. path and "
                "speaker are required; utterance, session and corpus are optional; it has: "
                f"{', '.join(names)}"
            )


def _refuse(bad: pa.ChunkedArray, where: Path, what: str) -> None:
    """Raise DataError that names the first row for which `bad` is true."""
    if pc.any(bad).as_py():
        raise DataError(f"{where}: row {pc.index(bad, True).as_py() + 1} {what}")


def _local_paths(paths: pa.ChunkedArray, where: Path) -> pa.ChunkedArray:
    """The paths, those of URLs ``file:///…`` as paths. DataError for paths of Windows."""
    windows = pc.match_substring_regex(paths, WINDOWS_PATH)
    if pc.any(windows).as_py():
        path = paths[pc.index(windows, True).as_py()].as_py()
        what = f"has the Windows path {path!r}; write paths of this machine, with / as separator"
        _refuse(windows, where, what)
    urls = pc.match_substring_regex(paths, FILE_URL)
    if not pc.any(urls).as_py():
        return paths
    plain = []
    rows = zip(paths.to_pylist(), urls.to_pylist(), strict=True)
    for number, (path, is_file_url) in enumerate(rows, start=1):
        try:
            plain.append(path_of_file_url(path) if is_file_url else path)
        except ValueError as error:
            raise DataError(f"{where}: row {number}: {error}") from None
    return pa.chunked_array([plain], pa.string())


def _segments(table: pa.Table, paths: pa.ChunkedArray, where: Path) -> list[Segment]:
    """The segments that the rows are; empty when all are whole files."""
    times = set(TIMES).intersection(table.column_names)
    if not times and not pc.any(pc.match_substring(paths, "#")).as_py():
        return []
    starts, ends = (_seconds(table, name, where) for name in TIMES)
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
    """Numbers of a column; None for missing values, or for all rows if there is no such column."""
    if name not in table.column_names:
        return [None] * table.num_rows
    seconds: list[float | None] = []
    for number, text in enumerate(table[name].to_pylist(), start=1):
        try:
            seconds.append(float(text) if text else None)
        except ValueError:
            raise DataError(
                f"{where}: row {number}: {name!r} should be seconds, got {text!r}"
            ) from None
    return seconds


def utterance_id(segment: Segment) -> str:
    """The path without its suffix, and the rest: ``calls/a-1.5-3``, ``calls/a-channel-1``."""
    stem = re.sub(r"\.[^./]+$", "", segment.file)
    rest = str(segment).removeprefix(segment.file)
    return stem + re.sub("#t=|[#,&=]", "-", rest)
