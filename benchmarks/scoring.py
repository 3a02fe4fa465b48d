"""Trials from vectors on disk: read, score, normalize, figures with intervals, write.

    python benchmarks/scoring.py [--trials 10_000_000] [--vectors 100_000] [--cohort 3_000]

One core. Beside it in the same run, on a sample of the trials: scikit-learn's cosine of one trial
at a time, which is what WeSpeaker's scoring calls. Times are of the processor; memory is the most
that the process needed.
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
    write_table(folder / "vectors.parquet", names, of.astype(str), values)
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


def write_table(path: Path, names: np.ndarray, speakers: np.ndarray, values: np.ndarray) -> None:
    floats = pa.array(values.astype(np.float32).ravel())
    vectors = pa.FixedSizeListArray.from_arrays(floats, values.shape[1])
    columns = [pa.array(names), pa.array(speakers), pa.array(names), vectors]
    table = pa.table(columns, ["utterance", "speaker", "path", "embedding"])
    pa.parquet.write_table(table, path)


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
        started = time.process_time()
        result = score(
            folder / "vectors.parquet",
            folder / "trials.txt",
            folder / "scores.txt",
            norm="as-norm",
            cohort=folder / "cohort.parquet",
            top_k=options.top_k,
            draws=options.draws,
        )
        seconds = time.process_time() - started
    assert result.figures is not None
    print(result.figures.line)
    print(f"timbral: {seconds:.1f} s for {options.trials:,} trials, {peak_megabytes():,.0f} MB")
    rows = np.random.default_rng(1).normal(size=(2, SAMPLE, 1, DIMENSIONS)).astype(np.float32)
    started = time.process_time()
    for left, right in zip(*rows, strict=True):
        cosine_similarity(left, right)[0][0]
    peer = (time.process_time() - started) / SAMPLE * options.trials
    print(f"scikit-learn's cosine a trial: {peer:,.0f} s for as many, by {SAMPLE:,} of them")
    print(f"ratio: {peer / seconds:.0f}x, as-norm, figures, intervals and files included")


if __name__ == "__main__":
    main()
