"""What blocks runs in threads."""

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
    """Runs functions in threads, each for as long as a request may take."""

    def __init__(self, threads: int, timeout_seconds: float) -> None:
        self._pool = ThreadPoolExecutor(threads, "request")
        self._timeout = timeout_seconds

    async def __call__(self, function: Callable[[], R]) -> R:
        """The result of `function`; ServiceError (503) when it takes too long.

        What has not begun by then never does; what has ends at the next piece that it would hand to
        the encoder, and keeps the request's place until then.
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
        """As a call, without an end: for what changes a gallery, whose answer must be true.

        Its parts are bounded: what waits for the encoder by the time of a request, what waits for
        another process by the gallery's.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def close(self) -> None:
        """Wait for what runs."""
        self._pool.shutdown()


def _until(end: float, function: Callable[[], R]) -> R:
    with working_until(end):
        check_time_left()
        return function()
