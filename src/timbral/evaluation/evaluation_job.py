"""The job of an evaluation: all that its scores depend on, stored as .evaluation/job.json.

A folder contains the scores of one job: another list, other weights or other recordings need
another folder.
"""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from timbral.bulk.embed_job import WORK_FOLDER, EmbedJob
from timbral.bulk.moved_lists import earlier_roots, have_moved
from timbral.errors import DataError
from timbral.inference.embedder import Embedder
from timbral.io.files import file_sha256, read_json, write_json
from timbral.io.outputs import EVALUATION, claim_folder
from timbral.io.storage import Folder, location_of
from timbral.scoring.score_options import ScoreOptions

__all__ = [
    "RESULTS",
    "VECTORS",
    "EvaluationJob",
    "claim_evaluation",
    "default_folders",
    "folder_for",
    "read_result",
    "store_job",
    "vectors_for",
]

VECTORS = "vectors"
"""name of the folder of vectors in that of an evaluation, or next to those of several"""
RESULTS = "evaluation.json"
"""name of the file with the results in the folder of an evaluation"""

OWN_FOLDER = ".evaluation"
JOB_NAME = "job.json"


@dataclass(frozen=True)
class EvaluationJob:
    """Weights, how they are applied, trials, and the folder of the recordings."""

    weights_sha256: str
    embedding_sha256: str
    """hash of preprocessing and windows"""
    precision: str
    trials_sha256: str
    """hash of the list's file"""
    root: str
    scoring: str
    """normalization and its cohort; empty for cosines"""

    @classmethod
    def of(
        cls, embedder: Embedder, trials_sha256: str, root: str | Path, options: ScoreOptions
    ) -> EvaluationJob:
        return cls(
            weights_sha256=embedder.weights_identity(),
            embedding_sha256=embedder.embedding_identity(),
            precision=embedder.precision,
            trials_sha256=trials_sha256,
            root=location_of(root),
            scoring=options.scoring,
        )

    @classmethod
    def of_folder(cls, folder: Path) -> EvaluationJob | None:
        """The job of the scores in a folder; None if there are none. DataError for other JSON."""
        path = folder / OWN_FOLDER / JOB_NAME
        if not path.exists():
            return None
        content = read_json(path)
        names = cls.__dataclass_fields__.keys()
        if (
            not isinstance(content, dict)
            or content.keys() != names
            or not all(isinstance(value, str) for value in content.values())
        ):
            raise DataError(
                f"{path}: should contain {', '.join(names)} and nothing else; delete the folder "
                f"{folder} to evaluate again"
            )
        return cls(**content)

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()

    def followed(self, job: EvaluationJob, earlier_roots: Collection[str]) -> EvaluationJob:
        """This job with the root of another one, if the recordings were moved there."""
        return replace(self, root=job.root) if self.root in earlier_roots else self

    def difference(self, other: EvaluationJob) -> str:
        """How another job differs from this one, as text."""
        if self.weights_sha256 != other.weights_sha256:
            return f"other weights ({other.weights_sha256[:8]}, not {self.weights_sha256[:8]})"
        if self.trials_sha256 != other.trials_sha256:
            return "another list of trials"
        if self.root != other.root:
            return f"recordings below {other.root}"
        if self.scoring != other.scoring:
            return f"another scoring ({other.scoring or 'cosines'})"
        return "these weights with other preprocessing, windows or precision"


def claim_evaluation(folder: Path, job: EvaluationJob, earlier_roots: Collection[str] = ()) -> bool:
    """Claim a folder for the scores of `job`; DataError if it contains other scores, or anything
    else.

    Scores of the same recordings while they were in one of the `earlier_roots` are no other scores.
    Returns whether it contains such scores.
    """
    claim_folder(folder, EVALUATION)
    found = EvaluationJob.of_folder(folder)
    if found is None:
        store_job(folder, job)
    elif found.followed(job, earlier_roots) != job:
        raise DataError(
            f"{folder}: contains the scores of {job.difference(found)}; choose another `output`, "
            "or delete that folder first"
        )
    return found not in (None, job)


def store_job(folder: Path, job: EvaluationJob) -> None:
    """Store the job of the scores in a folder."""
    write_json(folder / OWN_FOLDER / JOB_NAME, asdict(job))


def read_result(folder: Path, key: str) -> str | None:
    """A text among the results in the folder of an evaluation; None if there is none."""
    content = read_json(folder / RESULTS)
    value = content.get(key) if isinstance(content, dict) else None
    return value if isinstance(value, str) else None


def default_folders(
    embedder: Embedder,
    trials: Path,
    root: str | Path,
    options: ScoreOptions,
    home: Path,
    name: str,
) -> tuple[Path, Path]:
    """The folders for the results of a list, HOME/NAME, and for the vectors of all lists,
    HOME/vectors; with a hash appended if they are in use for another job.
    """
    job = EvaluationJob.of(embedder, file_sha256(trials), root, options)
    vectors = vectors_for(embedder, root, home / VECTORS)
    earlier = earlier_roots(vectors, EmbedJob.of(embedder, root))
    return folder_for(job, home / name, earlier), vectors


def vectors_for(embedder: Embedder, root: str | Path, folder: Path) -> Path:
    """`folder`, with a hash appended to its name if it has vectors of other weights or root.

    Vectors of the same recordings in another root, from which they were moved, stay in their
    folder.
    """
    job = EmbedJob.of(embedder, root)
    if (found := _job_in(folder)) is None or found == job:
        return folder
    own = folder.with_name(f"{folder.name}-{job.digest[:8]}")
    if _job_in(own) is not None:
        return own
    others = sorted(folder.parent.glob(f"{glob.escape(folder.name)}-????????"))
    return next((each for each in (folder, *others) if have_moved(each, job)), own)


def _job_in(vectors: Path) -> EmbedJob | None:
    """The job of a folder of vectors; None if it has none."""
    return EmbedJob.of_folder(Folder(vectors) / WORK_FOLDER)


def folder_for(job: EvaluationJob, folder: Path, earlier_roots: Collection[str] = ()) -> Path:
    """`folder`, with hashes appended to its name if it contains other scores.

    The hash of the weights if they differ, and that of the job if anything else does. For
    `earlier_roots` see `claim_evaluation`.
    """
    found = EvaluationJob.of_folder(folder)
    if found is None:
        return folder
    found = found.followed(job, earlier_roots)
    suffixes = []
    if found.weights_sha256 != job.weights_sha256:
        suffixes.append(job.weights_sha256[:8])
    if replace(found, weights_sha256=job.weights_sha256) != job:
        suffixes.append(job.digest[:8])
    return folder.with_name("-".join([folder.name, *suffixes]))
