"""Which recordings a page may hold: those of the corpus, not all that a table names.

A table of vectors may be a stranger's. Its paths alone make nothing be fetched, and put no private
recording into a page that is passed on.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from timbral.audio.segments import Segment
from timbral.bulk.embed_job import JOB_FILE, EmbedJob
from timbral.data.prepared.marks import prepared_format
from timbral.data.sources import find_utterances
from timbral.errors import TimbralError
from timbral.io.storage import is_url, location_of

__all__ = ["ReadableAudio"]


class ReadableAudio:
    """What lies below the `corpus` that was named, else what the `embed` job was about.

    Of the job that is: recordings below its folder, and those that its table, list or prepared
    data names. URLs are read only below a `corpus` that was named.
    """

    def __init__(self, embeddings: Path, corpus: str | Path | None) -> None:
        self._named = corpus is not None
        self._root = location_of(corpus) if corpus is not None else _corpus_of_job(embeddings)

    def refusal(self, path: str) -> str:
        """Why a recording is not read; "" for one that may be."""
        if not path:
            return "no recording of it is known; name them as `paths` when vectors are imported"
        file = Segment.of(path).file
        if is_url(file):
            below = self._named and self._root is not None and file.startswith(f"{self._root}/")
            return "" if below else "is a URL, which is fetched only below a `corpus` that is named"
        if self._root is None:
            return "is not read, for no `corpus` is known that it is of; name its folder"
        file = os.path.abspath(file)
        if file == self._root or file.startswith(self._root.rstrip("/") + "/"):
            return ""
        if not self._named and file in self._listed:
            return ""
        return f"lies outside the corpus {self._root}; name a folder above it as `corpus`"

    @cached_property
    def _listed(self) -> frozenset[str]:
        """The recordings that the job's corpus names where it is a table, a list or prepared."""
        assert self._root is not None
        root = Path(self._root)
        layouts = ["folder"] if root.is_file() or prepared_format(root) else ["kaldi", "lhotse"]
        for layout in layouts:
            try:
                rows = find_utterances(root, layout)
            except (TimbralError, OSError):
                continue
            return frozenset(os.path.abspath(Segment.of(row.path).file) for row in rows)
        return frozenset()


def _corpus_of_job(embeddings: Path) -> str | None:
    """Where the corpus of an `embed` folder lies, if it says so and that is no URL."""
    folder = embeddings if embeddings.is_dir() else embeddings.parent
    for path in sorted(folder.glob(f".embed*/{JOB_FILE}")):
        try:
            corpus = EmbedJob.parse(path.read_bytes(), str(path)).corpus
        except (TimbralError, OSError):
            continue
        return None if is_url(corpus) else corpus
    return None
