"""Lines of the library's log, for whoever reads standard error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["log_shown"]


@contextmanager
def log_shown(name: str) -> Iterator[None]:
    """Print what the logger `name` says meanwhile, as it is."""
    log, lines = logging.getLogger(name), logging.StreamHandler()
    level = log.level
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(lines)
