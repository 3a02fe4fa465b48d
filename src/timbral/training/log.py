"""The log of one process of a run, RUN/worker_N.log."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from timbral.errors import TimbralError

__all__ = ["WorkerLog", "worker_log"]


class WorkerLog:
    """Lines with the time, appended in all sessions of a run."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def line(self, text: str) -> None:
        self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        self._file.flush()

    def warning(self, text: str) -> None:
        """Write a line that is also a Python warning."""
        self.line(f"warning: {text}")
        warnings.warn(text, stacklevel=2)

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        self.line(" ".join([f"step {step}", *(f"{key} {values[key]:.6g}" for key in values)]))


@contextmanager
def worker_log(run: Path, rank: int) -> Iterator[WorkerLog]:
    """The log of the process with this number; an error that ends the process is its last line."""
    with open(run / f"worker_{rank}.log", "a", encoding="utf-8") as file:
        log = WorkerLog(file)
        try:
            yield log
        except TimbralError as error:
            log.line(f"error: {error}")
            raise
        except BaseException:
            log.line(traceback.format_exc())
            raise
