"""What a calibration promises and what happens, for speakers and conditions it was not fitted on.

    python recipes/calibration/promises.py CALIBRATION.json FITTED EVALUATION [EVALUATION …]

FITTED and each EVALUATION are folders of `timbral evaluate`, with the list's .utt2spk next to the
list. Prints a table: false accepts and false rejects with 95 % intervals over speakers, at the
calibration's thresholds and at cosines copied from elsewhere. Nothing is promised for trials with a
recording below the calibration's ranges; they are counted and left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from timbral.calibration.calibration import Calibration, OperatingPoint
from timbral.calibration.calibration import promised as least_llr
from timbral.calibration.calibration_file import read_calibration
from timbral.evaluation.evaluated_trials import read_evaluated_trials, read_evaluated_vectors
from timbral.evaluation.evaluation_job import EvaluationJob
from timbral.io.types import Floats
from timbral.scoring.calibration_fit import TrialData
from timbral.scoring.hull import convex_hull
from timbral.scoring.intervals import SpeakerBootstrap
from timbral.scoring.metrics import SortedScores, cllr, eer
from timbral.scoring.ranked_trials import RankedTrials
from timbral.scoring.score_file import SCORES, read_scores
from timbral.scoring.trial_vectors import TrialVectors

COPIED = {"SpeechBrain's 0.25": 0.25, "0.45": 0.45}
"""cosines that are used as thresholds for any encoder"""
PROMISES = (0.05, 0.02, 0.01)
FEWEST = 100
"""least number of trials of a condition for a row"""


@dataclass(frozen=True)
class Cell:
    """Trials of one condition."""

    name: str
    trials: TrialData
    recordings: TrialVectors

    @classmethod
    def of_folder(cls, folder: Path) -> Cell:
        content = json.loads((folder / "evaluation.json").read_text())
        job = EvaluationJob.of_folder(folder)
        assert job is not None, f"{folder} holds no evaluation"
        trials = read_evaluated_trials(folder, job, Path(f"{content['trial_list']}.utt2spk"))
        recordings = trials.with_vectors(read_evaluated_vectors(folder, job, None), job.root)
        return cls(Path(content["trial_list"]).stem.removeprefix("test-"), trials.data, recordings)

    def within(self, calibration: Calibration) -> Cell | None:
        """The trials of which something is promised; None for few of a kind."""
        trials = self.trials
        sides = trials.first_conditions, trials.second_conditions
        kept = ~np.logical_or(*(calibration.ranges.below(side) for side in sides))
        targets = int(trials.labels[kept].sum())
        extent = f"{kept.mean():.0%} of its trials" if not kept.all() else "all its trials"
        name = f"{self.name}, {extent}"
        if min(targets, int(kept.sum()) - targets) < FEWEST:
            print(f"| {name}: too few of which anything is promised |")
            return None
        vectors = self.recordings
        recordings = replace(vectors, first=vectors.first[kept], second=vectors.second[kept])
        return Cell(name, trials.select(kept), recordings)

    def rates(self, values: Floats, threshold: float) -> str:
        """False accepts and rejects at a threshold, in % with intervals."""
        labels = self.trials.labels
        bootstrap = SpeakerBootstrap(
            RankedTrials.of(values, labels), self.trials.first, self.trials.second
        )
        at = int(np.searchsorted(bootstrap.lows, threshold))
        accepts = bootstrap.values(lambda miss, false_alarm: false_alarm[:, at])
        rejects = bootstrap.values(lambda miss, false_alarm: miss[:, at])
        accepted = values >= threshold
        shown = (
            (float(accepted[labels == 0].mean()), accepts),
            (float(1 - accepted[labels == 1].mean()), rejects),
        )
        return " / ".join(
            "{:.1f} ({:.1f}–{:.1f})".format(
                100 * rate, *(100 * np.nanpercentile(drawn, [2.5, 97.5]))
            )
            for rate, drawn in shown
        )


def lines(cell: Cell, calibration: Calibration, elsewhere: float) -> Iterator[str]:
    trials = cell.trials
    sides = trials.first_conditions, trials.second_conditions
    scores = cell.recordings.cosines(np.array(calibration.nuisance, np.float32))
    llrs = calibration.llr(scores, *sides)
    rate, _ = eer(scores, trials.labels)
    hull = convex_hull(SortedScores.of(llrs, trials.labels))
    yield (
        f"| {cell.name} | EER {100 * rate:.1f}, Cllr {cllr(llrs, trials.labels):.3f} "
        f"(least {hull.min_cllr:.3f}) |"
    )
    raw = calibration.unlimited_llr(scores, *sides)
    yield f"| llr 0 | {cell.rates(raw, 0.0)} |"
    for promised in promises(calibration):
        above = margins(cell, calibration, raw, promised)
        yield f"| promised {100 * promised:g} % | {cell.rates(above, 0.0)} |"
    for name, threshold in (COPIED | {"EER threshold of the data fitted on": elsewhere}).items():
        yield f"| {name} | {cell.rates(trials.scores, threshold)} |"


def margins(cell: Cell, calibration: Calibration, raw: Floats, promised: float) -> Floats:
    """How far the llrs of trials lie above their thresholds, as `verify` decides."""
    trials = cell.trials
    sides = trials.first_conditions, trials.second_conditions
    shorter = np.minimum(*(side.speech_seconds for side in sides))
    least = calibration.threshold(promised).llr
    of_short = least_llr(promised, calibration.short_points)
    short = shorter < calibration.short_seconds
    return raw - np.where(short, least if of_short is None else of_short.llr, least)


def promises(calibration: Calibration) -> dict[float, OperatingPoint]:
    """The thresholds of `PROMISES`, as far as the calibration's data can make them."""
    least = min(point.false_accept_bound for point in calibration.points)
    return {rate: calibration.threshold(rate) for rate in PROMISES if rate >= least}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("fitted", type=Path, help="the evaluation that it was fitted on")
    parser.add_argument("evaluations", type=Path, nargs="+")
    options = parser.parse_args()
    calibration = read_calibration(options.calibration)
    fitted = read_scores(options.fitted / SCORES)
    _, elsewhere = eer(fitted.scores, fitted.trials.labels)
    for promised, point in promises(calibration).items():
        print(
            f"promised {100 * promised:g} %: llr {point.llr:.2f}, false accepts "
            f"{100 * point.false_accept:.2f} %, false rejects {100 * point.false_reject:.1f} %"
        )
    for folder in options.evaluations:
        cell = Cell.of_folder(folder).within(calibration)
        if cell is not None:
            print(*lines(cell, calibration, elsewhere), sep="\n", flush=True)


if __name__ == "__main__":
    main()
