"""``-`` as a path: standard input or standard output, for text."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["STANDARD", "text_input", "text_output"]

STANDARD = Path("-")


@contextmanager
def text_input(path: Path) -> Iterator[Path]:
    """The path; for ``-`` a temporary file with the content of standard input.

    A file, unlike a stream, can be read twice and by several processes.
    """
    if path != STANDARD:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="stdin-", suffix=".txt") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield Path(file.name)


@contextmanager
def text_output(path: Path) -> Iterator[Path]:
    """The path; for ``-`` a temporary file that is copied to standard output at the end."""
    if path != STANDARD:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="timbral-") as folder:
        written = Path(folder) / "output"
        yield written
        with written.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
