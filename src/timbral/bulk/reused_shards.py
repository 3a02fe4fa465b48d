"""Begin a job with the vectors of another folder, or of a corpus that was moved."""

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
    """Tie a folder of shards to a job; returns known rows and the corpus's earlier location or "".

    Raises DataError if the folder belongs to another job, or `reuse` has no vectors for this one.
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
    """Tie `folder` to a job that begins with the vectors in the output folder `earlier`.

    Shards of the same job are copied; those with changed recordings are embedded again later, as in
    a second run. The rows of another corpus are added to `known`, where the same recordings are
    found. `folder` is tied to the job before the first copy, so that after a kill no other job
    takes it; a job that has begun keeps its own shards.

    Raises DataError if `earlier` has no vectors of this encoder or none of these recordings, or if
    `folder` belongs to another job.
    """
    source, earlier_job = _shards_of(earlier, job)
    has_begun = folder.read(JOB_FILE) is not None
    if earlier_job != job:
        known.add_all(source)
        if not has_begun and not known.holds_any_of(utterances):
            raise DataError(
                f"{location_of(earlier)}: has no vectors to reuse: none of the recordings of its "
                f"corpus ({earlier_job.corpus}) has the content of one of these"
            )
    tie_folder(folder, job)
    for name in source.names() if earlier_job == job else ():
        if name.endswith(".arrow") and not (has_begun and folder.has(name)):
            folder.write(name, source.read(name) or b"")


def _follow_corpus(
    folder: Folder,
    job: EmbedJob,
    utterances: Sequence[Utterance],
    known: KnownRows,
    beside_audio: bool,
) -> str:
    """If the corpus of a folder of shards was moved, tie the folder to its new job.

    Returns the corpus's earlier location; "" if it was not moved. It was moved if all recordings
    with vectors in the folder are in the new corpus, with equal ids and content, so that no vector
    is lost; a folder next to the audio was moved with its corpus. The rows of the folder are added
    to `known`.
    """
    before = EmbedJob.of_folder(folder)
    if before is None or folder.read(RECORDINGS_FILE) is not None or not before.has_moved_to(job):
        return ""
    known.add_all(folder)
    if not beside_audio and not known.are_all_among(utterances):
        return ""
    known.keep_hashes(folder)
    folder.write(JOB_FILE, job.as_json())
    return before.corpus


def _shards_of(earlier: str | Path, job: EmbedJob) -> tuple[Folder, EmbedJob]:
    """The folder of shards of the same encoder in `earlier`, and its job.

    Formats next to the audio have one such folder per encoder.
    """
    reason = "is not a folder of `timbral embed`, so there are no vectors to reuse"
    for folder in _candidates(earlier):
        found = EmbedJob.of_folder(folder)
        if found is None or folder.read(RECORDINGS_FILE) is not None:
            continue
        differing = found.differing_words(replace(job, corpus=found.corpus))
        if not differing:
            return folder, found
        reason = f"its vectors cannot be reused: they were made with other {differing}"
    raise DataError(f"{location_of(earlier)}: {reason}")


def _candidates(earlier: str | Path) -> Iterator[Folder]:
    yield Folder(earlier) / WORK_FOLDER
    if not is_url(earlier):
        yield from map(Folder, sorted(Path(earlier).glob(f"{WORK_FOLDER}-*")))
