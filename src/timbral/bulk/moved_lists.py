"""Follow the recordings of lists of trials, if the folder that contains them was moved or renamed.

FOLDER/.embed/earlier_roots.json contains all folders where they were before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from timbral.bulk.embed_job import JOB_FILE, RECORDINGS_FILE, WORK_FOLDER, EmbedJob
from timbral.bulk.known_rows import KnownRows
from timbral.data.manifest import Utterance
from timbral.errors import DataError
from timbral.io.json_parsing import parse_json
from timbral.io.storage import Folder, location_below

__all__ = ["earlier_roots", "follow_recordings", "have_moved", "listed_utterance", "read_names"]

EARLIER_ROOTS = "earlier_roots.json"


def listed_utterance(location: str, root: str) -> Utterance:
    """The utterance of a recording in a list; its id is its path, relative to `root` if possible.

    Speaker and session are unknown and therefore empty.
    """
    return Utterance(location.removeprefix(f"{root}/"), "", "", location, "")


def read_names(work: Folder, name: str = RECORDINGS_FILE) -> list[str] | None:
    """The recordings of all lists in a folder of shards; None if it has none.

    `name` is that of the file. Raises DataError if it contains anything else.
    """
    content = work.read(name)
    if content is None:
        return None
    try:
        names = parse_json(content)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise DataError(
            f"{work.location}/{name}: should be a list of paths; delete the folder "
            f"{work.location} to embed its recordings again"
        )
    return names


def have_moved(folder: Path, job: EmbedJob) -> bool:
    """Whether the recordings with vectors in a folder are those of a job, moved there.

    Their vectors are then kept, see `follow_recordings`.
    """
    return _moved(Folder(folder) / WORK_FOLDER, job) is not None


def follow_recordings(work: Folder, job: EmbedJob) -> KnownRows | None:
    """If the recordings in a folder of shards were moved, tie the folder to their new root.

    They were moved if all recordings with vectors in the folder are below the new root, with equal
    relative paths and content, so that no vector is lost. Returns the rows in the folder; None if
    they were not moved.
    """
    moved = _moved(work, job)
    if moved is None:
        return None
    known, locations, before = moved
    known.keep_hashes(work)
    roots = [*(read_names(work, EARLIER_ROOTS) or []), before]
    work.write(EARLIER_ROOTS, _as_json(list(dict.fromkeys(roots))))
    work.write(RECORDINGS_FILE, _as_json(locations))
    work.write(JOB_FILE, job.as_json())
    return known


def earlier_roots(folder: Path, job: EmbedJob) -> list[str]:
    """Where the recordings with vectors in a folder were before they were moved.

    If the folder is tied to another root than that of the job, that is the last one:
    `follow_recordings` has still to find out whether they were moved from there.
    """
    work = Folder(folder) / WORK_FOLDER
    roots = read_names(work, EARLIER_ROOTS) or []
    before = EmbedJob.of_folder(work)
    return [*roots, before.corpus] if before and before.has_moved_to(job) else roots


def _moved(work: Folder, job: EmbedJob) -> tuple[KnownRows, list[str], str] | None:
    """The rows, the new locations of all recordings and the earlier root; None if not moved."""
    before, names = EmbedJob.of_folder(work), read_names(work)
    if before is None or names is None or not before.has_moved_to(job):
        return None
    locations = [_moved_to(name, before.corpus, job.corpus) for name in names]
    utterances = [listed_utterance(location, job.corpus) for location in locations]
    known = KnownRows()
    known.add_all(work)
    if not known.are_all_among(utterances) or not known.holds_any_of(utterances):
        return None
    return known, locations, before.corpus


def _moved_to(name: str, before: str, root: str) -> str:
    """Where a recording should be; a killed job may have written that already."""
    return location_below(root, listed_utterance(name, before).utterance)


def _as_json(names: Sequence[str]) -> bytes:
    return json.dumps(names, ensure_ascii=False).encode()
