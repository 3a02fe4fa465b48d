"""An encoder on a list of trials: embed, score, write."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.bulk.embed_list import ListSummary, embed_recordings
from timbral.bulk.engines import Engine
from timbral.embeddings.named_vectors import read_vectors
from timbral.errors import DataError
from timbral.evaluation.evaluation_job import VECTORS, EvaluationJob, claim_evaluation
from timbral.inference.embedder import Embedder
from timbral.io.files import file_sha256, write_json, write_jsonl
from timbral.io.storage import location_below
from timbral.io.types import Progress
from timbral.reports.evaluation_page import EVALUATION_PAGE, write_evaluation_page
from timbral.scoring.condition_figures import Condition
from timbral.scoring.enrollment import NamedRecordings
from timbral.scoring.figures import Figures
from timbral.scoring.list_scores import ListScores, score_list
from timbral.scoring.score_file import SCORES, write_scores
from timbral.scoring.score_options import ScoreOptions
from timbral.scoring.trial_list import TrialList
from timbral.scoring.trials import read_labeled_list

__all__ = ["Evaluation", "ListEvaluation"]


@dataclass(frozen=True)
class Evaluation(Figures):
    """Error rates of an encoder on a list of trials, with 95 % intervals over speakers."""

    num_failures: int = 0
    """recordings that could not be used"""
    num_missing: int = 0
    """trials left out for want of them"""
    conditions: tuple[Condition, ...] = ()
    """figures of the columns that were asked for"""


@dataclass(frozen=True)
class ListEvaluation:
    """One evaluation: what, on what, how, and where its results go (None: nowhere)."""

    embedder: Embedder
    trials: Path
    root: str | Path
    options: ScoreOptions
    output: Path | None

    @contextmanager
    def vectors_folder(self, given: str | Path | None) -> Iterator[Path]:
        """The folder `given`, or that in the output, or one that is gone afterwards."""
        if given is not None:
            yield Path(given)
        elif self.output is not None:
            yield self.output / VECTORS
        else:
            with tempfile.TemporaryDirectory(prefix="timbral-vectors-") as folder:
                yield Path(folder)

    def run(self, vectors: Path, engine: Engine, progress: Progress) -> Evaluation:
        """Embed into the folder `vectors`, score from it, and write the results."""
        listed = read_labeled_list(self.trials)
        recordings = self.options.recordings_of(listed)
        list_sha256 = file_sha256(self.trials)
        if self.output is not None:
            job = EvaluationJob.of(self.embedder, list_sha256, self.root, self.options)
            claim_evaluation(self.output, job)
        embedded = embed_recordings(
            self.embedder,
            recordings.recordings.to_pylist(),
            self.root,
            vectors,
            engine=engine,
            progress=lambda done, total, seconds, failures: progress(done, total),
        )
        if self.output is not None:
            write_jsonl(self.output / "failures.jsonl", embedded.failures)
        done = self._score(listed, recordings, vectors, embedded)
        if self.output is not None:
            write_scores(self.output / SCORES, done.scored.trials, done.scored.scores)
        if done.figures is None:
            raise DataError(_one_kind(done, embedded))
        failures = len(embedded.failures)
        evaluation = Evaluation(
            **vars(done.figures),
            num_failures=failures,
            num_missing=done.num_missing,
            conditions=done.conditions,
        )
        if self.output is not None:
            self._write_report(self.output, evaluation, done, recordings, list_sha256)
        return evaluation

    def _score(
        self,
        listed: TrialList,
        recordings: NamedRecordings,
        vectors: Path,
        embedded: ListSummary,
    ) -> ListScores:
        """Score from the vectors; DataError, with the first failure, when too many are missing."""
        if len(embedded.failures) == embedded.num_recordings:
            raise DataError(f"no trial could be scored{_why(embedded)}")
        found = read_vectors(vectors)
        locations = [location_below(self.root, name) for name in recordings.recordings.to_pylist()]
        rows = pc.index_in(pa.array(locations, pa.string()), value_set=found.paths)
        try:
            at = np.asarray(pc.fill_null(rows, -1), dtype=np.int64)
            return score_list(listed, recordings, found, at, self.options)
        except DataError as error:
            if not embedded.failures:
                raise
            raise DataError(f"{error}{_why(embedded)}") from None

    def _write_report(
        self,
        folder: Path,
        evaluation: Evaluation,
        done: ListScores,
        recordings: NamedRecordings,
        list_sha256: str,
    ) -> None:
        """evaluation.json and the page."""
        identity = {
            "encoder": self.embedder.name,
            "weights_sha256": self.embedder.weights_sha256,
            "trial_list": str(self.trials),
            "trial_list_sha256": list_sha256,
        }
        write_json(folder / "evaluation.json", {**evaluation.as_dict(), **identity})
        title = f"{self.embedder.name} on {self.trials.name}"
        page = folder / EVALUATION_PAGE
        first = recordings.recordings.take(pa.array(recordings.starts[:-1])).to_pylist()
        locations = [location_below(self.root, name) for name in first]
        write_evaluation_page(page, title, evaluation, done, locations)


def _one_kind(done: ListScores, embedded: ListSummary) -> str:
    labels = done.scored.trials.labels
    kind = "target" if (labels == 1).any() else "non-target"
    return f"only {kind} trials could be scored{_why(embedded)}"


def _why(embedded: ListSummary) -> str:
    first = embedded.failures[0]
    return (
        f", for {len(embedded.failures)} recordings could not be used, the first of them "
        f"{first['path']}: {first['reason']} (failures.jsonl has all; the vectors of the others "
        "are kept); `root` should be the folder that the paths of the trials start from"
    )
