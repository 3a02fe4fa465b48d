"""Decide which recordings may be read for a page: those of the corpus, not all paths in a table.

A table of vectors may be untrusted. A path in it alone must not cause a download, or put a private
recording into a page that is shared.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from timbral.audio.segments import Segment
from timbral.bulk.embed_job import WORK_FOLDER, EmbedJob
from timbral.data.prepared.marks import prepared_format
from timbral.data.sources import find_utterances
from timbral.embeddings.table import UTTERANCES
from timbral.errors import TimbralError
from timbral.io.storage import Folder, is_url, location_of

__all__ = ["ReadableAudio", "Silence", "silence_of"]


@dataclass(frozen=True)
class Silence:
    """The reason why no recording of a table of vectors may be read."""

    reason: str
    """the first recording, and why it may not be read"""
    folder: str
    """the folder with all recordings, to be given as `corpus`; "" if they are not on this
    machine"""


class ReadableAudio:
    """The recordings that may be read: those in the given `corpus`, else those of the `embed` job.

    The latter are the recordings below the job's folder, and those in its table, list or prepared
    data. URLs are read only below a given `corpus`.
    """

    def __init__(self, embeddings: Path, corpus: str | Path | None) -> None:
        self._named = corpus is not None
        self._root = location_of(corpus) if corpus is not None else _corpus_of_job(embeddings)

    def refusal(self, path: str) -> str:
        """Why a recording may not be read; "" if it may."""
        if not path:
            return "the path of its recording is unknown; pass `paths` when you import vectors"
        file = Segment.of(path).file
        if is_url(file):
            below = self._named and self._root is not None and file.startswith(f"{self._root}/")
            needed = "is a URL; URLs are fetched only below the `corpus`, and none is given"
            return "" if below else needed
        if self._root is None:
            return "is not read, because the folder of its corpus is unknown; give it as `corpus`"
        file = os.path.abspath(file)
        if file == self._root or file.startswith(self._root.rstrip("/") + "/"):
            return ""
        if not self._named and file in self._listed:
            return ""
        return f"is outside the corpus {self._root}; give a folder above both as `corpus`"

    @cached_property
    def _listed(self) -> frozenset[str]:
        """The recordings in the job's corpus, if it is a table, a list or prepared data."""
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


def silence_of(embeddings: Path, corpus: str | Path | None) -> Silence | None:
    """Why a page of these vectors would have no audio at all; None if it may have some.

    Also None if the table cannot be read, for which its readers raise an error.
    """
    table = embeddings / UTTERANCES if embeddings.is_dir() else embeddings
    try:
        paths = pyarrow.parquet.read_table(table, columns=["path"])["path"].to_pylist()
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError, MemoryError):
        return None
    audio = ReadableAudio(embeddings, corpus)
    if not paths or not all(map(audio.refusal, paths)):
        return None
    reason = ": ".join(filter(None, (paths[0], audio.refusal(paths[0]))))
    return Silence(reason, _common_folder(path for path in paths if path))


def _common_folder(paths: Iterable[str]) -> str:
    """The common folder of all recordings; "" if one does not exist, or only the root is common."""
    files = {Segment.of(path).file for path in paths}
    if not files or any(is_url(file) or not Path(file).is_file() for file in files):
        return ""
    folder = Path(os.path.commonpath([Path(file).absolute().parent for file in files]))
    return str(folder) if folder != folder.parent else ""


def _corpus_of_job(embeddings: Path) -> str | None:
    """The location of the corpus of an `embed` folder; None if unknown, or a URL."""
    folder = embeddings if embeddings.is_dir() else embeddings.parent
    for path in sorted(folder.glob(f"{WORK_FOLDER}*")):
        try:
            job = EmbedJob.of_folder(Folder(path))
        except (TimbralError, OSError):
            continue
        if job is not None:
            return None if is_url(job.corpus) else job.corpus
    return None
