#!/usr/bin/env bash
# zeusdb-vector-database 0.13.0, numpy 2.4.6, pandas 3.1.1
#
# Guess, written down before: add() and search() take an array of vectors in any order of memory, or refuse it.
# Seen: slices and float64 are refused (in the result's errors, nothing raises), but an array in column order, as a data frame
# gives its numbers or as `.T` is, is read as it lies in memory: each vector is made of one or two dimensions of many voices.
# add() says 1,000 inserted and no errors; of these voices at most 1 % are found, and in queries of that order likewise
# where the enrolled ones are right. A save and the count agree.
# Who is hurt: whoever keeps vectors in a table (Parquet, CSV, pandas) or transposes: everybody is somebody else, at a low score
# that looks like a hard test.
# What to do: np.ascontiguousarray(vectors, dtype=np.float32) before each call, and look at the result's errors.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" zeusdb-vector-database==0.13.0 numpy==2.4.6 pandas==3.1.1
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - 2>/dev/null <<'PYTHON'
import sys

import numpy as np
import pandas as pd
from zeusdb_vector_database import VectorDatabase

VOICES, DIMENSION, ASKED = 1_000, 192, 200
generator = np.random.default_rng(0)
names = [f"voice{number}" for number in range(VOICES)]


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


enrolled = unit(generator.standard_normal((VOICES, DIMENSION)))
recordings = unit(0.8 * enrolled + 0.6 * unit(generator.standard_normal((VOICES, DIMENSION))))[:ASKED]


def found(index: object, queries: object) -> float:
    """The share of recordings whose voice comes first."""
    hits = index.search(vector=queries, top_k=1)
    return float(np.mean([hit[0]["id"] == name for hit, name in zip(hits, names)]))


def add(vectors: np.ndarray) -> tuple[object, object]:
    index = VectorDatabase().create("hnsw", dim=DIMENSION, space="cosine")
    return index, index.add({"ids": names, "vectors": vectors})


ok = True
for kind, vectors in {
    "rows, as numpy makes them": enrolled,
    "a data frame's numbers": pd.DataFrame(enrolled).to_numpy(),
    "the transpose of a transpose": np.ascontiguousarray(enrolled.T).T,
}.items():
    index, result = add(vectors)
    share = found(index, recordings.tolist())
    print(f"{kind:28} inserted {result.total_inserted}, errors {result.total_errors}, found {share:.1%}")
    ok &= result.total_inserted == VOICES and result.total_errors == 0
    ok &= share > 0.95 if vectors is enrolled else share < 0.02
index, _ = add(enrolled)
rows, frame = found(index, recordings), found(index, pd.DataFrame(recordings).to_numpy())
print(f"queries in rows: found {rows:.1%}; from a data frame: {frame:.1%}")
_, sliced = add(np.hstack([enrolled, enrolled])[:, :DIMENSION])
print(f"a slice: inserted {sliced.total_inserted}, errors {sliced.total_errors}")
ok &= rows > 0.95 and frame < 0.02 and sliced.total_inserted == 0
sys.exit(0 if ok else "the behavior has changed: column order is read rightly, or refused")
PYTHON
