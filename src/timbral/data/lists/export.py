"""Lists of utterances for other tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from timbral.data.further_columns import OWN_NAMES
from timbral.data.lists.registry import LIST_FORMATS
from timbral.data.manifest import COLUMNS, Manifest
from timbral.errors import DataError, check_choice
from timbral.io.files import write_json, write_jsonl
from timbral.io.outputs import LIST, LIST_MARKER, FileKind, claim_file, claim_folder, table_columns

__all__ = ["claim_list", "failures_file", "write_list"]

OTHERS = OWN_NAMES.difference(COLUMNS.names)
"""columns of prepared data, vectors and other tables that are not lists"""
TABLE = FileKind("a list of utterances", frozenset(COLUMNS.names), without=OTHERS)


def claim_list(output: Path, format: str, sources: Sequence[str | Path]) -> None:
    """Claim `output` for a list; DataError if it is a source, or contains anything but a list."""
    check_choice("format", format, LIST_FORMATS)
    if LIST_FORMATS[format].layout is None:
        claim_file(output, LIST_FORMATS[format].kind or TABLE, sources)
    else:
        claim_folder(output, LIST, sources)
        write_json(output / LIST_MARKER, {"format": format})


def write_list(manifest: Manifest, output: Path, format: str) -> tuple[int, int]:
    """Write a list of utterances, and its failures (`failures_file`).

    output: a file; a folder for kaldi and lhotse.
    format: a name of `LIST_FORMATS`.

    Returns the numbers of utterances written and of failures: lines of the source that cannot be
    used, and in formats with lengths recordings without a readable header. Raises ConfigError for
    an unknown format, and DataError for what the format cannot express, or if a table to be
    overwritten has a column that would be lost.
    """
    check_choice("format", format, LIST_FORMATS)
    if LIST_FORMATS[format].layout is None and LIST_FORMATS[format].kind is None:
        _check_columns_stay(manifest, output)
    unwritten = LIST_FORMATS[format].write(manifest, output)
    failures = [*(failure.as_dict() for failure in manifest.failures), *unwritten]
    path = failures_file(output, format)
    if failures:
        write_jsonl(path, failures)
    else:
        path.unlink(missing_ok=True)  # that of an earlier list
    return len(manifest) - len(unwritten), len(failures)


def _check_columns_stay(manifest: Manifest, output: Path) -> None:
    """Raise DataError if a table to be overwritten has a column that the new one lacks."""
    lost = table_columns(output) - {*COLUMNS.names, *manifest.further_names}
    if lost:
        raise DataError(
            f"{output}: exists and has the column {min(lost)!r}, which this list lacks and which "
            "would be lost; choose another `output`, or delete that file first"
        )


def failures_file(output: Path, format: str) -> Path:
    """The file for the failures of a list: beside it, or in its folder."""
    if LIST_FORMATS[format].layout is None:
        return output.with_name(f"{output.name}.failures.jsonl")
    return output / "failures.jsonl"
