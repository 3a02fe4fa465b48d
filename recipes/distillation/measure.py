"""A student compared with its teacher: error rates, and whether their vectors can be compared.

    python recipes/distillation/measure.py STUDENT TEACHER WORK LIST [LIST ...]

Each LIST is a list of labeled trials with absolute paths, with their speakers in LIST.utt2spk:
recipes/accuracy/prepare.py makes two of them, recipes/calibration/recordings.py those of crops,
telephones, noise and rooms. Vectors are kept in WORK. A line for each list:

    EER of the student, of the teacher, of the student's vectors against the teacher's, with 95 %
    intervals over speakers; mean cosine of the student's and the teacher's vector of a recording
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

import timbral
from timbral.embeddings.named_vectors import read_vectors
from timbral.inference.embedder import Embedder
from timbral.io.types import Floats, Ints, Vectors
from timbral.scoring.figures import Figures, compute_figures
from timbral.scoring.trials import read_trials


@dataclass(frozen=True)
class Trials:
    """A list of N trials, with numbers for recordings and speakers."""

    recordings: list[str]
    labels: Floats
    rows: Ints
    """indices in `recordings` of the two sides (N, 2)"""
    speakers: Ints
    """numbers of the speakers of the two sides (N, 2)"""

    @classmethod
    def read(cls, path: Path) -> Trials:
        trials = read_trials(path)
        recordings = sorted({name for trial in trials for name in (trial.first, trial.second)})
        row_of = {name: row for row, name in enumerate(recordings)}
        lines = Path(f"{path}.utt2spk").read_text("utf-8").splitlines()
        speaker_of = dict(line.split() for line in lines)
        number_of = {name: number for number, name in enumerate(sorted(set(speaker_of.values())))}
        numbers = np.array([number_of[speaker_of[name]] for name in recordings])
        rows = np.array([[row_of[trial.first], row_of[trial.second]] for trial in trials])
        labels = np.array([trial.label for trial in trials])
        return cls(recordings, labels, rows, numbers[rows])

    def figures(self, first: Vectors, second: Vectors) -> Figures:
        """The figures of the trials, from vectors (recordings, E) for either side."""
        scores = np.einsum("ne,ne->n", first[self.rows[:, 0]], second[self.rows[:, 1]])
        return compute_figures(scores, self.labels, self.speakers[:, 0], self.speakers[:, 1])


def vectors_of(encoder: Embedder, path: Path, recordings: list[str], work: Path) -> Vectors:
    """Unit vectors of a list's recordings, kept in a folder of the encoder's."""
    folder = work / f"{encoder.name}-{encoder.weights_identity()[:8]}"
    timbral.evaluate(encoder, path, root="/", vectors=folder, draws=0, allow_seen=True)
    found = read_vectors(folder)
    vectors: Vectors = found.vectors[found.rows_of(pa.array(recordings), "/")]
    return vectors


def shown(figures: Figures) -> str:
    interval = figures.eer_interval
    bounds = "" if interval is None else f" ({100 * interval.low:.1f}–{100 * interval.high:.1f})"
    return f"{100 * figures.eer:.1f}{bounds}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("student")
    parser.add_argument("teacher")
    parser.add_argument("work", type=Path)
    parser.add_argument("lists", type=Path, nargs="+")
    options = parser.parse_args()
    student, teacher = (
        timbral.load_encoder(name, device="cpu") for name in (options.student, options.teacher)
    )
    print("| trials | student | teacher | student – teacher | cosine |\n|---|---|---|---|---|")
    for path in options.lists:
        trials = Trials.read(path)
        own = vectors_of(student, path, trials.recordings, options.work)
        target = vectors_of(teacher, path, trials.recordings, options.work)
        rates = (
            trials.figures(own, own),
            trials.figures(target, target),
            trials.figures(own, target),
        )
        cosine = float(np.einsum("ne,ne->n", own, target).mean())
        print(f"| {path.stem} | {' | '.join(map(shown, rates))} | {cosine:.3f} |", flush=True)


if __name__ == "__main__":
    main()
