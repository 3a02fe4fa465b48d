"""Messages of the library's loggers, printed on standard error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["log_shown"]


@contextmanager
def log_shown(name: str) -> Iterator[None]:
    """Within this context, print the messages of the logger `name`, without a prefix."""
    log, handler = logging.getLogger(name), logging.StreamHandler()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
