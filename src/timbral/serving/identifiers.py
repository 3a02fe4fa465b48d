"""Identifiers of one gallery, made again when it has changed: making one copies its vectors."""

from __future__ import annotations

from threading import Lock

from timbral.gallery.gallery import Gallery
from timbral.gallery.identifier import Identifier
from timbral.inference.embedder import Embedder

__all__ = ["Identifiers"]


class Identifiers:
    """An Identifier for each question, of the gallery as it is now: all share its voices."""

    def __init__(self, gallery: Gallery, embedder: Embedder) -> None:
        self._gallery, self._embedder = gallery, embedder
        self._lock = Lock()
        self._version = -1
        self._latest: Identifier | None = None

    def get(self, top: int, false_accept: float | None, prior: float) -> Identifier:
        """Arguments and errors as of `Identifier`.

        How often strangers are given a name is computed by the first question that asks for it; a
        rate that cannot be promised is refused from what is known then.
        """
        with self._lock:  # other requests wait for the same copy of the vectors
            version = self._gallery.version
            if self._latest is None or version != self._version:
                self._latest = Identifier(self._gallery, self._embedder)
                self._version = version
            latest = self._latest
        return latest.asking(top=top, false_accept=false_accept, prior=prior)
