"""Costs of the log-likelihood ratios of two calibrated systems on the same trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from timbral.errors import DataError
from timbral.io.files import read_json
from timbral.io.types import Floats, Ints
from timbral.scoring.calibrated_figures import actual_costs, cllrs
from timbral.scoring.metrics import actual_dcf, cllr, llr_costs
from timbral.scoring.score_file import ScoredList, read_scores
from timbral.scoring.speaker_means import SpeakerMeans

__all__ = ["LLRS", "ComparedCost", "Llrs", "compared_costs", "llrs_of"]

LLRS = "llrs.txt"
"""file in the folder of an evaluation with a calibration: like scores.txt, with unclipped llrs"""


@dataclass(frozen=True)
class Llrs:
    """The unclipped llrs of an evaluation's trials (N,), and the limits to clip them to."""

    scored: ScoredList
    limits: tuple[float, float]

    def select(self, rows: Ints) -> tuple[Floats, Floats]:
        """The llrs of some trials, unclipped and clipped."""
        llrs = np.asarray(self.scored.scores[rows], dtype=np.float64)
        return llrs, np.clip(llrs, *self.limits)


@dataclass(frozen=True)
class ComparedCost:
    """A cost of two systems, and its values in each draw of speakers (draws,)."""

    name: str
    costs: tuple[float, float]
    drawn: tuple[Floats, Floats]


def llrs_of(folder: str | Path, scored: ScoredList) -> Llrs | None:
    """The llrs of an evaluation with the scores `scored`; None if it has none, or is no folder.

    Raises DataError when llrs.txt has other trials than scores.txt, or limits are missing.
    """
    path = Path(folder) / LLRS
    if not path.is_file():
        return None
    llrs = read_scores(path)
    trials, expected = llrs.trials, scored.trials
    if not (
        trials.names.equals(expected.names)
        and np.array_equal(trials.first, expected.first)
        and np.array_equal(trials.second, expected.second)
    ):
        raise DataError(f"{path}: does not belong to the trials in the same folder; evaluate again")
    return Llrs(llrs, _limits(read_json(Path(folder) / "evaluation.json"), path))


def _limits(content: Any, path: Path) -> tuple[float, float]:
    costs = content.get("calibrated") if isinstance(content, dict) else None
    limits = costs.get("limits") if isinstance(costs, dict) else None
    if (
        not isinstance(limits, list)
        or len(limits) != 2
        or not all(isinstance(each, int | float) and math.isfinite(each) for each in limits)
        or limits[0] > limits[1]
    ):
        raise DataError(
            f"{path}: evaluation.json in the same folder has no limits of llrs; evaluate again"
        )
    return float(limits[0]), float(limits[1])


def compared_costs(
    both: tuple[tuple[Floats, Floats], tuple[Floats, Floats]],
    labels: ArrayLike,
    means: SpeakerMeans,
    p_targets: Sequence[float],
) -> Iterator[ComparedCost]:
    """Cllr and actual DCF of the llrs (N,) of two systems, each given unclipped and clipped."""
    clipped = [limited for _, limited in both]
    one, other = (cllr(llrs, labels) for llrs in clipped)
    drawn = [cllrs(means, llr_costs(*means.split(llrs))) for llrs in clipped]
    yield ComparedCost("Cllr", (one, other), (drawn[0], drawn[1]))
    for prior in p_targets:
        one, other = (actual_dcf(llrs, labels, prior) for llrs, _ in both)
        drawn = [actual_costs(means, means.split(llrs), prior) for llrs, _ in both]
        yield ComparedCost(f"actDCF({prior:g})", (one, other), (drawn[0], drawn[1]))
