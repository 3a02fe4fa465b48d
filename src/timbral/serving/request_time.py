"""Until when the request whose work this is may take; what is past it is not begun."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from timbral.serving.refusals import ServiceError

__all__ = ["TOO_MUCH", "check_time_left", "deadline", "working_until"]

TOO_MUCH = "the service is too busy at the moment; try again later"
_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


@contextmanager
def working_until(moment: float) -> Iterator[None]:
    """What this thread does inside is for a request that ends then, on the monotonic clock."""
    token = _deadline.set(moment)
    try:
        yield
    finally:
        _deadline.reset(token)


def deadline() -> float:
    """When the request ends that this thread works for; infinity outside of requests."""
    return _deadline.get()


def check_time_left() -> None:
    """ServiceError (503) for a request that is past its time: nobody waits for it any more."""
    if time.monotonic() > _deadline.get():
        raise ServiceError(503, "timeout", TOO_MUCH)
