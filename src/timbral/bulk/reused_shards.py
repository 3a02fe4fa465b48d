"""Vectors that an earlier `embed` job left in another folder: taken over into that of a new one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from timbral.bulk.embed_job import (
    JOB_FILE,
    RECORDINGS_FILE,
    WORK_FOLDER,
    EmbedJob,
    tie_folder,
)
from timbral.bulk.shards import shard_file_name
from timbral.errors import DataError
from timbral.io.storage import Folder, is_url, location_of

__all__ = ["take_over_shards"]


def take_over_shards(earlier: str | Path, folder: Folder, job: EmbedJob, num_shards: int) -> None:
    """Copy the shards of the same job that lie in the output folder `earlier` into `folder`.

    Those of recordings that have changed since are embedded again afterwards, as in a second run.
    `folder` is tied to the job first, so that a killed copy is nobody else's, and one that has
    begun keeps its own shards. Raises DataError where `earlier` holds no vectors of this encoder
    and corpus, or `folder` those of another job.
    """
    source = _shards_of(earlier, job)
    has_begun = folder.read(JOB_FILE) is not None
    tie_folder(folder, job)
    for number in count():
        name = shard_file_name(number)
        if has_begun and folder.has(name):
            continue
        content = source.read(name)
        if content is not None:
            folder.write(name, content)
        elif number >= num_shards:  # a killed job has gaps
            return


def _shards_of(earlier: str | Path, job: EmbedJob) -> Folder:
    """The folder of shards of the same job; formats beside the audio have one for each encoder."""
    reason = "is not a folder of `timbral embed`, so there are no vectors to reuse"
    for folder in _candidates(earlier):
        content = folder.read(JOB_FILE)
        if content is None or folder.read(RECORDINGS_FILE) is not None:
            continue
        there = EmbedJob.parse(content, f"{folder.location}/{JOB_FILE}")
        words = there.differing_words(job)
        if not words:
            return folder
        reason = f"its vectors cannot be reused: they were made with other {words}"
    raise DataError(f"{location_of(earlier)}: {reason}")


def _candidates(earlier: str | Path) -> Iterator[Folder]:
    yield Folder(earlier) / WORK_FOLDER
    if not is_url(earlier):
        yield from map(Folder, sorted(Path(earlier).glob(f"{WORK_FOLDER}-*")))
