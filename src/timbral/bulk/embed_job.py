"""What decides the vectors of an `embed` folder, kept in it as job.json.

A folder is only ever filled by one such job: other weights or another corpus need another folder.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

from timbral.errors import DataError
from timbral.inference.embedder import Embedder
from timbral.io.json_parsing import parse_json
from timbral.io.storage import Folder, location_of

__all__ = ["JOB_FILE", "RECORDINGS_FILE", "WORK_FOLDER", "EmbedJob", "tie_folder"]

WORK_FOLDER = ".embed"
"""of a job in its output folder; formats beside the audio have one for each encoder, .embed-NAME"""
JOB_FILE = "job.json"
RECORDINGS_FILE = "recordings.json"
"""in a folder that lists of trials share, see `timbral.bulk.embed_list`"""


@dataclass(frozen=True)
class EmbedJob:
    """The weights, how they are applied, and to which corpus."""

    weights_sha256: str
    preprocessing: dict[str, Any]
    windows: list[float] | None
    """frames, step, least coverage, of an encoder that takes windows"""
    precision: str
    corpus: str

    @classmethod
    def of(cls, embedder: Embedder, root: str | Path) -> EmbedJob:
        windows = embedder.windows
        return cls(
            weights_sha256=embedder.weights_identity(),
            preprocessing=embedder.preprocessing.as_dict(),
            windows=None if windows is None else list(astuple(windows)),
            precision=embedder.precision,
            corpus=location_of(root),
        )

    @classmethod
    def of_recordings(cls, embedder: Embedder) -> EmbedJob:
        """That of recordings from anywhere, which are told by their files, not by a corpus."""
        return replace(cls.of(embedder, ""), corpus="")

    @classmethod
    def parse(cls, content: bytes, path: str) -> EmbedJob:
        """Read job.json; DataError, naming `path`, for anything else."""
        try:
            values = parse_json(content)
        except ValueError as error:
            raise DataError(f"{path}: is not readable JSON ({error}); {DELETE_FOLDER}") from None
        if not isinstance(values, dict) or values.keys() != ALLOWED_TYPES.keys():
            raise DataError(
                f"{path}: should contain only {', '.join(ALLOWED_TYPES)}; {DELETE_FOLDER}"
            )
        for name, allowed in ALLOWED_TYPES.items():
            if not isinstance(values[name], allowed):
                raise DataError(
                    f"{path}: {name} cannot be {json.dumps(values[name])}; {DELETE_FOLDER}"
                )
        return cls(**values)

    def as_json(self) -> bytes:
        return json.dumps(asdict(self), indent=2).encode()

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides the vectors, of which names of folders are made."""
        return hashlib.sha256(self.as_json()).hexdigest()

    def has_moved_to(self, other: EmbedJob) -> bool:
        """Whether the other job is the same but for where its corpus is."""
        return self != other and replace(self, corpus=other.corpus) == other

    def differing_words(self, other: EmbedJob) -> str:
        """What is not the same here, such as "recordings, of another corpus"; "" for nothing."""
        values, other_values = asdict(self), asdict(other)
        differing = [name for name in values if values[name] != other_values[name]]
        words = ", and other ".join(WORDS.get(name, name) for name in differing)
        return f"{words} ({self.corpus})" if self.corpus and differing[-1:] == ["corpus"] else words


DELETE_FOLDER = "delete its folder; its recordings are then embedded again"
REUSE = " (with `reuse`, it takes over the vectors of the recordings that are the same)"
WORDS = {
    "weights_sha256": "weights, of another encoder (weights_sha256)",
    "windows": "windows of utterances",
    "corpus": "recordings, of another corpus",
}
"""for the fields that do not speak for themselves"""
ALLOWED_TYPES: dict[str, tuple[type, ...]] = {
    "weights_sha256": (str,),
    "preprocessing": (dict,),
    "windows": (list, type(None)),
    "precision": (str,),
    "corpus": (str,),
}


def tie_folder(folder: Folder, job: EmbedJob, *, of_lists: bool = False) -> None:
    """Tie a folder of shards to a job; DataError when it is another job's.

    `of_lists`: whether lists of trials name the recordings; a corpus's job takes no such folder,
    and the other way round, for each would replace the other's shards.
    """
    content = folder.read(JOB_FILE)
    if content is None:
        folder.write(JOB_FILE, job.as_json())
        return
    if of_lists != (folder.read(RECORDINGS_FILE) is not None):
        there, here = (
            ("a corpus", "lists of trials") if of_lists else ("lists of trials", "a corpus")
        )
        raise DataError(
            f"{folder.location}: contains the vectors of {there}; they would be replaced by those "
            f"of {here}. Choose another output folder"
        )
    found = EmbedJob.parse(content, f"{folder.location}/{JOB_FILE}")
    differing = found.differing_words(job)
    if differing:
        reuse = REUSE if found.has_moved_to(job) and not of_lists else ""
        raise DataError(
            f"{folder.location}: contains vectors made with other {differing}; choose another "
            f"output folder{reuse}, or delete {folder.location} to embed everything again"
        )
