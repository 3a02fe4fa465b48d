"""How often a probability is wrong, by the amount of speech it is based on.

    python recipes/calibration/reliability.py CALIBRATION.json EVALUATION [EVALUATION …]
    python recipes/calibration/reliability.py CALIBRATION.json FITTED --cross-validated

Each EVALUATION is a folder of `timbral evaluate`, with the list's .utt2spk next to the list; lists
that recordings.py has drawn from the same speakers are pooled. FITTED is the one that the
calibration was fitted on; the llr of a trial is then that of a fit without its speakers. Prints,
for pairs with a probability (prior 0.5) of a number or more, how many of 100 are of two speakers,
with 95 % intervals over speakers, and how many should be.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from promises import Cell

from timbral.calibration.calibration import Calibration
from timbral.calibration.calibration_file import read_calibration
from timbral.calibration.conditions import Conditions
from timbral.io.types import Floats
from timbral.scoring.calibration_fit import TrialData, fit_trials
from timbral.scoring.speaker_means import SpeakerMeans

SECONDS = (0.0, 1.0, 1.5, 2.0, 4.0, np.inf)
"""limits of the table's rows: seconds of net speech in the shorter recording"""
PROBABILITIES = (0.5, 0.9, 0.95, 0.99)
FEWEST = 200
"""least number of trials for a row"""


def lines(llrs: Floats, data: TrialData) -> Iterator[str]:
    sides = data.first_conditions, data.second_conditions
    shorter = np.minimum(*(side.speech_seconds for side in sides))
    for low, high in pairwise(SECONDS):
        kept = (shorter >= low) & (shorter < high)
        if kept.sum() >= FEWEST:
            cells = (wrong(llrs[kept], data.select(kept), each) for each in PROBABILITIES)
            yield f"| {low:g} to {high:g} s | {kept.sum():,} | {' | '.join(cells)} |"


def wrong(llrs: Floats, data: TrialData, probability: float) -> str:
    """The percentage of different speakers among pairs that reach a probability.

    Both kinds of pairs have the same total weight. In parentheses is the 95 % interval; last is the
    percentage that the probabilities promise.
    """
    is_target = data.labels == 1
    said = 1 / (1 + np.exp(-llrs))
    reached = said >= probability
    means = SpeakerMeans(data.first, data.second, is_target, draws=1000)
    with np.errstate(invalid="ignore"):
        strangers = means.of_nontargets(reached[~is_target])
        drawn = strangers / (strangers + means.of_targets(reached[is_target]))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    kinds = ~is_target, is_target
    rates = [reached[kind].mean() for kind in kinds]
    remaining = [((1 - said) * reached)[kind].mean() for kind in kinds]
    observed, expected = rates[0] / sum(rates), sum(remaining) / sum(rates)
    return f"{100 * observed:.1f} ({100 * low:.1f}–{100 * high:.1f}), {100 * expected:.1f}"


def joined(lists: list[TrialData]) -> TrialData:
    """Trials of lists that were drawn alike: their speakers have the same numbers."""
    same = all(np.array_equal(each.first, lists[0].first) for each in lists)
    assert same, "these lists were not drawn of the same speakers; give one at a time"

    def side(name: str) -> Conditions:
        of = [vars(getattr(each, name)) for each in lists]
        return Conditions(**{key: np.concatenate([row[key] for row in of]) for key in of[0]})

    return TrialData(
        np.concatenate([each.scores for each in lists]),
        np.concatenate([each.labels for each in lists]),
        np.concatenate([each.first for each in lists]),
        np.concatenate([each.second for each in lists]),
        side("first_conditions"),
        side("second_conditions"),
    )


def llrs_of(cell: Cell, calibration: Calibration) -> Floats:
    scores = cell.recordings.cosines(np.array(calibration.nuisance, np.float32))
    trials = cell.trials
    return calibration.llr(scores, trials.first_conditions, trials.second_conditions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("evaluations", type=Path, nargs="+")
    parser.add_argument("--cross-validated", action="store_true")
    options = parser.parse_args()
    calibration = read_calibration(options.calibration)
    cells = [Cell.of_folder(folder) for folder in options.evaluations]
    data = joined([cell.trials for cell in cells])
    if options.cross_validated:
        (cell,) = cells
        directions = (len(calibration.nuisance),)
        fit = fit_trials(data, calibration.ranges, cell.recordings, directions=directions)
        llrs = np.clip(fit.llrs, *calibration.limits)
    else:
        llrs = np.concatenate([llrs_of(cell, calibration) for cell in cells])
    print(*lines(llrs, data), sep="\n")


if __name__ == "__main__":
    main()
