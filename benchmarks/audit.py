"""Audit of many vectors: processor time and peak memory.

    python benchmarks/audit.py [--vectors 1_000_000] [--speakers 20_000] [--same-length]

Vectors are drawn around made-up speakers; one in ten thousand has another one's label. With
`--same-length` all recordings last as long, so that the search for duplicates compares every pair.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from _memory import forget_peak, peak_megabytes

from timbral.api import audit
from timbral.embeddings.table import utterance_schema

DIMENSIONS, ROWS, WRONG = 192, 50_000, 1e-4


def write(path: Path, vectors: int, speakers: int, same_length: bool) -> int:
    """A table of utterances, a part at a time; the number of wrong labels in it."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(speakers, DIMENSIONS)).astype(np.float32)
    wrong = 0
    with pyarrow.parquet.ParquetWriter(path, utterance_schema(DIMENSIONS)) as writer:
        for start in range(0, vectors, ROWS):
            rows = np.arange(start, min(start + ROWS, vectors))
            drawn = rng.normal(size=(len(rows), DIMENSIONS)).astype(np.float32)
            values = centers[rows % speakers] + drawn
            values /= np.linalg.norm(values, axis=1, keepdims=True)
            of_another = rng.random(len(rows)) < WRONG
            wrong += int(of_another.sum())
            labels = (rows + of_another) % speakers
            seconds = np.full(len(rows), 3.0) if same_length else rng.uniform(2, 12, len(rows))
            names = [f"s{row % speakers:06d}/u{row:08d}" for row in rows]
            columns = [
                names,
                [f"s{label:06d}" for label in labels],
                [""] * len(rows),
                [f"/corpus/{name}.wav" for name in names],
                seconds,
                pa.FixedSizeListArray.from_arrays(values.ravel(), DIMENSIONS),
                *([text] * len(rows) for text in ("encoder", "0" * 64, "")),
            ]
            writer.write_table(pa.table(columns, schema=writer.schema))
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--speakers", type=int, default=20_000)
    parser.add_argument("--same-length", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "utterances.parquet"
        wrong = write(path, options.vectors, options.speakers, options.same_length)
        pa.default_memory_pool().release_unused()
        forget_peak()
        before = peak_megabytes()
        started, processor = time.perf_counter(), time.process_time()
        found = audit(path)
        seconds, processor = time.perf_counter() - started, time.process_time() - processor
    kinds = found["kind"].to_pylist()
    print(
        f"{options.vectors:,} vectors of {options.speakers:,} speakers: {processor:.0f} s of "
        f"processors ({seconds:.0f} s), at most {peak_megabytes():,.0f} MB ({before:,.0f} before); "
        f"{kinds.count('mislabeled')} mislabeled of {wrong}, {len(kinds)} findings"
    )


if __name__ == "__main__":
    main()
