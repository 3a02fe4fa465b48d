"""The job of an `embed` folder: all that its vectors depend on, stored as job.json.

A folder contains the vectors of one job: other weights or another corpus need another folder.
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
"""name of the folder for shards in the output folder; with formats that are written next to the
audio, each encoder has its own, .embed-NAME"""
JOB_FILE = "job.json"
RECORDINGS_FILE = "recordings.json"
"""marks a folder that lists of trials share, see `timbral.bulk.embed_list`"""


@dataclass(frozen=True)
class EmbedJob:
    """The weights, how they are applied, and the corpus."""

    weights_sha256: str
    preprocessing: dict[str, Any]
    windows: list[float] | None
    """frames, step and least coverage of the encoder's windows; None: it has none"""
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
        """The job for recordings from anywhere, which are identified by their files."""
        return replace(cls.of(embedder, ""), corpus="")

    @classmethod
    def of_folder(cls, folder: Folder) -> EmbedJob | None:
        """The job that a folder of shards is tied to; None if it is tied to none.

        Raises DataError if job.json contains anything else.
        """
        content = folder.read(JOB_FILE)
        return None if content is None else cls._parse(content, f"{folder.location}/{JOB_FILE}")

    @classmethod
    def _parse(cls, content: bytes, path: str) -> EmbedJob:
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
        """SHA-256 of the job, for names of folders."""
        return hashlib.sha256(self.as_json()).hexdigest()

    def has_moved_to(self, other: EmbedJob) -> bool:
        """Whether the other job differs only in the location of its corpus."""
        return self != other and replace(self, corpus=other.corpus) == other

    def differing_words(self, other: EmbedJob) -> str:
        """How this job differs, such as "recordings, of another corpus"; "" if it does not."""
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
"""names of fields in messages, if they differ from the fields' own"""
ALLOWED_TYPES: dict[str, tuple[type, ...]] = {
    "weights_sha256": (str,),
    "preprocessing": (dict,),
    "windows": (list, type(None)),
    "precision": (str,),
    "corpus": (str,),
}


def tie_folder(
    folder: Folder, job: EmbedJob, *, of_lists: bool = False, results: Path | None = None
) -> None:
    """Tie a folder of shards to a job; DataError if it belongs to another one.

    `of_lists`: whether the recordings are from lists of trials. Such a folder cannot be used for a
    corpus, and vice versa, because each would replace the other's shards. `results`: a folder with
    results from the vectors, which belongs to the other job, too; it may contain `folder`.
    """
    found = EmbedJob.of_folder(folder)
    if found is None:
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
    differing = found.differing_words(job)
    if differing:
        reuse = REUSE if found.has_moved_to(job) and not of_lists else ""
        others, deleted = "another output folder", folder.location
        if results and Path(folder.location).is_relative_to(results.absolute()):
            deleted = str(results)
        elif results:
            others, deleted = "other folders for vectors and output", f"{deleted} and {results}"
        raise DataError(
            f"{folder.location}: contains vectors made with other {differing}; choose {others}"
            f"{reuse}, or delete {deleted} to embed everything again"
        )
