"""Which recordings a page may hold: those of the corpus, not all that a table names.

A table of vectors may be a stranger's. Its paths alone make nothing be fetched, and put no private
recording into a page that is passed on.
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
from timbral.bulk.embed_job import JOB_FILE, WORK_FOLDER, EmbedJob
from timbral.data.prepared.marks import prepared_format
from timbral.data.sources import find_utterances
from timbral.embeddings.table import UTTERANCES
from timbral.errors import TimbralError
from timbral.io.storage import is_url, location_of

__all__ = ["ReadableAudio", "Silence", "silence_of"]


@dataclass(frozen=True)
class Silence:
    """That no recording of a table of vectors may be read."""

    reason: str
    """the first recording, and why it is not read"""
    folder: str
    """that holds them all, to be named as `corpus`; "" where they are not on this machine"""


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


def silence_of(embeddings: Path, corpus: str | Path | None) -> Silence | None:
    """Whether a page of these vectors would have no sound at all; None where it may have some.

    None, too, where the table cannot be read, which its readers tell.
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
    """The lowest folder above all recordings; "" where one is elsewhere, or only the root is."""
    files = {Segment.of(path).file for path in paths}
    if not files or any(is_url(file) or not Path(file).is_file() for file in files):
        return ""
    folder = Path(os.path.commonpath([Path(file).absolute().parent for file in files]))
    return str(folder) if folder != folder.parent else ""


def _corpus_of_job(embeddings: Path) -> str | None:
    """Where the corpus of an `embed` folder lies, if it says so and that is no URL."""
    folder = embeddings if embeddings.is_dir() else embeddings.parent
    for path in sorted(folder.glob(f"{WORK_FOLDER}*/{JOB_FILE}")):
        try:
            corpus = EmbedJob.parse(path.read_bytes(), str(path)).corpus
        except (TimbralError, OSError):
            continue
        return None if is_url(corpus) else corpus
    return None
