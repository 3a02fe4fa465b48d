"""Whether the calibration of campplus-zh-en is valid for the encoder that is shipped with timbral.

    python recipes/shipped/compare.py WORK LIST [LIST ...]

Each LIST is a list of labeled trials with absolute paths, with their speakers in LIST.utt2spk
(recipes/calibration/recordings.py makes some). A line for each: EERs of both with 95 % intervals
over speakers; the difference of the scores that the calibration takes (root mean square, largest);
and how many decisions differ at the thresholds that promise 5 and 1 % false accepts.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "calibration"))
from promises import Cell

import timbral
from timbral.inference.embedder import Embedder
from timbral.io.types import Floats
from timbral.scoring.figures import Figures

ENCODERS = ("campplus-int8", "campplus-zh-en")
RATES = (0.05, 0.01)


@dataclass(frozen=True)
class Decided:
    """Scores (N,) of a list's trials, their error rates, and answers (N,) at each of RATES."""

    figures: Figures
    scores: Floats
    answers: tuple[NDArray[np.bool_], ...]


def decide(encoder: Embedder, path: Path, work: Path) -> Decided:
    folder = work / encoder.name / path.stem
    vectors = work / encoder.name / f"{path.stem}-vectors"
    result = timbral.evaluate(
        encoder, path, root="/", vectors=vectors, output=folder, speakers=f"{path}.utt2spk"
    )
    cell, calibration = Cell.of_folder(folder), encoder.calibration
    assert calibration is not None, f"{encoder.name} has no calibration"
    scores = cell.recordings.cosines(np.array(calibration.nuisance, np.float32))
    llrs = calibration.unlimited_llr(
        scores, cell.trials.first_conditions, cell.trials.second_conditions
    )
    answers = tuple(llrs >= calibration.threshold(rate).llr for rate in RATES)
    return Decided(result, np.asarray(scores), answers)


def shown(figures: Figures) -> str:
    interval = figures.eer_interval
    bounds = "" if interval is None else f" ({100 * interval.low:.1f}–{100 * interval.high:.1f})"
    return f"{100 * figures.eer:.1f}{bounds}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("lists", type=Path, nargs="+")
    options = parser.parse_args()
    encoders = [timbral.load_encoder(name, device="cpu", download=True) for name in ENCODERS]
    print(f"| trials | {' | '.join(ENCODERS)} | scores apart | decisions that differ |")
    for path in options.lists:
        own, original = (decide(encoder, path, options.work) for encoder in encoders)
        apart = own.scores - original.scores
        differ = [
            f"{np.mean(one != other):.2%}"
            for one, other in zip(own.answers, original.answers, strict=True)
        ]
        print(
            f"| {path.stem} | {shown(own.figures)} | {shown(original.figures)} | "
            f"{np.sqrt(np.mean(apart**2)):.4f}, {np.abs(apart).max():.3f} | {', '.join(differ)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
