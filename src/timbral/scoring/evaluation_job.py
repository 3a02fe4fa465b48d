"""What decides the scores in an evaluation's folder, kept in it as .evaluation/job.json.

A folder holds the scores of one such job: another list, other weights or other recordings need
another folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path

from timbral.errors import DataError
from timbral.inference.embedder import Embedder
from timbral.io.files import read_json, write_json
from timbral.io.outputs import EVALUATION, claim_folder
from timbral.scoring.trial_list import Trial

__all__ = ["WORK_FOLDER", "EvaluationJob", "claim_evaluation", "folder_for"]

WORK_FOLDER = ".evaluation"
JOB_FILE = "job.json"


@dataclass(frozen=True)
class EvaluationJob:
    """Weights, how they are applied, trials, and where the recordings lie."""

    weights_sha256: str
    embedding_sha256: str
    """of preprocessing, windows and precision"""
    trials_sha256: str
    root: str

    @classmethod
    def of(cls, embedder: Embedder, trials: Sequence[Trial], root: str | Path) -> EvaluationJob:
        windows = embedder.windows
        application = [
            embedder.preprocessing.as_dict(),
            None if windows is None else astuple(windows),
            embedder.precision,
        ]
        lines = hashlib.sha256()
        for trial in trials:
            lines.update(f"{trial.label} {trial.first} {trial.second}\n".encode())
        return cls(
            weights_sha256=embedder.weights_identity(),
            embedding_sha256=hashlib.sha256(json.dumps(application).encode()).hexdigest(),
            trials_sha256=lines.hexdigest(),
            root=str(Path(root).absolute()),
        )

    @classmethod
    def of_folder(cls, folder: Path) -> EvaluationJob | None:
        """The job of the scores in a folder; None when it holds none. DataError for other JSON."""
        path = folder / WORK_FOLDER / JOB_FILE
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
                f"{path}: should hold {', '.join(names)} and nothing else; delete the folder "
                f"{folder}, and it is evaluated again"
            )
        return cls(**content)

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()

    def difference(self, other: EvaluationJob) -> str:
        """What the scores of another job are those of, in words."""
        if self.weights_sha256 != other.weights_sha256:
            one, another = (job.weights_sha256[:8] for job in (other, self))
            return f"other weights ({one}, not {another})"
        if self.trials_sha256 != other.trials_sha256:
            return "another list of trials"
        if self.root != other.root:
            return f"recordings below {other.root}"
        return "these weights with other preprocessing, windows or precision"


def claim_evaluation(folder: Path, job: EvaluationJob) -> None:
    """Make `folder` that of `job`; DataError when it holds other scores, or anything else."""
    claim_folder(folder, EVALUATION)
    found = EvaluationJob.of_folder(folder)
    if found is not None and found != job:
        raise DataError(
            f"{folder}: holds the scores of {job.difference(found)}; choose another `output`, or "
            "delete that folder first"
        )
    write_json(folder / WORK_FOLDER / JOB_FILE, asdict(job))


def folder_for(job: EvaluationJob, folder: Path) -> Path:
    """`folder`, with a hash behind its name where it holds other scores: what is other, in short.

    The weights' hash for those of other weights, the job's for those of another list.
    """
    found = EvaluationJob.of_folder(folder)
    if found is None:
        return folder
    suffixes = []
    if found.weights_sha256 != job.weights_sha256:
        suffixes.append(job.weights_sha256[:8])
    if replace(found, weights_sha256=job.weights_sha256) != job:
        suffixes.append(job.digest[:8])
    return folder.with_name("-".join([folder.name, *suffixes]))
