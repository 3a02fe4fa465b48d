"""Processes that end with their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait

__all__ = ["WORKER_DIED", "end_with_parent", "without_interrupts"]

WORKER_DIED = (
    "a worker process died (out of memory?). Finished work is kept: start again, perhaps with "
    "fewer workers"
)


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Defer Ctrl-C in this process, and block it in processes that are started meanwhile.

    A process that is interrupted while its Python starts prints a traceback, and one whose start is
    interrupted here could never be ended. A deferred Ctrl-C takes effect afterwards.
    """
    # It unblocks SIGINT after its own start, which would be in the middle of the block.
    resource_tracker.ensure_running()
    held: list[int] = []
    # The mask is one thread's, and is what a new process inherits: another thread of this process
    # may still get the signal, which the main thread then answers, mask or not.
    in_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    replaced = [number for number, handler in handlers.items() if in_main and callable(handler)]
    for number in replaced:
        signal.signal(number, lambda received, frame: held.append(received))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number in replaced:
            signal.signal(number, handlers[number])
        for received in dict.fromkeys(held):
            signal.raise_signal(received)


def end_with_parent() -> None:
    """End this process, started by multiprocessing, when its parent has ended or was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "multiprocessing has not started this process"

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
