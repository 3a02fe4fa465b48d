"""Call C libraries without what they print to standard error.

They write to file descriptor 2 of the whole process, so redirecting it would silence other threads.
Linux can give a thread its own descriptors, so the call runs in a thread whose descriptor 2 is
discarded.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from threading import Thread
from typing import Generic, TypeVar

__all__ = ["without_standard_error"]

R = TypeVar("R")

STANDARD_ERROR = 2
CLOSE_RANGE_UNSHARE = 2
CLONE_FILES = 0x400
"""flag of close_range(2) (Linux 5.9) and unshare(2), which containers often forbid"""
ALL = ctypes.c_uint(0xFFFF_FFFF)


def without_standard_error(call: Callable[[], R]) -> R:
    """The result of `call`, or its exception; what it prints to descriptor 2 is dropped.

    It runs in a thread of its own. Files that are open elsewhere are closed in that thread, and its
    files are not visible to others, so `call` must work in memory.

    If a thread cannot have its own descriptors (macOS; Linux before 5.9 without the right to
    unshare), the output is not dropped.
    """
    thread = _Call(call)
    thread.start()
    thread.join()
    return thread.result()


class _Call(Thread, Generic[R]):
    """A call in its own thread."""

    def __init__(self, call: Callable[[], R]) -> None:
        super().__init__(name="timbral-without-standard-error", daemon=True)
        self._call = call
        self._results: list[R] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            # A signal's handler may write to a descriptor that is closed here.
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            if _own_descriptors():
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, STANDARD_ERROR)
                os.close(nowhere)
            self._results.append(self._call())
        except BaseException as error:
            self._error = error

    def result(self) -> R:
        if self._error is not None:
            raise self._error
        return self._results[0]


def _own_descriptors() -> bool:
    """Give this thread its own table of descriptors; returns whether that succeeded."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    close_range = getattr(libc, "close_range", None)  # of glibc 2.34
    if close_range is not None:
        first = ctypes.c_uint(STANDARD_ERROR + 1)
        if close_range(first, ALL, ctypes.c_int(CLOSE_RANGE_UNSHARE)) == 0:
            return True
    return bool(libc.unshare(CLONE_FILES) == 0)
