"""Processes that end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait

__all__ = ["end_with_parent", "without_interrupts"]


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back in this process, and in processes started meanwhile for their whole life.

    A process that is interrupted while Python starts in it prints a traceback, and one whose start
    is interrupted here is known to nobody who could end it. What came meanwhile comes afterwards.
    """
    # It unblocks SIGINT behind its own start, which would be in the middle of the block.
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
    """End this process, which multiprocessing started, when its parent is gone, were it killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "multiprocessing has not started this process"

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
