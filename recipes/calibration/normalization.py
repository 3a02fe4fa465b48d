"""Cosines compared with mean subtraction, AS-norm and NAP, on speakers who are not in the cohort.

    python recipes/calibration/normalization.py RECORDINGS VECTORS

RECORDINGS is the folder that recordings.py wrote, VECTORS the `embed` folder of its recordings from
one encoder, such as that of `timbral evaluate --vectors`. The cohort consists of the recordings to
fit on; for AS-norm, of the mean of each of their speakers. Prints EER with 95 % intervals over
speakers, minDCF at 0.01 and min Cllr for each list of tests.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

import timbral
from timbral.embeddings.named_vectors import read_vectors
from timbral.embeddings.vectors import unit_length


def write_cohorts(recordings: Path, vectors: Path, output: Path) -> dict[str, Path]:
    """Tables of the vectors to fit on: each recording, and the mean of each speaker."""
    pairs = [line.split("\t") for line in (recordings / "fit.txt.utt2spk").read_text().splitlines()]
    names, speakers = map(np.array, zip(*pairs, strict=True))
    found = read_vectors(vectors)
    each = unit_length(found.vectors[found.rows_of(pa.array(names), "/")])
    known, codes = np.unique(speakers, return_inverse=True)
    means = np.stack([each[codes == code].mean(axis=0) for code in range(len(known))])
    every = write_table(output / "every.parquet", names, speakers, each)
    return {
        "mean": every,
        "nap": every,
        "as-norm": write_table(output / "speakers.parquet", known, known, means),
    }


def write_table(path: Path, names: np.ndarray, speakers: np.ndarray, vectors: np.ndarray) -> Path:
    flat = pa.array(vectors.astype(np.float32).ravel())
    columns = {
        "utterance": pa.array(names),
        "speaker": pa.array(speakers),
        "path": pa.array(names),
        "embedding": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
    }
    pa.parquet.write_table(pa.table(columns), path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("vectors", type=Path)
    options = parser.parse_args()
    norms = ("none", "mean", "as-norm", "nap")
    with tempfile.TemporaryDirectory() as temporary:
        cohorts = write_cohorts(options.recordings, options.vectors, Path(temporary))
        for trials in sorted(options.recordings.glob("test-*.txt")):
            cells = [trials.stem.removeprefix("test-")]
            for norm in norms:
                figures = timbral.score(
                    options.vectors,
                    trials,
                    root="/",
                    norm=norm,
                    cohort=cohorts.get(norm),
                    top_k=100,
                    speakers=Path(f"{trials}.utt2spk"),
                ).figures
                assert figures is not None, f"{trials} has no labels"
                assert figures.eer_interval is not None, f"{trials} has too few speakers"
                low, high = figures.eer_interval.low, figures.eer_interval.high
                cells.append(
                    f"{100 * figures.eer:.1f} ({100 * low:.1f}–{100 * high:.1f}), "
                    f"{figures.min_dcf[0.01]:.2f}, {figures.min_cllr:.2f}"
                )
            print("|", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
