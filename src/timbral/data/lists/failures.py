"""The file with the failures of a list: FILE.failures.jsonl next to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from timbral.io.files import write_jsonl

__all__ = ["failures_beside", "write_failures"]


def failures_beside(output: Path) -> Path:
    """The file for the failures of a list that is one file."""
    return output.with_name(f"{output.name}.failures.jsonl")


def write_failures(output: Path, failures: Sequence[Mapping[str, Any]]) -> None:
    """Write the failures of the list `output`, or remove the file of an earlier list if none."""
    path = failures_beside(output)
    if failures:
        write_jsonl(path, failures)
    else:
        path.unlink(missing_ok=True)
