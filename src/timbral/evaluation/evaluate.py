"""The whole way from an encoder and a list of trials to a folder of results. This room's entry."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.bulk.embed_list import ListSummary, embed_recordings
from timbral.bulk.engines import DEFAULT_ENGINE, Engine
from timbral.embeddings.named_vectors import read_vectors
from timbral.errors import DataError
from timbral.evaluation.evaluation_job import VECTORS, EvaluationJob, claim_evaluation
from timbral.inference.embedder import Embedder
from timbral.inference.load import load_encoder
from timbral.io.files import file_sha256, write_json, write_jsonl
from timbral.io.storage import location_below
from timbral.io.types import Progress
from timbral.reports.evaluation_page import EVALUATION_PAGE, write_evaluation_page
from timbral.scoring.figures import DEFAULT_P_TARGETS, Figures
from timbral.scoring.list_scores import ListScores, score_list
from timbral.scoring.score_file import SCORES, write_scores
from timbral.scoring.score_options import ScoreOptions
from timbral.scoring.trial_list import TrialList
from timbral.scoring.trials import read_labeled_list

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True)
class Evaluation(Figures):
    """Error rates of an encoder on a list of trials, with 95 % intervals over speakers."""

    num_failures: int = 0
    """recordings that could not be used"""
    num_missing: int = 0
    """trials left out for want of them"""


def evaluate(
    encoder: Embedder | str | Path,
    trials: str | Path,
    root: str | Path = ".",
    output: str | Path | None = None,
    progress: Progress = lambda done, total: None,
    *,
    vectors: str | Path | None = None,
    engine: Engine = DEFAULT_ENGINE,
    norm: str = "none",
    cohort: str | Path | None = None,
    top_k: int = 300,
    speakers: str | Path | Mapping[str, str] | None = None,
    p_target: Sequence[float] = DEFAULT_P_TARGETS,
    draws: int = 1000,
    skip_missing: bool = False,
) -> Evaluation:
    """Error rates of an encoder on a list of trials: EER and minDCF, with intervals over speakers.

    Its recordings are embedded as `timbral.embed` does it, then scored as `timbral.score` does.

    Args:
        encoder: an Embedder, or what `load_encoder` takes
        trials: a list as `timbral.score` takes it, of target and non-target trials
        root: the folder or URL that relative paths of the list start from
        output: a folder for evaluation.json, scores.txt, failures.jsonl and report.html; None: no
            files
        progress: called with the recordings embedded so far, and their number
        vectors: a folder for the vectors, an `embed` folder. Other lists of the same encoder and
            root may share it: what it has is not embedded again. None: `output`/vectors
        engine: who computes, such as ``timbral.Engine(workers=4)``
        norm: ``none``, ``mean`` or ``as-norm``, with `cohort` and `top_k` as for `timbral.score`
        cohort: vectors of speakers who are in no trial
        top_k: how many of the cohort count in ``as-norm``
        speakers: for the intervals, the speaker of each name in the list, or a file of lines
            ``name speaker`` (Kaldi's utt2spk); None: recordings that target trials join are of one
        p_target: prior probabilities of a target trial in minDCF, each in (0, 1)
        draws: of speakers, for the intervals, 100 or more; 0: none
        skip_missing: leave out all trials of recordings that cannot be used; else 1 % may be

    Raises DataError when the list cannot be read, when `output` holds other scores or anything
    else, `vectors` those of another encoder, or when too many trials cannot be scored: the vectors
    are kept. Recordings that cannot be used are counted in the result's `num_failures`.
    """
    options = ScoreOptions(norm, cohort, top_k, speakers, p_target, draws, skip_missing)
    listed = read_labeled_list(trials)  # before the encoder is loaded
    embedder = load_encoder(encoder) if isinstance(encoder, str | Path) else encoder
    folder = None if output is None else Path(output)
    list_sha256 = file_sha256(Path(trials))
    if folder is not None:
        claim_evaluation(folder, EvaluationJob.of(embedder, list_sha256, root, options))
    with ExitStack() as stack:
        of_vectors = _vectors_folder(vectors, folder, stack)
        names = listed.names.to_pylist()
        embedded = embed_recordings(
            embedder, names, root, of_vectors, engine=engine,
            progress=lambda done, total, seconds, failures: progress(done, total),
        )  # fmt: skip
        if folder is not None:
            write_jsonl(folder / "failures.jsonl", embedded.failures)
        done = _score(listed, of_vectors, root, options, embedded)
    if folder is not None:
        write_scores(folder / SCORES, done.scored.trials, done.scored.scores)
    if done.figures is None:
        raise DataError(_one_kind(done, embedded))
    evaluation = Evaluation(
        **vars(done.figures),
        num_failures=len(embedded.failures),
        num_missing=done.num_missing,
    )
    if folder is not None:
        identity = {
            "encoder": embedder.name,
            "weights_sha256": embedder.weights_sha256,
            "trial_list": str(trials),
            "trial_list_sha256": list_sha256,
        }
        _write_report(folder, evaluation, done, root, identity)
    return evaluation


def _write_report(
    folder: Path,
    evaluation: Evaluation,
    done: ListScores,
    root: str | Path,
    identity: Mapping[str, str],
) -> None:
    """evaluation.json and the page, of the encoder and list that `identity` names."""
    write_json(folder / "evaluation.json", {**evaluation.as_dict(), **identity})
    title = f"{identity['encoder']} on {Path(identity['trial_list']).name}"
    page = folder / EVALUATION_PAGE
    write_evaluation_page(page, title, evaluation, done.scored, root, done.speakers)


def _vectors_folder(vectors: str | Path | None, output: Path | None, stack: ExitStack) -> Path:
    if vectors is not None:
        return Path(vectors)
    if output is not None:
        return output / VECTORS
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="timbral-vectors-")))


def _score(
    listed: TrialList,
    vectors: Path,
    root: str | Path,
    options: ScoreOptions,
    embedded: ListSummary,
) -> ListScores:
    """Score from the vectors; DataError, with the first failure, when too many are missing."""
    if len(embedded.failures) == embedded.num_recordings:
        raise DataError(f"no trial could be scored{_why(embedded)}")
    found = read_vectors(vectors)
    locations = [location_below(root, name) for name in listed.names.to_pylist()]
    rows = pc.index_in(pa.array(locations, pa.string()), value_set=found.paths)
    try:
        at = np.asarray(pc.fill_null(rows, -1), dtype=np.int64)
        return score_list(listed, found, at, options)
    except DataError as error:
        if not embedded.failures:
            raise
        raise DataError(f"{error}{_why(embedded)}") from None


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
