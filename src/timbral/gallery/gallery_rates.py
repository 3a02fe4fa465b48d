"""How often strangers get a name in one gallery, computed at first use."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from timbral.gallery.from_embeddings import EmbeddedSpeakers
from timbral.gallery.search_rates import SearchRates
from timbral.gallery.stranger_searches import Strangers, stranger_searches
from timbral.gallery.voice_search import Voices

if TYPE_CHECKING:
    from timbral.gallery.gallery import Gallery

__all__ = ["GalleryRates"]


class GalleryRates:
    """The rates of searches of strangers among a gallery's voices; can be used in threads."""

    def __init__(self, gallery: Gallery, voices: Voices, strangers: str | Path | None) -> None:
        """`strangers` is an `embed` folder of speakers who are not enrolled."""
        self._gallery, self._voices, self._strangers = gallery, voices, strangers
        self._lock = Lock()
        self._of_less_speech: dict[float, SearchRates] = {}

    @property
    def of_all(self) -> SearchRates:
        """The rates for all recordings."""
        return self.of_less_speech(math.inf)

    def of_less_speech(self, seconds: float) -> SearchRates:
        """The rates for recordings with less net speech than this many seconds."""
        with self._lock:  # other threads wait for the same searches instead of repeating them
            if seconds not in self._of_less_speech:
                self._of_less_speech[seconds] = self._search(seconds)
            return self._of_less_speech[seconds]

    def _search(self, shorter_than: float) -> SearchRates:
        voices, strangers = self._voices, self._known_strangers
        searches = stranger_searches(self._gallery, voices, strangers, shorter_than=shorter_than)
        pairs = voices.pairs(math.inf if shorter_than == math.inf else 0.0)
        return SearchRates(voices.count, searches, pairs)

    @cached_property
    def _known_strangers(self) -> Strangers:
        if self._strangers is None:
            return ()
        embedded = EmbeddedSpeakers.read(self._strangers)
        self._gallery.encoder.check_same(embedded.encoder, self._gallery.location)
        return embedded
