"""Evaluate an encoder on a list of trials: embed, score, write."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.bulk.embed_job import EmbedJob
from timbral.bulk.embed_list import ListSummary, embed_recordings
from timbral.bulk.engines import Engine
from timbral.bulk.moved_lists import earlier_roots
from timbral.calibration.calibration import Calibration
from timbral.data.training_list import Seen, TrainingList
from timbral.embeddings.named_vectors import NamedVectors, read_vectors
from timbral.errors import DataError
from timbral.evaluation.evaluated_run import note_in_card
from timbral.evaluation.evaluation_job import (
    RESULTS,
    VECTORS,
    EvaluationJob,
    claim_evaluation,
    store_job,
)
from timbral.evaluation.listed_files import ListedFiles
from timbral.inference.embedder import Embedder
from timbral.io.files import file_sha256, write_json, write_jsonl
from timbral.io.types import Ints, Progress
from timbral.reports.evaluation_page import EVALUATION_PAGE, write_evaluation_page
from timbral.scoring.calibrated_scores import lacks_measures
from timbral.scoring.condition_figures import Condition
from timbral.scoring.enrollment import NamedRecordings
from timbral.scoring.figures import Figures
from timbral.scoring.list_scores import ListScores, score_list
from timbral.scoring.list_speakers import speakers_file, write_speakers
from timbral.scoring.llr_comparison import LLRS
from timbral.scoring.score_file import SCORES, write_scores
from timbral.scoring.score_options import ScoreOptions
from timbral.scoring.trial_list import TrialList
from timbral.scoring.trial_speakers import known_speakers, speaker_names

__all__ = ["Evaluation", "ListEvaluation", "ScoredRecordings"]

ROOT_ADVICE = "; `root` should be the folder that the paths of the trials start from"


@dataclass(frozen=True)
class Evaluation(Figures):
    """Error rates of an encoder on a list of trials, with 95 % intervals over speakers."""

    num_failures: int = 0
    """recordings that could not be used"""
    num_missing: int = 0
    """trials left out because of them"""
    conditions: tuple[Condition, ...] = ()
    """figures by the requested columns"""
    num_seen_speakers: int = 0
    """speakers of the trials on whom the encoder was trained, if that is known"""
    num_seen_recordings: int = 0
    """likewise, recordings"""
    note: str = ""
    """remarks on the list and the cohort; may be empty"""

    @property
    def seen_note(self) -> str:
        """A remark on speakers and recordings seen in training; empty if there are none."""
        if not self.num_seen_speakers and not self.num_seen_recordings:
            return ""
        return (
            f"trained on {self.num_seen_speakers:,} speakers and {self.num_seen_recordings:,} "
            "recordings of these trials, so the figures say nothing about new speakers"
        )


@dataclass(frozen=True)
class ScoredRecordings:
    """The result for a list without error rates: without labels, or with one kind of trial."""

    num_trials: int
    """number of scored trials"""
    num_failures: int
    """recordings that could not be used"""
    num_missing: int
    """trials left out because of them"""
    note: str = ""
    """remarks on the list and the cohort; may be empty"""


@dataclass(frozen=True)
class ListEvaluation:
    """One encoder, one list of trials, and how to score and store it."""

    embedder: Embedder
    trials: Path
    listed: TrialList
    """the content of the file `trials`"""
    root: str | Path
    options: ScoreOptions
    output: Path | None
    """folder of the results; None: they are not stored"""
    allow_seen: bool = False
    list_name: str | None = None
    """the name of the list in the results; None: its path"""

    @cached_property
    def _files(self) -> ListedFiles:
        return ListedFiles(self.root)

    @contextmanager
    def vectors_folder(self, given: str | Path | None) -> Iterator[Path]:
        """The folder for the vectors: `given`, else in the output, else a temporary one."""
        if given is not None:
            yield Path(given)
        elif self.output is not None:
            yield self.output / VECTORS
        else:
            with tempfile.TemporaryDirectory(prefix="timbral-vectors-") as folder:
                yield Path(folder)

    def run(self, vectors: Path, engine: Engine, progress: Progress) -> Evaluation:
        """Embed into the folder `vectors`, score from it, and write the results."""
        recordings = self.options.recordings_of(self.listed)
        seen = self._seen(recordings)
        done, embedded = self._embed_and_score(recordings, vectors, engine, progress)
        if done.figures is None:
            raise DataError(_one_kind(done, embedded))
        failures = len(embedded.failures)
        evaluation = Evaluation(
            **vars(done.figures),
            num_failures=failures,
            num_missing=done.num_missing,
            conditions=done.conditions,
            num_seen_speakers=len(seen.speakers),
            num_seen_recordings=len(seen.recordings),
            note=done.note,
        )
        if self.output is not None:
            self._write_results(self.output, evaluation.as_dict(), vectors)
            self._write_page(self.output, evaluation, done, recordings)
            note_in_card(self.embedder, self.output)
        return evaluation

    def score(self, vectors: Path, engine: Engine, progress: Progress) -> ScoredRecordings:
        """Like `run`, for a list that has no error rates: scores are written, but no page."""
        recordings = self.options.recordings_of(self.listed)
        self._seen(recordings)
        done, embedded = self._embed_and_score(recordings, vectors, engine, progress)
        scored = ScoredRecordings(
            len(done.scored.trials), len(embedded.failures), done.num_missing, done.note
        )
        if self.output is not None:
            calibrated = done.calibrated
            results = {"calibrated": None if calibrated is None else {"limits": calibrated.limits}}
            self._write_results(self.output, asdict(scored) | results, vectors)
        return scored

    def _embed_and_score(
        self,
        recordings: NamedRecordings,
        vectors: Path,
        engine: Engine,
        progress: Progress,
    ) -> tuple[ListScores, ListSummary]:
        """The scores, and the summary of embedding; scores and failures are also written."""
        results = None
        if self.output is not None:
            list_sha256 = file_sha256(self.trials)
            job = EvaluationJob.of(self.embedder, list_sha256, self.root, self.options)
            earlier = earlier_roots(vectors, EmbedJob.of(self.embedder, self.root))
            if claim_evaluation(self.output, job, earlier):
                results = self.output
        embedded = embed_recordings(
            self.embedder,
            self._files.locations(recordings.recordings.to_pylist()),
            self.root,
            vectors,
            results=results,
            engine=engine,
            progress=lambda done, total, seconds, failures: progress(done, total),
        )
        if self.output is not None:
            store_job(self.output, job)  # only now is it certain that nothing but the root changed
            write_jsonl(self.output / "failures.jsonl", embedded.failures)
        done = self._score(recordings, vectors, embedded)
        if self.output is not None:
            self._write_scores(self.output, done)
            self._write_speakers(self.output, done, recordings)
        return done, embedded

    def _write_results(self, output: Path, results: Mapping[str, Any], vectors: Path) -> None:
        identity = {
            **self._identity,
            "trial_list_sha256": file_sha256(self.trials),
            "vectors": str(vectors.absolute()),
        }
        write_json(output / RESULTS, {**results, **identity})

    @staticmethod
    def _write_scores(output: Path, done: ListScores) -> None:
        """Write the scores, and the llrs if there are any; otherwise delete earlier llrs."""
        write_scores(output / SCORES, done.scored.trials, done.scored.scores)
        if done.calibrated is None:
            (output / LLRS).unlink(missing_ok=True)
        else:
            write_scores(output / LLRS, done.scored.trials, done.calibrated.llrs)

    def _write_speakers(self, output: Path, done: ListScores, recordings: NamedRecordings) -> None:
        """Write the given speakers next to the scores, for `calibrate` and `compare`.

        Guessed ones are not written.
        """
        if self.options.speakers is None:
            speakers_file(output / SCORES).unlink(missing_ok=True)
            return
        names = done.scored.trials.names
        models = None if recordings.are_single else recordings
        speakers = speaker_names(names, self.options.speakers, models)
        write_speakers(output / SCORES, zip(names.to_pylist(), speakers.to_pylist(), strict=True))

    def _seen(self, recordings: NamedRecordings) -> Seen:
        """Speakers and recordings of the list on which the encoder was trained.

        Raises DataError if there are any, unless they are allowed.
        """
        path = self.embedder.training_list
        if path is None:
            return Seen()
        speakers: set[str] = set()
        if self.options.speakers is not None:
            known = known_speakers(recordings, self.options.speakers)
            speakers = set(known.drop_null().to_pylist())
        locations = self._files.locations(recordings.recordings.to_pylist())
        seen = TrainingList.read(path).seen(locations, speakers)
        if seen and not self.allow_seen:
            raise DataError(
                f"{self.trials}: according to {path}, the encoder was trained on {seen} of these "
                "trials, so the figures would say nothing about new speakers; set `allow_seen` "
                "to compute them anyway"
            )
        return seen

    def _score(
        self, recordings: NamedRecordings, vectors: Path, embedded: ListSummary
    ) -> ListScores:
        """Score from the vectors; DataError, with the first failure, if too many are missing."""
        if len(embedded.failures) == embedded.num_recordings:
            raise DataError(f"no trial could be scored{_why(embedded)}{ROOT_ADVICE}")
        found = read_vectors(vectors)
        locations = self._files.locations(recordings.recordings.to_pylist())
        indices = pc.index_in(pa.array(locations, pa.string()), value_set=found.paths)
        try:
            rows = np.asarray(pc.fill_null(indices, -1), dtype=np.int64)
            own, note = self._own_calibration(found, rows)
            options = self.options if own is None else replace(self.options, calibration=own)
            done = score_list(self.listed, recordings, found, rows, options)
            if note and done.figures is not None:
                return replace(done, figures=replace(done.figures, calibration_note=note))
            return done
        except DataError as error:
            if not embedded.failures:
                raise
            raise DataError(f"{error}{_why(embedded)}") from None

    def _own_calibration(self, found: NamedVectors, rows: Ints) -> tuple[Calibration | None, str]:
        """The encoder's own calibration if none was given and it applies, else why it does not."""
        own = self.embedder.calibration
        if own is None or self.options.calibration is not None:
            return None, ""
        if not self.options.scores_are_cosines:
            return None, "the encoder's calibration is for cosines, which these scores are not"
        if lacking := lacks_measures(own, found, rows):
            return None, f"the encoder's calibration was not applied: {lacking}"
        return own, ""

    @property
    def _identity(self) -> dict[str, str]:
        return {
            "encoder": self.embedder.name,
            "weights_sha256": self.embedder.weights_sha256,
            "trial_list": self.list_name or str(self.trials),
        }

    @property
    def _title(self) -> str:
        """What was evaluated on what, enough to tell runs and lists of one name apart."""
        precision = self.embedder.precision
        encoder = self.embedder.source or self.embedder.name
        shown = encoder if precision == "fp32" else f"{encoder} in {precision}"
        name = self.list_name or "/".join(self.trials.absolute().parts[-2:])
        return f"{shown} on {name}"

    def _write_page(
        self, folder: Path, evaluation: Evaluation, done: ListScores, recordings: NamedRecordings
    ) -> None:
        page = folder / EVALUATION_PAGE
        first = recordings.recordings.take(pa.array(recordings.starts[:-1])).to_pylist()
        locations = self._files.locations(first)
        note = " ".join(filter(None, (evaluation.seen_note, evaluation.note)))
        write_evaluation_page(page, self._title, evaluation, done, locations, note)


def _one_kind(done: ListScores, embedded: ListSummary) -> str:
    """The error for a list of which only target or only non-target trials could be scored."""
    labels = done.scored.trials.labels
    kind = "target" if (labels == 1).any() else "non-target"
    return f"only {kind} trials could be scored{_why(embedded)}{ROOT_ADVICE}"


def _why(embedded: ListSummary) -> str:
    """The number of failures and the first one, for an error."""
    first, count = embedded.failures[0], len(embedded.failures)
    return (
        f": {count:,} recording{'s' * (count > 1)} could not be used, the first {first['path']}: "
        f"{first['reason']} (all in failures.jsonl; the vectors of the others are kept)"
    )
