"""Deadlines of requests: no work is begun for a request past its deadline."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from timbral.serving.refusals import ServiceError

__all__ = ["check_time_left", "deadline", "too_busy", "working_until"]

_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


@contextmanager
def working_until(moment: float) -> Iterator[None]:
    """Set the deadline of the request that this thread works for, on the monotonic clock."""
    token = _deadline.set(moment)
    try:
        yield
    finally:
        _deadline.reset(token)


def deadline() -> float:
    """The deadline of the request that this thread works for; infinity outside of requests."""
    return _deadline.get()


def check_time_left() -> None:
    """Raise ServiceError (503) past the deadline, when the client has its answer already."""
    if time.monotonic() > _deadline.get():
        raise too_busy()


def too_busy() -> ServiceError:
    """The error (503) of a request that could not be computed in time."""
    return ServiceError(503, "timeout", "the service is too busy at the moment; try again later")
