"""Loading torch and an encoder without Python's garbage collector.

While torch's modules are imported, the collector would traverse their half million objects again
and again and find no garbage, which takes a tenth of a second or more of a short verb.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_collection"]


@contextmanager
def without_collection() -> Iterator[None]:
    """Disable garbage collection within this context; later collections skip what it created.

    Has an effect only the first time in a process: later, existing objects may be garbage.
    """
    if not gc.isenabled() or gc.get_freeze_count():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
