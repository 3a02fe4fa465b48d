"""Vectors of another folder, or of a corpus that lay elsewhere, for a job that begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from timbral.bulk.embed_job import (
    JOB_FILE,
    RECORDINGS_FILE,
    WORK_FOLDER,
    EmbedJob,
    tie_folder,
)
from timbral.bulk.known_rows import KnownRows
from timbral.data.manifest import Utterance
from timbral.errors import DataError
from timbral.io.storage import Folder, is_url, location_of

__all__ = ["begin_job"]


def begin_job(
    folder: Folder,
    job: EmbedJob,
    utterances: Sequence[Utterance],
    reuse: str | Path | None,
    *,
    beside_audio: bool,
) -> tuple[KnownRows, str]:
    """Tie a folder of shards to a job; what it knows already, and where its corpus was, or "".

    Raises DataError where the folder is another job's, or `reuse` has nothing for this one.
    """
    known = KnownRows()
    moved_from = _follow_corpus(folder, job, utterances, known, beside_audio)
    if reuse is None:
        tie_folder(folder, job)
    else:
        _begin_with(reuse, folder, job, utterances, known)
    return known, moved_from


def _begin_with(
    earlier: str | Path,
    folder: Folder,
    job: EmbedJob,
    utterances: Sequence[Utterance],
    known: KnownRows,
) -> None:
    """Tie `folder` to a job that begins with the vectors of the output folder `earlier`.

    Shards of the same job are copied; those of recordings that have changed since are embedded
    again afterwards, as in a second run. The rows of another corpus become `known`: those of the
    same recordings are found among them. `folder` is tied to the job before the first copy, so
    that a killed one is nobody else's, and one that has begun keeps its own shards. Raises
    DataError where `earlier` holds no vectors of this encoder, or none of these recordings, or
    `folder` those of another job.
    """
    source, its_job = _shards_of(earlier, job)
    has_begun = folder.read(JOB_FILE) is not None
    if its_job != job:
        known.add_all(source)
        if not has_begun and not known.holds_any_of(utterances):
            raise DataError(
                f"{location_of(earlier)}: has no vectors to reuse: none of the recordings of its "
                f"corpus ({its_job.corpus}) has the content of one of these"
            )
    tie_folder(folder, job)
    for name in source.names() if its_job == job else ():
        if name.endswith(".arrow") and not (has_begun and folder.has(name)):
            folder.write(name, source.read(name) or b"")


def _follow_corpus(
    folder: Folder,
    job: EmbedJob,
    utterances: Sequence[Utterance],
    known: KnownRows,
    beside_audio: bool,
) -> str:
    """Tie a folder of shards to the job of its corpus where that was moved; where it was, or "".

    A corpus was moved if each recording with a vector in the folder is there with its id and its
    content, so that no vector is lost. Beside the audio, the folder was moved with its corpus.
    The rows of the folder become `known`. Nothing is done for any other job.
    """
    content = folder.read(JOB_FILE)
    if content is None or folder.read(RECORDINGS_FILE) is not None:
        return ""
    before = EmbedJob.parse(content, f"{folder.location}/{JOB_FILE}")
    if not before.has_moved_to(job):
        return ""
    known.add_all(folder)
    if not beside_audio and not known.are_all_among(utterances):
        return ""
    folder.write(JOB_FILE, job.as_json())
    return before.corpus


def _shards_of(earlier: str | Path, job: EmbedJob) -> tuple[Folder, EmbedJob]:
    """The folder of shards of the same encoder; formats beside the audio have one for each."""
    reason = "is not a folder of `timbral embed`, so there are no vectors to reuse"
    for folder in _candidates(earlier):
        content = folder.read(JOB_FILE)
        if content is None or folder.read(RECORDINGS_FILE) is not None:
            continue
        there = EmbedJob.parse(content, f"{folder.location}/{JOB_FILE}")
        words = there.differing_words(replace(job, corpus=there.corpus))
        if not words:
            return folder, there
        reason = f"its vectors cannot be reused: they were made with other {words}"
    raise DataError(f"{location_of(earlier)}: {reason}")


def _candidates(earlier: str | Path) -> Iterator[Folder]:
    yield Folder(earlier) / WORK_FOLDER
    if not is_url(earlier):
        yield from map(Folder, sorted(Path(earlier).glob(f"{WORK_FOLDER}-*")))
