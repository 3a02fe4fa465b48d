"""``-`` as a path: standard input or standard output, for text."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from timbral.errors import TimbralError

__all__ = ["STANDARD", "STANDARD_INPUT", "text_input", "text_output"]

STANDARD = Path("-")
STANDARD_INPUT = "standard input"
"""its name in messages and results"""


@contextmanager
def text_input(path: Path) -> Iterator[Path]:
    """The path; for ``-`` a temporary file with the content of standard input.

    A file, unlike a stream, can be read twice and by several processes. Errors raised within the
    context do not name it.
    """
    if path != STANDARD:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="stdin-", suffix=".txt") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        try:
            yield Path(file.name)
        except TimbralError as error:
            raise type(error)(*map(partial(_renamed, file.name), error.args)) from None


def _renamed(file: str, argument: object) -> object:
    """An argument of an error, with standard input in place of the name of a file."""
    return argument.replace(file, STANDARD_INPUT) if isinstance(argument, str) else argument


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
