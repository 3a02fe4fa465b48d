"""Check that a command may write to a path: new, empty or of its own kind, never its input.

Folders are recognized by the files that each command writes, files by their columns or by a
signature at their beginning.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from timbral.errors import DataError
from timbral.io.json_parsing import parse_json

__all__ = [
    "BROWSER_PAGE",
    "CHECKPOINT",
    "DEMO",
    "DRIFT_FILE",
    "EMBEDDINGS",
    "EVALUATION",
    "IMPORTED",
    "LIST",
    "LIST_MARKER",
    "PREPARED",
    "RUN",
    "SIMILARITY",
    "SIMILARITY_FILE",
    "TRAINING_CHECKPOINT",
    "TRAINING_LIST",
    "FileKind",
    "FolderKind",
    "claim_file",
    "claim_folder",
    "claim_shared_folder",
    "table_columns",
]

HEAD_BYTES = 4096
"""bytes at the beginning of a file with its signature"""
LIST_MARKER = ".timbral-list.json"
TRAINING_LIST = "trained_on.parquet"
"""file of a run folder, see `timbral.data.training_list`; defined here, where pyarrow is not
imported"""


@dataclass(frozen=True)
class FolderKind:
    """A kind of output folder."""

    content: str
    """content of such a folder, in words"""
    markers: tuple[str, ...]
    """patterns of files by which it is recognized"""
    allowed: tuple[str, ...] = ()
    """patterns of other files that may be there, such as a log"""

    def is_in(self, folder: Path) -> bool:
        return any(any(folder.glob(pattern)) for pattern in self.markers)


PREPARED = FolderKind("prepared data", ("plan.json", "store.json"))
EMBEDDINGS = FolderKind("vectors written by `embed`", (".embed*/job.json",))
IMPORTED = FolderKind("vectors written by `import-embeddings`", (".imported.json",))
RUN = FolderKind("a training run", ("run.json",), ("*.log", "*.out", "*.err", "*.txt"))
TRAINING_CHECKPOINT = FolderKind("a checkpoint of a training run", ("optimizer.safetensors",))
CHECKPOINT = FolderKind("a checkpoint", ("checkpoint.json",))
EVALUATION = FolderKind("an evaluation", (".evaluation/job.json",))
LIST = FolderKind("a list written by `export-list`", (LIST_MARKER,))
DEMO = FolderKind("a demo", ("demo.json",))
SIMILARITY_FILE = "similarity.json"
DRIFT_FILE = "drift.json"
SIMILARITY = FolderKind("a comparison of clones", (SIMILARITY_FILE, DRIFT_FILE))
BROWSER_PAGE = FolderKind("a page written by `export`", ("encoder.json",))
FOLDERS = (
    BROWSER_PAGE,
    PREPARED,
    EMBEDDINGS,
    IMPORTED,
    RUN,
    TRAINING_CHECKPOINT,
    CHECKPOINT,
    EVALUATION,
    LIST,
    DEMO,
    SIMILARITY,
)


@dataclass(frozen=True)
class FileKind:
    """A kind of output file."""

    content: str
    """content of such a file, in words with an article"""
    columns: frozenset[str] = frozenset()
    """for a table: exactly these columns, unless `without` is given"""
    signature: bytes = b""
    """bytes at the beginning of a page or plot"""
    line: str = ""
    """pattern of the first line of a text"""
    without: frozenset[str] = frozenset()
    """columns that such a table must not have; if given, it may have any other columns"""

    def is_in(self, path: Path) -> bool:
        if self.signature:
            with open(path, "rb") as file:
                return self.signature in file.read(HEAD_BYTES)
        if self.line:
            with open(path, encoding="utf-8", errors="replace") as text:
                return re.fullmatch(self.line, text.readline(HEAD_BYTES).rstrip("\r\n")) is not None
        found = table_columns(path)
        if self.without:
            return found >= self.columns and not found & self.without
        return found == self.columns


def claim_folder(
    folder: Path,
    kind: FolderKind,
    inputs: Iterable[str | Path] = (),
    beside: Iterable[str] = (),
) -> None:
    """Raise DataError if `folder` is one of `inputs`, or has anything but output of this kind.

    Files of the patterns `beside` may be there, too.
    """
    claim_shared_folder(folder, kind)
    _refuse_inputs(folder, inputs)
    if not folder.exists() or kind.is_in(folder):
        return
    allowed = (*kind.allowed, *beside)
    others = [
        entry.name
        for entry in sorted(folder.iterdir())
        if not entry.name.startswith(".") and not any(entry.match(pattern) for pattern in allowed)
    ]
    if others:
        raise DataError(
            f"{folder}: is not empty (it has {others[0]!r}) and does not contain {kind.content}; "
            "choose a new or empty folder as `output`"
        )


def claim_shared_folder(folder: Path, kind: FolderKind) -> None:
    """Raise DataError if `folder` contains output of another kind; other files are allowed."""
    _check_parents(folder)
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; choose a new or empty folder as `output`")
    for other in FOLDERS:
        if other is not kind and other.is_in(folder):
            raise DataError(
                f"{folder}: contains {other.content}, which would be mixed with {kind.content}; "
                "choose a new or empty folder as `output`"
            )


def claim_file(
    path: Path, kind: FileKind, inputs: Iterable[str | Path] = (), argument: str = "output"
) -> None:
    """Raise DataError if `path`, given as `argument`, is one of `inputs` or of another kind."""
    _refuse_inputs(path, inputs, argument)
    _check_parents(path, argument)
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give a file as `{argument}`")
    if not path.exists():
        return
    if path.is_file() and (path.stat().st_size == 0 or kind.is_in(path)):
        return
    raise DataError(
        f"{path}: exists and is not {kind.content}, so it is not overwritten; choose another "
        f"`{argument}`, or delete that file first"
    )


def _check_parents(path: Path, argument: str = "output") -> None:
    """Raise DataError if a parent of `path` is not a folder, or not writable."""
    absolute = Path(os.path.abspath(path))
    nearest = next((each for each in absolute.parents if _is_there(each)), absolute)
    if not nearest.is_dir():
        raise DataError(
            f"{path}: cannot be created, because {nearest} is a file; choose another `{argument}`"
        )
    if not path.exists() and not os.access(nearest, os.W_OK | os.X_OK):
        raise DataError(
            f"{path}: cannot be created, because {nearest} is not writable; choose another "
            f"`{argument}`"
        )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


def _refuse_inputs(path: Path, inputs: Iterable[str | Path], argument: str = "output") -> None:
    for given in inputs:
        if _is_same(path, Path(given)):
            raise DataError(
                f"{path}: is one of the inputs and would be overwritten; choose another "
                f"`{argument}`"
            )


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist
        return os.path.abspath(one) == os.path.abspath(other)


def table_columns(path: Path) -> frozenset[str]:
    """The columns of a Parquet, CSV or JSONL file; empty for any other file."""
    for names in _column_readers(path):
        if names:
            return frozenset(names)
    return frozenset()


def _column_readers(path: Path) -> Iterator[Iterable[str]]:
    import pyarrow as pa
    import pyarrow.parquet

    with suppress(OSError, pa.ArrowException):
        yield pa.parquet.read_schema(path).names
    try:
        with open(path, encoding="utf-8", newline="") as file:
            line = file.readline(HEAD_BYTES)
    except (OSError, UnicodeDecodeError):
        return
    try:
        row = parse_json(line)
    except ValueError:
        yield next(csv.reader([line], delimiter="\t" if "\t" in line else ","), ())
    else:
        yield row if isinstance(row, dict) else ()
