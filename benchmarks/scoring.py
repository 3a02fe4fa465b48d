"""Scoring of trials from vectors on disk: read, score, normalize, figures with intervals, write.

    python benchmarks/scoring.py [--trials 10_000_000] [--vectors 100_000] [--cohort 3_000]

On one core. The same is then measured with a Calibration: Cllr and actual DCF of its log-likelihood
ratios, with directions and conditions, in addition to the figures of the cosines. A Calibration is
for cosines, so this is without as-norm; its cost is the difference to the time without it. In the
same run, scikit-learn's cosine of one trial at a time, which WeSpeaker's scoring calls, is measured
on a sample of the trials. Times are processor time; memory is the peak of the process.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import torch
from _memory import peak_megabytes
from sklearn.metrics.pairwise import cosine_similarity

from timbral.calibration.calibration import Calibration, FittedOn, OperatingPoint
from timbral.calibration.conditions import Ranges
from timbral.io.devices import tune_cpu
from timbral.scoring.vector_scores import score

DIMENSIONS, SPEAKERS, SAMPLE = 192, 1000, 2000


def write_input(folder: Path, trials: int, vectors: int, cohort: int) -> None:
    """Vectors of speakers as .npz, a cohort of strangers, and a list with a tenth of targets."""
    rng = np.random.default_rng(0)
    of = np.arange(vectors) % SPEAKERS
    names = np.array([f"id{speaker:05d}/{row:06d}.wav" for row, speaker in enumerate(of)])
    values = rng.normal(size=(SPEAKERS, DIMENSIONS))[of] + 1.6 * rng.normal(
        size=(vectors, DIMENSIONS)
    )
    measures = {
        "weights_sha256": ["weights"] * vectors,
        "embedding_sha256": ["prepared"] * vectors,
        "speech_seconds": rng.uniform(1, 12, vectors),
        "bandwidth_hz": rng.uniform(3400, 8000, vectors),
        "snr_db": rng.uniform(0, 60, vectors),
    }
    write_table(folder / "vectors.parquet", names, of.astype(str), values, **measures)
    strangers = rng.normal(size=(cohort, DIMENSIONS))
    ids = np.array([f"c{row}" for row in range(cohort)])
    write_table(folder / "cohort.parquet", ids, ids, strangers)
    first, second = rng.integers(0, vectors, (2, trials))
    same = rng.random(trials) < 0.1
    shifts = SPEAKERS * rng.integers(1, vectors // SPEAKERS, trials)
    second = np.where(same, (first + shifts) % vectors, second)
    columns = [of[first] == of[second], first, second]
    texts = [pa.array(columns[0].astype(np.int8))]
    texts += [pa.array(names).take(pa.array(column)) for column in columns[1:]]
    options = pa.csv.WriteOptions(include_header=False, delimiter=" ", quoting_style="none")
    pa.csv.write_csv(pa.table(texts, ["label", "a", "b"]), folder / "trials.txt", options)


def write_table(
    path: Path, names: np.ndarray, speakers: np.ndarray, values: np.ndarray, **further: object
) -> None:
    floats = pa.array(values.astype(np.float32).ravel())
    vectors = pa.FixedSizeListArray.from_arrays(floats, values.shape[1])
    columns = [pa.array(names), pa.array(speakers), pa.array(names), vectors]
    columns += [pa.array(column) for column in further.values()]
    table = pa.table(columns, ["utterance", "speaker", "path", "embedding", *further])
    pa.parquet.write_table(table, path)


def made_calibration() -> Calibration:
    """A calibration that uses ten directions and all conditions."""
    directions, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(DIMENSIONS, 10)))
    return Calibration(
        "made up",
        "weights",
        "prepared",
        (-4.0, 0.2, 0.1, 0.2, -0.2, 0.05),
        (12.0, 0.3, 0.1, 0.1, -0.1, 0.1),
        Ranges((1.0, 12.0), (3400.0, 8000.0), (5.0, 60.0)),
        (-6.0, 6.0),
        (OperatingPoint(0.0, 0.1, 0.2, 0.1, 0.2),),
        FittedOn("made up", "", 1000, 10_000, 10_000, 0.2, 0.1, 0.3, 0.1),
        tuple(map(tuple, directions.T.tolist())),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000_000)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--cohort", type=int, default=3_000)
    parser.add_argument("--top-k", type=int, default=300)
    parser.add_argument("--draws", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pa.set_cpu_count(1)
    tune_cpu()  # as the command does
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_input(folder, options.trials, options.vectors, options.cohort)
        normalize = {"norm": "as-norm", "cohort": folder / "cohort.parquet", "top_k": options.top_k}
        ways = {
            "as-norm": normalize,
            "cosines": {},
            "calibrated": {"calibration": made_calibration()},
        }
        taken = {}
        for name, how in ways.items():
            started = time.process_time()
            result = score(
                folder / "vectors.parquet",
                folder / "trials.txt",
                folder / "scores.txt",
                draws=options.draws,
                **how,
            )
            taken[name] = time.process_time() - started
            assert result.figures is not None
            print(f"{name}: {result.figures.line}")
            print(
                f"{name}: {taken[name]:.1f} s for {options.trials:,} trials, "
                f"{peak_megabytes():,.0f} MB"
            )
    assert result.figures is not None
    assert result.figures.calibrated is not None
    print(result.figures.calibrated.line)
    seconds, cost = taken["as-norm"], taken["calibrated"] - taken["cosines"]
    print(f"Cllr and actual DCF by a calibration: {cost:.1f} s; with as-norm {seconds + cost:.1f}")
    rows = np.random.default_rng(1).normal(size=(2, SAMPLE, 1, DIMENSIONS)).astype(np.float32)
    started = time.process_time()
    for left, right in zip(*rows, strict=True):
        cosine_similarity(left, right)[0][0]
    peer = (time.process_time() - started) / SAMPLE * options.trials
    print(f"scikit-learn's cosine a trial: {peer:,.0f} s for as many, by {SAMPLE:,} of them")
    print(f"ratio: {peer / seconds:.0f}x, as-norm, figures, intervals and files included")


if __name__ == "__main__":
    main()
