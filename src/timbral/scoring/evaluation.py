"""Trials to error rates: a line, evaluation.json, the scores as a file. This room's entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from timbral.errors import DataError
from timbral.inference.embedder import Embedder
from timbral.io.files import write_json, write_jsonl
from timbral.io.types import Progress
from timbral.scoring.evaluation_job import WORK_FOLDER, EvaluationJob, claim_evaluation
from timbral.scoring.figures import DEFAULT_P_TARGETS, Figures, compute_figures
from timbral.scoring.score_file import SCORES, write_scores
from timbral.scoring.scores import ScoredTrials, score_trials
from timbral.scoring.trial_list import Trial
from timbral.scoring.trial_speakers import GUESSED, speakers_of

__all__ = [
    "Evaluation",
    "evaluate_scores",
    "evaluate_trials",
]


@dataclass(frozen=True)
class Evaluation(Figures):
    """Error rates of an encoder on a list of trials, with 95 % intervals over speakers."""

    num_failures: int = 0
    """recordings that could not be used"""


def evaluate_trials(
    embedder: Embedder,
    trials: Sequence[Trial],
    root: str | Path,
    folder: Path | None = None,
    *,
    trial_list: str = "",
    speakers: str | Path | Mapping[str, str] | None = None,
    p_target: Sequence[float] = DEFAULT_P_TARGETS,
    progress: Progress = lambda done, total: None,
) -> tuple[Evaluation, ScoredTrials]:
    """Embed the recordings of trials, score these, and write what came out to `folder`.

    `trial_list` is the list's name in evaluation.json; `speakers` as `timbral.score` takes it.
    Raises DataError before the work when the folder holds other scores, and after it when trials of
    one kind or none could be scored: scores, failures and vectors are kept.
    """
    if folder is None:
        scored = score_trials(embedder, trials, root, progress)
        _check_both_kinds(scored, root, None)
        return evaluate_scores(scored, speakers, p_target), scored
    claim_evaluation(folder, EvaluationJob.of(embedder, trials, root))
    scored = score_trials(embedder, trials, root, progress, folder / WORK_FOLDER)
    _write_scores(folder, scored)
    _check_both_kinds(scored, root, folder)
    evaluation = evaluate_scores(scored, speakers, p_target)
    metadata = {
        "trial_list": trial_list,
        "encoder": embedder.name,
        "weights_sha256": embedder.weights_sha256,
    }
    write_json(folder / "evaluation.json", {**evaluation.as_dict(), **metadata})
    return evaluation, scored


def evaluate_scores(
    scored: ScoredTrials,
    speakers: str | Path | Mapping[str, str] | None = None,
    p_target: Sequence[float] = DEFAULT_P_TARGETS,
) -> Evaluation:
    """EER and minDCF of scored trials; `speakers` as `timbral.score` takes it."""
    trials = scored.columns.trials
    of_names = speakers_of(trials, speakers)
    sides = of_names[trials.first], of_names[trials.second]
    figures = compute_figures(scored.scores, scored.labels, *sides, p_targets=p_target)
    note = figures.interval_note or (GUESSED if speakers is None else "")
    return Evaluation(**{**vars(figures), "interval_note": note}, num_failures=len(scored.failures))


def _write_scores(folder: Path, scored: ScoredTrials) -> None:
    """Write scores.txt (`score label path path`) and failures.jsonl."""
    columns = scored.columns
    write_scores(folder / SCORES, columns.trials, columns.scores)
    write_jsonl(folder / "failures.jsonl", scored.failures)


def _check_both_kinds(scored: ScoredTrials, root: str | Path, folder: Path | None) -> None:
    """DataError, which names what is missing, when trials of one kind or none could be scored.

    `folder` is where `_write_scores` has written, if it has.
    """
    targets = int(scored.labels.sum())
    if 0 < targets < len(scored.trials):
        return
    kind = "target" if targets else "non-target"
    what = f"only {kind} trials could be scored" if scored.trials else "no trial could be scored"
    failures = scored.failures
    first = f"{Path(root) / failures[0]['path']}: {failures[0]['reason']}"
    where = (
        ""
        if folder is None
        else f"; all of them: {folder / 'failures.jsonl'} (the vectors of the others are kept)"
    )
    raise DataError(
        f"{what}, for {len(failures)} recordings could not be used, the first of them {first}"
        f"{where}; `root` should be the folder that the paths of the trials start from"
    )
