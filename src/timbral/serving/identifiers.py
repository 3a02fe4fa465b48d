"""Identifiers of one gallery, made again when it has changed: making one copies its vectors."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from timbral.gallery.gallery import Gallery
from timbral.gallery.identifier import Identifier
from timbral.inference.embedder import Embedder

__all__ = ["Identifiers"]

MOST_KEPT = 4
"""for so many different questions; each holds a copy of the gallery"""


class Identifiers:
    """An Identifier for each question that is asked often, of the gallery as it is now."""

    def __init__(self, gallery: Gallery, embedder: Embedder) -> None:
        self._gallery, self._embedder = gallery, embedder
        self._lock = Lock()
        self._version = -1
        self._made: OrderedDict[tuple[int, float | None, float], Identifier] = OrderedDict()

    def get(self, top: int, false_accept: float | None, prior: float) -> Identifier:
        """Arguments and errors as of `Identifier`."""
        question = (top, false_accept, prior)
        with self._lock:  # who waits for the same one need not make it, too
            version = self._gallery.version
            if version != self._version:
                self._made.clear()
                self._version = version
            if question not in self._made:
                self._made[question] = Identifier(
                    self._gallery,
                    self._embedder,
                    top=top,
                    false_accept=false_accept,
                    prior=prior,
                )
            self._made.move_to_end(question)
            if len(self._made) > MOST_KEPT:
                self._made.popitem(last=False)
            return self._made[question]
