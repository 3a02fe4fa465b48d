"""Embed the recordings of lists, one list after another, into one `embed` folder.

FOLDER/.embed/recordings.json contains the recordings of all lists, in the order in which they were
added. Shards are made from it, so for a further list only its new recordings are embedded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from timbral.bulk.embed_job import JOB_FILE, RECORDINGS_FILE, WORK_FOLDER, EmbedJob, tie_folder
from timbral.bulk.engines import DEFAULT_ENGINE, Engine
from timbral.bulk.inputs import input_of
from timbral.bulk.known_rows import KnownRows
from timbral.bulk.moved_lists import follow_recordings, listed_utterance, read_names
from timbral.bulk.shard_work import EmbedProgress, embed_missing, read_shards, write_failures
from timbral.bulk.shards import Shard, split_into_shards
from timbral.data.manifest import Manifest
from timbral.embeddings.precision import with_precision
from timbral.embeddings.table import UTTERANCES, write_parquet
from timbral.inference.embedder import Embedder
from timbral.io.files import atomic_write
from timbral.io.locks import folder_lock
from timbral.io.outputs import EMBEDDINGS, claim_folder
from timbral.io.storage import Folder, location_below

__all__ = ["ListSummary", "embed_recordings"]


@dataclass(frozen=True)
class ListSummary:
    """The result of embedding the recordings of a list."""

    num_recordings: int
    failures: list[dict[str, str]]
    """path, reason and kind for each unusable recording of this list"""


def embed_recordings(
    embedder: Embedder,
    names: Iterable[str],
    root: str | Path,
    folder: Path,
    *,
    results: Path | None = None,
    engine: Engine = DEFAULT_ENGINE,
    progress: EmbedProgress = lambda done, total, seconds, failures: None,
) -> ListSummary:
    """Embed the recordings of a list into `folder`, as utterances.parquet.

    Vectors of earlier lists of the same encoder and root are kept, and not computed again, also if
    the root was moved or renamed. The ids of utterances are their paths, relative to `root` or
    absolute; speakers and sessions are unknown and therefore empty. A killed job resumes.

    Args:
        embedder: the encoder
        names: paths of the recordings, relative to `root` or absolute
        root: the folder or URL that relative paths refer to
        folder: the `embed` folder
        results: a folder with results from the vectors in `folder`, for errors
        engine: how to parallelize
        progress: as for `embed_corpus`

    Raises DataError if the folder has vectors of another encoder or of a corpus, or anything else.
    """
    locations = sorted({location_below(root, name) for name in names})
    input_of(embedder, locations[0])  # raises before a folder is claimed
    claim_folder(folder, EMBEDDINGS)
    with folder_lock(folder):
        work = Folder(folder) / WORK_FOLDER
        job = EmbedJob.of(embedder, root)
        moved = follow_recordings(work, job)
        known = moved or KnownRows()
        listed = _claim(work, job, results)
        if new := sorted(set(locations) - set(listed)):
            listed += new
            work.write(RECORDINGS_FILE, json.dumps(listed, ensure_ascii=False).encode())
            known.add_all(work)  # a recording may be in the folder under another path
        utterances = Manifest.of(listed_utterance(each, job.corpus) for each in listed)
        shards = split_into_shards(utterances, embedder.device.type, work)
        wanted = set(locations)
        needed = [
            shard
            for shard in shards
            if wanted & {row.path for row in shard.utterances}
            or (moved and work.has(shard.file_name))
        ]
        embed_missing(embedder, needed, work, engine, progress, known)
        table, failures = read_shards(_saved(shards, needed, work), work, utterances)
        write_failures(failures, folder)
        with atomic_write(folder / UTTERANCES) as temporary:
            write_parquet(with_precision(table, embedder.precision), temporary)
    failed = [failure for failure in failures if failure["path"] in wanted]
    return ListSummary(len(locations), failed)


def _claim(work: Folder, job: EmbedJob, results: Path | None) -> list[str]:
    """Tie a folder of shards to a job of lists; returns the recordings in it."""
    if work.read(RECORDINGS_FILE) is None and work.read(JOB_FILE) is None:
        # written first, so that a folder whose job was killed here is not taken for a corpus's
        work.write(RECORDINGS_FILE, b"[]")
    tie_folder(work, job, of_lists=True, results=results)
    listed = read_names(work)
    assert listed is not None
    return listed


def _saved(shards: Sequence[Shard], needed: Sequence[Shard], work: Folder) -> list[Shard]:
    """The shards to read: those of this list, and those of others that are still valid."""
    embedded = {shard.number for shard in needed}
    return [
        shard
        for shard in shards
        if shard.number in embedded or shard.saved_failures(work) is not None
    ]
