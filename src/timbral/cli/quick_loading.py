"""Loading torch and an encoder without Python's garbage collector.

It would look at the half million objects of torch's modules again and again while they are made,
and finds nothing: a tenth of a second and more of a short verb.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_collection"]


@contextmanager
def without_collection() -> Iterator[None]:
    """No collection within; what is there at the end is passed over by later ones, too.

    Only the first time in a process: objects of earlier work may be garbage.
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
