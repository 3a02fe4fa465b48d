"""The two connections of a process to a database: one that reads, one that writes.

A writer may have to wait long for the writers of other processes. It waits without the lock that
readers need, and on its own connection, so that this process can search in the meantime.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

__all__ = ["Connections"]


class _Closes(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=_Closes)


class Connections(Generic[C]):
    """Opened at first use, and again after `close` and in a forked process.

    Attributes:
        lock: held while a statement runs, and by a writer as soon as it may write
    """

    def __init__(self, connect: Callable[[], C], is_usable: Callable[[C], bool]) -> None:
        """`connect` opens a connection; one that is no longer usable is opened again."""
        self._connect, self._is_usable = connect, is_usable
        self.lock = threading.RLock()
        self._turn = threading.RLock()
        """held by the thread that writes"""
        self._open: dict[str, C] = {}
        self._process = 0
        self._writing_thread = 0
        self._inherited: list[C] = []

    @property
    def is_writing(self) -> bool:
        """Whether this thread is inside a transaction that writes."""
        return self._writing_thread == threading.get_ident()

    @contextmanager
    def for_statement(self) -> Iterator[C]:
        """The connection for one statement: that of the thread's transaction, if there is one."""
        with self.lock:
            yield self._get("writes" if self.is_writing else "reads")

    @contextmanager
    def for_writing(self) -> Iterator[C]:
        """The connection for writing, for one thread at a time; readers do not wait."""
        with self._turn:
            with self.lock:
                connection = self._get("writes")
            yield connection

    @contextmanager
    def inside_transaction(self) -> Iterator[None]:
        """Within this, statements of this thread belong to its transaction; other threads wait."""
        with self.lock:
            self._writing_thread = threading.get_ident()
            try:
                yield
            finally:
                self._writing_thread = 0

    def close(self) -> None:
        """Close both connections, after a thread that writes has finished."""
        with self._turn, self.lock:
            if self._process == os.getpid():
                for connection in self._open.values():
                    connection.close()
                self._open.clear()

    def _get(self, use: str) -> C:
        if self._open and self._process != os.getpid():
            # connections of the parent process, which only it may close
            self._inherited += self._open.values()
            self._open.clear()
        connection = self._open.get(use)
        if connection is None or not self._is_usable(connection):
            connection = self._open[use] = self._connect()
            self._process = os.getpid()
        return connection
