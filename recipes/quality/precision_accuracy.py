"""How much a precision changes the error rates of an encoder, with intervals over speakers.

    python recipes/quality/precision_accuracy.py LIST ... [--precision int8]
        [--encoder campplus-zh-en] [--seconds 0 6 2]

Each LIST contains labeled trials, and LIST.utt2spk the speakers, as recipes/accuracy/prepare.py and
recipes/calibration/recordings.py write them. Prints a row of a Markdown table for each list, for
whole recordings (0) and for their first seconds: EER in float32 and in the precision, the change
with its 95 % interval (bootstrap over speakers, the same draws for both), that of min Cllr, and the
cosine between both vectors of a recording.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import timbral
from timbral.audio.decode import Wave
from timbral.io.types import Vectors
from timbral.scoring.hull import min_cllr_of
from timbral.scoring.intervals import Figure, Interval, SpeakerBootstrap, eer_of, interval_of
from timbral.scoring.metrics import eer
from timbral.scoring.ranked_trials import RankedTrials
from timbral.scoring.trials import read_trials

RATE = 16_000
AT_ONCE = 64
"""number of recordings in memory"""


class Trials:
    """The trials of a list, as numbers of recordings and speakers."""

    def __init__(self, path: Path) -> None:
        trials = read_trials(path)
        self.name = path.stem
        self.paths = sorted({name for trial in trials for name in (trial.first, trial.second)})
        lines = path.with_name(f"{path.name}.utt2spk").read_text("utf-8").splitlines()
        speakers = dict(line.rsplit(maxsplit=1) for line in lines)
        codes = np.unique([speakers[name] for name in self.paths], return_inverse=True)[1]
        row = {name: number for number, name in enumerate(self.paths)}
        self.labels = np.array([trial.label for trial in trials])
        self.rows = np.array([(row[trial.first], row[trial.second]) for trial in trials])
        self.speakers = codes[self.rows]  # (N, 2)
        self.num_speakers = int(codes.max()) + 1

    def scores(self, vectors: Vectors) -> Vectors:
        first, second = self.rows.T
        return np.asarray(np.einsum("ne,ne->n", vectors[first], vectors[second]))

    def change(self, figure: Figure, before: Vectors, after: Vectors) -> Interval:
        """The interval of a figure of `after` minus that of `before`, scores (N,)."""
        drawn = [
            SpeakerBootstrap(RankedTrials.of(scores, self.labels), *self.speakers.T).values(figure)
            for scores in (before, after)
        ]
        return interval_of(drawn[1] - drawn[0])


def embedded(
    encoders: list[timbral.Embedder], paths: list[str], seconds: list[float]
) -> dict[float, list[Vectors]]:
    """Vectors of each encoder (K, E), by the seconds that recordings are cut to."""
    found: dict[float, list[list[Vectors]]] = {most: [[] for _ in encoders] for most in seconds}
    for start in range(0, len(paths), AT_ONCE):
        waves = [encoders[0].load_audio(path) for path in paths[start : start + AT_ONCE]]
        for most, vectors in found.items():
            cut: list[Wave] = [wave[: round(most * RATE) or None] for wave in waves]
            for encoder, own in zip(encoders, vectors, strict=True):
                own.append(encoder.encode_preprocessed(cut))
    return {most: [np.concatenate(each) for each in vectors] for most, vectors in found.items()}


def row(trials: Trials, most: float, exact: Vectors, rounded: Vectors) -> str:
    before, after = trials.scores(exact), trials.scores(rounded)
    rates = [100 * eer(scores, trials.labels)[0] for scores in (before, after)]
    of_eer = trials.change(eer_of, before, after)
    of_cost = trials.change(min_cllr_of, before, after)
    cosines = np.einsum("ne,ne->n", exact, rounded)
    cells = [
        f"{trials.name}, {f'{most:g} s' if most else 'whole'}",
        f"{trials.num_speakers} / {len(trials.labels):,}",
        f"{rates[0]:.2f}",
        f"{rates[1]:.2f}",
        f"{rates[1] - rates[0]:+.2f} [{100 * of_eer.low:+.2f}, {100 * of_eer.high:+.2f}]",
        f"[{of_cost.low:+.4f}, {of_cost.high:+.4f}]",
        f"{cosines.mean():.4f} ({cosines.min():.3f})",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lists", type=Path, nargs="+")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--encoder", default="campplus-zh-en")
    parser.add_argument("--seconds", type=float, nargs="+", default=[0.0, 6.0, 2.0])
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoders = [
        timbral.load_encoder(options.encoder, device="cpu", precision=precision)
        for precision in ("fp32", options.precision)
    ]
    columns = ("trials", "speakers / trials", "fp32", options.precision, "change", "of min Cllr")
    print(f"| {' | '.join(columns)} | cosine (least) |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for path in options.lists:
        trials = Trials(path)
        vectors = embedded(encoders, trials.paths, options.seconds)
        for most, (exact, rounded) in vectors.items():
            print(row(trials, most, exact, rounded), flush=True)


if __name__ == "__main__":
    main()
