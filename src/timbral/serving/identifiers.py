"""Identifiers of a gallery: each copies the vectors, so it is kept until the gallery changes."""

from __future__ import annotations

from threading import Lock

from timbral.gallery.gallery import Gallery
from timbral.gallery.identifier import Identifier
from timbral.inference.embedder import Embedder

__all__ = ["Identifiers"]


class Identifiers:
    """Identifiers of the current gallery for different settings; all share its voices."""

    def __init__(self, gallery: Gallery, embedder: Embedder) -> None:
        self._gallery, self._embedder = gallery, embedder
        self._lock = Lock()
        self._version = -1
        self._latest: Identifier | None = None

    def get(self, top: int, false_accept: float | None, prior: float) -> Identifier:
        """An Identifier of the current gallery; arguments and errors as for `Identifier`.

        The false accept rates of the gallery are measured by the first request that needs them, and
        decide whether a `false_accept` can be promised.
        """
        with self._lock:  # other requests wait for the same copy of the vectors
            version = self._gallery.version
            if self._latest is None or version != self._version:
                self._latest = Identifier(self._gallery, self._embedder)
                self._version = version
            latest = self._latest
        return latest.with_settings(top=top, false_accept=false_accept, prior=prior)
