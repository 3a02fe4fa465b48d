"""Messages while long recordings are embedded, which takes from ten seconds to minutes."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from timbral.io.durations import duration
from timbral.io.storage import is_url

if TYPE_CHECKING:
    from timbral.io.types import Progress

__all__ = ["announce_length", "clock_of"]

LONG_SECONDS = 600.0
"""total duration from which messages are printed"""


def announce_length(*paths: str | Path) -> float:
    """Print on standard error that recordings are being read, if they are long.

    Returns their total duration in seconds, from their headers; URLs, and files whose headers do
    not state a duration, count as 0.
    """
    from timbral.audio.decode import stated_seconds  # imports numpy

    stated = [stated_seconds(path) for path in map(str, paths) if not is_url(path)]
    seconds = sum(each for each in stated if each is not None)
    if seconds >= LONG_SECONDS:
        print(f"reading {duration(seconds)} of audio …", file=sys.stderr, flush=True)
    return seconds


def clock_of(seconds: float) -> AbstractContextManager[Progress]:
    """A clock on standard error while recordings of this total duration are embedded, if long.

    The context's value is called with what is done and the total. Nothing else may be printed
    within it.
    """
    if seconds < LONG_SECONDS:
        return nullcontext(lambda done, total: None)
    from timbral.io.progress import clock  # imports rich

    return clock("embedding")
