"""Error rates of scored trials, as a line, as JSON, and the scores as a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from timbral.errors import DataError
from timbral.io.files import atomic_write, read_json, write_json, write_jsonl
from timbral.io.outputs import EVALUATION, claim_folder
from timbral.scoring.metrics import eer, min_dcf
from timbral.scoring.scores import ScoredTrials

__all__ = [
    "DEFAULT_P_TARGET",
    "Evaluation",
    "claim_evaluation",
    "evaluate_scores",
    "evaluated_weights",
    "write_evaluation",
]

DEFAULT_P_TARGET = 0.05
"""prior of target trials in minDCF, as VoxSRC has it; papers on VoxCeleb also report 0.01"""


@dataclass(frozen=True)
class Evaluation:
    """Error rates over scored trials; rates in [0, 1]."""

    eer: float
    threshold: float
    """score at which misses and false alarms are equally frequent"""
    min_dcf: float
    p_target: float
    num_trials: int
    """that could be scored"""
    num_targets: int
    """of these"""
    num_failures: int
    """recordings that could not be used"""

    @property
    def line(self) -> str:
        return (
            f"EER {100 * self.eer:.2f} %  minDCF({self.p_target:g}) {self.min_dcf:.3f}  "
            f"trials {self.num_trials}"
        )


def evaluate_scores(scored: ScoredTrials, p_target: float = DEFAULT_P_TARGET) -> Evaluation:
    """EER and minDCF of scored trials."""
    rate, threshold = eer(scored.scores, scored.labels)
    return Evaluation(
        eer=rate,
        threshold=threshold,
        min_dcf=min_dcf(scored.scores, scored.labels, p_target),
        p_target=p_target,
        num_trials=len(scored.trials),
        num_targets=int(scored.labels.sum()),
        num_failures=len(scored.failures),
    )


def claim_evaluation(folder: Path, weights_sha256: str) -> None:
    """Make `folder`; DataError when it holds scores of other weights, or anything else."""
    claim_folder(folder, EVALUATION)
    found = evaluated_weights(folder)
    if found is not None and found != weights_sha256:
        raise DataError(
            f"{folder}: holds the scores of other weights ({found[:8] or 'unsaved'}, not "
            f"{weights_sha256[:8] or 'unsaved'}); choose another `output`, or delete that folder "
            "first"
        )
    folder.mkdir(parents=True, exist_ok=True)


def evaluated_weights(folder: Path) -> str | None:
    """The weights' hash of the evaluation in a folder; None when it holds none."""
    path = folder / "evaluation.json"
    if not path.exists():
        return None
    content = read_json(path)
    return str(content.get("weights_sha256", "")) if isinstance(content, dict) else ""


def write_evaluation(
    folder: str | Path, evaluation: Evaluation, scored: ScoredTrials, metadata: Mapping[str, str]
) -> Path:
    """Write evaluation.json, scores.txt (`score label path path`) and failures.jsonl.

    `metadata` goes into evaluation.json: the list of trials, the encoder, its weights' hash.
    """
    folder = Path(folder)
    with atomic_write(folder / "scores.txt") as temporary:
        lines = (
            f"{score:.6f} {trial.label} {trial.first} {trial.second}\n"
            for score, trial in zip(scored.scores, scored.trials, strict=True)
        )
        temporary.write_text("".join(lines), "utf-8")
    write_jsonl(folder / "failures.jsonl", scored.failures)
    write_json(folder / "evaluation.json", {**asdict(evaluation), **metadata})
    return folder / "evaluation.json"
