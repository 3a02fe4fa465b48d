"""The definition of a list format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timbral.data.corpora.corpus import Corpus
from timbral.data.manifest import Manifest
from timbral.io.files import write_jsonl
from timbral.io.outputs import FileKind

__all__ = ["ListFormat", "write_failures"]


@dataclass(frozen=True)
class ListFormat:
    """A format of lists of utterances for other tools."""

    write: Callable[[Manifest, Path], tuple[int, int]]
    """(utterances, output) -> the numbers of utterances written and of failures"""
    is_text: bool = False
    """a single text file, which may go to standard output"""
    layout: Corpus | None = None
    """how a folder of this format is read as a corpus; None: it is a file, or is not read"""
    kind: FileKind | None = None
    """of a file with columns of its own, by which it is known; None: the columns of a table"""
    lists_failures: bool = False
    """`write` lists all failures itself, also those of a file"""


def write_failures(folder: Path, failures: Sequence[dict[str, Any]]) -> None:
    """Write failures.jsonl, or remove that of an earlier list when nothing failed."""
    if failures:
        write_jsonl(folder / "failures.jsonl", failures)
    else:
        (folder / "failures.jsonl").unlink(missing_ok=True)
