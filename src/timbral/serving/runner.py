"""Run blocking functions in threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from timbral.serving.refusals import ServiceError
from timbral.serving.request_time import check_time_left, working_until
from timbral.serving.slots import hold_slot_for

__all__ = ["Runner"]

R = TypeVar("R")


class Runner:
    """Runs functions in threads, with the time limit of a request."""

    def __init__(self, threads: int, timeout_seconds: float) -> None:
        self._pool = ThreadPoolExecutor(threads, "request")
        self._timeout = timeout_seconds

    async def __call__(self, function: Callable[[], R]) -> R:
        """The result of `function`; ServiceError (503) when it takes too long.

        A function that has not begun by then is dropped; one that has begun stops when it next
        needs the encoder, and keeps the request's slot until then.
        """
        end = time.monotonic() + self._timeout
        job = self._pool.submit(_until, end, function)
        hold_slot_for(job)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(job), self._timeout)
        except TimeoutError:
            message = f"not finished within {self._timeout:g} s; try again later"
            raise ServiceError(503, "timeout", message) from None

    async def to_the_end(self, function: Callable[[], R]) -> R:
        """Like a call, without a time limit: for changes of a gallery, to report their outcome.

        Its waits are limited nevertheless: for the encoder by the time limit of a request, for
        another process by that of the gallery.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def close(self) -> None:
        """Wait for the running functions."""
        self._pool.shutdown()


def _until(end: float, function: Callable[[], R]) -> R:
    with working_until(end):
        check_time_left()
        return function()
