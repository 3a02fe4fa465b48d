"""Limit how many requests are in progress, per token and in total.

A request gives its slot back when nothing works for it any more. After a timeout it keeps the slot
as long as a thread still works for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any

from timbral.serving.refusals import ServiceError
from timbral.serving.settings import ServiceSettings

__all__ = ["Slots", "hold_slot_for"]


class _Slot:
    """The slot of one request; given back when all its holders have released it."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back, self._holders, self._lock = give_back, 1, Lock()

    def hold_for(self, job: Future[Any]) -> None:
        with self._lock:
            if not self._holders:  # its request has ended: the next one on the connection may
                return  # run in the context of this one, and may have no slot
            self._holders += 1
        job.add_done_callback(lambda _: self.let_go())

    def let_go(self) -> None:
        with self._lock:
            self._holders -= 1
            is_free = not self._holders
        if is_free:
            self._give_back()


_slot: ContextVar[_Slot | None] = ContextVar("slot", default=None)


def hold_slot_for(job: Future[Any]) -> None:
    """Keep the slot of the current request until this job has ended, too."""
    slot = _slot.get()
    if slot is not None:
        slot.hold_for(job)


class Slots:
    """The slots of one service."""

    def __init__(self, settings: ServiceSettings, changed: Callable[[int], None]) -> None:
        """`changed` is called with the number of taken slots when that changes."""
        self._settings, self._changed = settings, changed
        self._taken: Counter[int] = Counter()
        self._lock = Lock()

    @contextmanager
    def taken(self, token: int) -> Iterator[None]:
        """A slot for a request with this token (-1: none); ServiceError if none is free."""
        with self._lock:
            self._check(token)
            self._taken[token] += 1
            self._changed(self._taken.total())
        slot = _Slot(lambda: self._give_back(token))
        current = _slot.set(slot)
        try:
            yield
        finally:
            _slot.reset(current)
            slot.let_go()

    def _give_back(self, token: int) -> None:
        with self._lock:
            self._taken[token] -= 1
            self._changed(self._taken.total())

    def _check(self, token: int) -> None:
        settings = self._settings
        if token >= 0 and 0 < settings.max_per_token <= self._taken[token]:
            message = (
                f"{settings.max_per_token} requests of this token are in progress; wait for them"
            )
            raise ServiceError(429, "too-many-requests", message)
        if self._taken.total() >= settings.max_waiting:
            message = f"{settings.max_waiting} requests are in progress; try again later"
            raise ServiceError(503, "overloaded", message)
