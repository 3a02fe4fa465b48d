"""What an evaluation says: error rates as a line, as JSON, and score files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from timbral.io.files import atomic_write, write_json, write_jsonl
from timbral.scoring.metrics import eer, min_dcf
from timbral.scoring.scores import ScoredTrials

__all__ = ["Evaluation", "evaluate_scores", "write_evaluation"]


@dataclass(frozen=True)
class Evaluation:
    """Error rates over scored trials; rates in [0, 1]."""

    eer: float
    threshold: float
    """score at which misses and false alarms are equally frequent"""
    min_dcf: float
    p_target: float
    trials: int
    targets: int
    failures: int

    @property
    def line(self) -> str:
        return (
            f"EER {100 * self.eer:.2f} %  minDCF({self.p_target:g}) {self.min_dcf:.3f}  "
            f"trials {self.trials}"
        )


def evaluate_scores(scored: ScoredTrials, p_target: float = 0.05) -> Evaluation:
    """EER and minDCF of scored trials."""
    rate, threshold = eer(scored.scores, scored.labels)
    return Evaluation(
        eer=rate,
        threshold=threshold,
        min_dcf=min_dcf(scored.scores, scored.labels, p_target),
        p_target=p_target,
        trials=len(scored.trials),
        targets=int(scored.labels.sum()),
        failures=len(scored.failures),
    )


def write_evaluation(
    folder: Path, evaluation: Evaluation, scored: ScoredTrials, about: dict[str, str]
) -> Path:
    """Write evaluation.json, scores.txt (`score label path path`) and failures.jsonl."""
    with atomic_write(folder / "scores.txt") as temporary:
        lines = (
            f"{score:.6f} {trial.label} {trial.first} {trial.second}\n"
            for score, trial in zip(scored.scores, scored.trials, strict=True)
        )
        temporary.write_text("".join(lines), "utf-8")
    write_jsonl(folder / "failures.jsonl", scored.failures)
    write_json(folder / "evaluation.json", {**asdict(evaluation), **about})
    return folder / "evaluation.json"
