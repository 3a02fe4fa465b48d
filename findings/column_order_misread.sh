#!/usr/bin/env bash
# zeusdb-vector-database 0.13.0, alayalite 1.0.4, numpy 2.4.6, pandas 3.1.1
#
# Guess, written down before: both take an array of vectors in any order of memory, or refuse it.
# Seen: zeusdb refuses slices (in the result's errors, nothing raises), alayalite reads them rightly. But an array in column
# order, as a data frame gives its numbers or as `.T` is, both read as it lies in memory: each vector is made of one or two
# dimensions of many voices. zeusdb's add() says 1,000 inserted and no errors, alayalite's fit() nothing; of these voices
# at most 1 % are found, and where the enrolled ones are right, so it is with queries of that order.
# Who is hurt: whoever keeps vectors in a table (Parquet, CSV, pandas) or transposes: everybody is somebody else, at a low score
# that looks like a hard test.
# What to do: np.ascontiguousarray(vectors, dtype=np.float32) before each call, and look at the errors of zeusdb's result.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" zeusdb-vector-database==0.13.0 alayalite==1.0.4 numpy==2.4.6 pandas==3.1.1
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - 2>&1 <<'PYTHON' | grep -vE '\[Alaya\]|ERROR error=|^$' # their logs
import contextlib
import io
import sys

import alayalite
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


def fit(vectors: np.ndarray) -> alayalite.Index:
    with contextlib.redirect_stdout(io.StringIO()):
        index = alayalite.Client().create_index(metric="cosine")
        index.fit(vectors)
    return index


def found_by_alayalite(index: alayalite.Index, queries: np.ndarray) -> float:
    return float(np.mean(index.batch_search(queries, 1)[:, 0] == np.arange(ASKED)))


ok = True
for kind, vectors in {
    "rows, as numpy makes them": enrolled,
    "a data frame's numbers": pd.DataFrame(enrolled).to_numpy(),
    "the transpose of a transpose": np.ascontiguousarray(enrolled.T).T,
}.items():
    index, result = add(vectors)
    shares = found(index, recordings.tolist()), found_by_alayalite(fit(vectors), recordings)
    print(f"{kind:28} zeusdb: inserted {result.total_inserted}, errors {result.total_errors}, found {shares[0]:.1%}; "
          f"alayalite: found {shares[1]:.1%}")
    ok &= result.total_inserted == VOICES and result.total_errors == 0
    ok &= min(shares) > 0.95 if vectors is enrolled else max(shares) < 0.02
(index, _), other, table = add(enrolled), fit(enrolled), pd.DataFrame(recordings).to_numpy()
rows, frame = found(index, recordings), found(index, table)
right, wrong = found_by_alayalite(other, recordings), found_by_alayalite(other, table)
print(f"queries in rows: {rows:.1%} and {right:.1%}; from a data frame: {frame:.1%} and {wrong:.1%}")
slices = np.hstack([enrolled, enrolled])[:, :DIMENSION]
sliced, read = add(slices)[1], found_by_alayalite(fit(slices), recordings)
print(f"a slice: inserted {sliced.total_inserted}, errors {sliced.total_errors}; found {read:.1%}")
ok &= min(rows, right) > 0.95 and max(frame, wrong) < 0.02 and sliced.total_inserted == 0 and read > 0.95
sys.exit(0 if ok else "the behavior has changed: column order is read rightly, or refused")
PYTHON
