"""Processes that end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait

__all__ = ["end_with_parent", "without_interrupts"]


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back in this thread, and in processes started meanwhile for their whole life.

    A process that is interrupted while Python starts in it prints a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """End this process, which multiprocessing started, when its parent is gone, were it killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "multiprocessing has not started this process"

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
