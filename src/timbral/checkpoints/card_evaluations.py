"""Results of evaluations, as a model card lists them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timbral.errors import DataError
from timbral.io.files import read_json

__all__ = ["CardEvaluation", "read_evaluations", "table_cell"]


@dataclass(frozen=True)
class CardEvaluation:
    """Error rates on one list of trials."""

    name: str
    eer: float
    interval: tuple[float, float] | None
    """95 % interval over speakers"""
    num_trials: int
    num_speakers: int
    note: str = ""

    @property
    def line(self) -> str:
        """A row of the card's table of evaluations."""
        shown = (
            ""
            if self.interval is None
            else " ({:.2f} to {:.2f})".format(*(100 * bound for bound in self.interval))
        )
        note = f"; {self.note}" if self.note else ""
        return (
            f"| {table_cell(self.name)} | {100 * self.eer:.2f} %{shown} | {self.num_trials:,} | "
            f"{self.num_speakers:,}{note} |"
        )

    def hub_result(self) -> dict[str, Any]:
        """One entry of the Hub's model-index."""
        return {
            "task": {"type": "speaker-verification", "name": "Speaker verification"},
            "dataset": {"name": self.name, "type": self.name},
            "metrics": [{"type": "eer", "name": "EER (%)", "value": round(100 * self.eer, 3)}],
        }


def read_evaluations(folders: Iterable[Path], weights_sha256: str) -> list[CardEvaluation]:
    """Evaluations of these weights in folders of `timbral evaluate`; others are skipped."""
    evaluations = []
    for folder in folders:
        path = folder / "evaluation.json"
        if path.exists():
            content = read_json(path)
            if isinstance(content, dict) and "eer" not in content and "num_trials" in content:
                continue  # a list without error rates
            evaluation = _evaluation(content, path)
            if content.get("weights_sha256") == weights_sha256:
                evaluations.append(evaluation)
    return evaluations


def _evaluation(content: Any, path: Path) -> CardEvaluation:
    try:
        interval = content.get("eer_interval")
        seen = content.get("num_seen_speakers") or content.get("num_seen_recordings")
        return CardEvaluation(
            Path(str(content["trial_list"])).name,
            float(content["eer"]),
            None if interval is None else (float(interval["low"]), float(interval["high"])),
            int(content["num_trials"]),
            int(content["num_speakers"]),
            "seen in training, in part" if seen else "",
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise DataError(f"{path}: was not written by `timbral evaluate`; evaluate again") from None


def table_cell(text: str) -> str:
    """Text escaped for a table cell, so that it cannot break the table."""
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("|", "\\|").replace("<", "&lt;")
