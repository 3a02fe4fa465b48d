"""Audit of many vectors: processor time and peak memory.

    python benchmarks/audit.py [--vectors 1_000_000] [--speakers 20_000] [--same-length]
    python benchmarks/audit.py --second-speakers --like EMBEDDINGS

Vectors are drawn around synthetic speakers; one in ten thousand gets another speaker's label. With
`--like`, speakers differ, and recordings of one speaker, as in a folder that `embed` wrote; without
it, equally in all directions. With `--second-speakers`, vectors of each recording's two parts are
also drawn, in shards like those of `audit --encoder`; in one of a thousand recordings, the second
part is another speaker's. With `--same-length`, all recordings have one duration, so that the
search for duplicates compares all pairs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from _memory import forget_peak, peak_megabytes

from timbral.bulk.part_vectors import SHARD_RECORDINGS, KeptParts, parts_table
from timbral.bulk.shards import arrow_content, shard_file_name
from timbral.embeddings.audit.findings_file import write_findings
from timbral.embeddings.table import read_embeddings, utterance_schema, vectors_of
from timbral.embeddings.vectors import unit_length
from timbral.io.storage import Folder
from timbral.io.types import Vectors

ROWS, WRONG, SECOND = 50_000, 1e-4, 1e-3
WHOLE_COUNT = 2.0
"""how many independent seconds a recording is worth; a part is worth less"""
DIMENSIONS = 192


@dataclass(frozen=True)
class Voices:
    """The distribution that vectors are drawn from."""

    centers: np.ndarray
    """the speakers' means (S, E)"""
    within: np.ndarray
    """matrix (E, E) that turns white noise into the variation between recordings of a speaker"""

    @classmethod
    def drawn(cls, speakers: int, like: Path | None) -> Voices:
        random = np.random.default_rng(0)
        if like is None:
            centers = random.normal(size=(speakers, DIMENSIONS)).astype(np.float32)
            return cls(centers, np.eye(DIMENSIONS, dtype=np.float32))
        table = read_embeddings(like)
        vectors = vectors_of(table).astype(np.float64)
        codes = np.unique(table["speaker"].to_pylist(), return_inverse=True)[1]
        counts = np.bincount(codes)
        sums = np.zeros((len(counts), vectors.shape[1]))
        np.add.at(sums, codes, vectors)
        means = sums / counts[:, None]
        apart = vectors - means[codes]
        within = apart.T @ apart / (len(vectors) - len(counts))
        between = np.cov(means.T) - within * np.mean(1 / counts)
        noise = random.normal(size=(speakers, vectors.shape[1]))
        centers = means.mean(axis=0) + noise @ _root(between)
        return cls(centers.astype(np.float32), _root(within).astype(np.float32))

    def around(self, codes: np.ndarray, counts: np.ndarray, random: np.random.Generator) -> Vectors:
        """Unit vectors (..., E) of speakers (...), each worth so many seconds (...)."""
        noise = random.normal(size=(*codes.shape, len(self.within))).astype(np.float32)
        scale = np.sqrt(WHOLE_COUNT / counts, dtype=np.float32)[..., None]
        return unit_length(self.centers[codes] + scale * (noise @ self.within))


def _root(covariance: np.ndarray) -> np.ndarray:
    """A matrix R (E, E) with RᵀR = covariance, so that white noise times R has this covariance.

    A tenth of the covariance is made equal in all directions, so that more speakers can be drawn
    than were seen.
    """
    size = len(covariance)
    variances, axes = np.linalg.eigh(
        0.9 * covariance + 0.1 * np.eye(size) * covariance.trace() / size
    )
    return np.asarray((axes * np.sqrt(np.maximum(variances, 0))) @ axes.T)


def write(path: Path, voices: Voices, number: int, same_length: bool) -> int:
    """Write a table of utterances, in blocks of rows; returns the number of wrong labels in it."""
    random = np.random.default_rng(1)
    speakers, size = voices.centers.shape
    wrong = 0
    with pyarrow.parquet.ParquetWriter(path, utterance_schema(size)) as writer:
        for start in range(0, number, ROWS):
            rows = np.arange(start, min(start + ROWS, number))
            values = voices.around(rows % speakers, np.full(len(rows), WHOLE_COUNT), random)
            of_another = random.random(len(rows)) < WRONG
            wrong += int(of_another.sum())
            labels = (rows + of_another) % speakers
            seconds = np.full(len(rows), 3.0) if same_length else random.uniform(2, 12, len(rows))
            names = [f"s{row % speakers:06d}/u{row:08d}" for row in rows]
            columns = [
                names,
                [f"s{label:06d}" for label in labels],
                [""] * len(rows),
                [f"/corpus/{name}.wav" for name in names],
                seconds,
                pa.FixedSizeListArray.from_arrays(values.ravel(), size),
                *([text] * len(rows) for text in ("encoder", "0" * 64, "")),
            ]
            writer.write_table(pa.table(columns, schema=writer.schema))
    return wrong


def write_parts(folder: Path, voices: Voices, number: int) -> tuple[KeptParts, int]:
    """Write shards of the recordings' parts; returns how many have a second speaker."""
    random = np.random.default_rng(2)
    speakers = len(voices.centers)
    kept, shards, second = Folder(folder), [], 0
    for start in range(0, number, SHARD_RECORDINGS):
        rows = np.arange(start, min(start + SHARD_RECORDINGS, number))
        planted = random.random(len(rows)) < SECOND
        second += int(planted.sum())
        codes = np.stack([rows, rows + planted * random.integers(1, speakers)], axis=1) % speakers
        seconds = random.uniform(0.5, 6, size=(len(rows), 2))
        vectors = voices.around(codes, 1 / (1 / seconds + 0.3), random)
        table = parts_table(rows - start, vectors, seconds, seconds[:, 0])
        name = shard_file_name(start // SHARD_RECORDINGS)
        kept.write(name, arrow_content(table))
        shards.append((name, rows))
    return KeptParts(kept, tuple(shards)), second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--speakers", type=int, default=20_000)
    parser.add_argument("--like", type=Path, help="a folder that `embed` made")
    parser.add_argument("--second-speakers", action="store_true")
    parser.add_argument("--same-length", action="store_true")
    options = parser.parse_args()
    voices = Voices.drawn(options.speakers, options.like)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "utterances.parquet"
        wrong = write(path, voices, options.vectors, options.same_length)
        parts, second = None, 0
        if options.second_speakers:
            parts, second = write_parts(Path(folder) / "parts", voices, options.vectors)
        pa.default_memory_pool().release_unused()
        forget_peak()
        before = peak_megabytes()
        started, processor = time.perf_counter(), time.process_time()
        found = write_findings(
            path,
            None,
            min_probability=0.5,
            other=None,
            parts_of=None if parts is None else lambda _: parts,
        )
        seconds, processor = time.perf_counter() - started, time.process_time() - processor
    kinds = found["kind"].to_pylist()
    print(
        f"{options.vectors:,} vectors of {options.speakers:,} speakers: {processor:.0f} s of "
        f"processors ({seconds:.0f} s), at most {peak_megabytes():,.0f} MB ({before:,.0f} before)\n"
        f"{kinds.count('mislabeled')} mislabeled of {wrong}, "
        f"{kinds.count('second-speaker')} with a second speaker of {second}, "
        f"{len(kinds)} findings"
    )


if __name__ == "__main__":
    main()
