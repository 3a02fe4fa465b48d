#!/usr/bin/env bash
# sqlite-vec 0.1.9 (in apsw 3.54.1.0), duckdb 2.0.1, numpy 2.4.6
#
# Guess, written down before: a zero vector (the embedding of silence or of a failed recording) never comes back as the
# nearest voice by cosine; where its distance is no number, it is the last.
# Seen: in sqlite-vec, ORDER BY vec_distance_cosine puts it first in every search, for its distance is NULL, and SQLite
# sorts NULL before all numbers. In DuckDB, ORDER BY array_cosine_similarity DESC puts it first, for its similarity is
# nan, and DuckDB sorts nan above all numbers; by array_cosine_distance it is the last. sqlite-vec's own index (vec0)
# does not give it first.
# Who is hurt: whoever looks voices up in a table of embeddings: one all-zero row (a placeholder, a recording
# of silence, a vector that quantization took to zero) is everybody's best match.
# What to do: refuse zero vectors where they enter (norm < 1e-6), or store unit vectors and search by the inner product
# or by Euclidean distance, which give zero vectors numbers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check sqlite-vec==0.1.9 apsw==3.54.1.0 duckdb==2.0.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import apsw
import duckdb
import numpy as np
import sqlite_vec

VOICES, SIZE, SILENT = 100, 192, 42
generator = np.random.default_rng(0)
voices = generator.standard_normal((VOICES, SIZE)).astype("float32")
voices[SILENT] = 0
people = [number for number in range(VOICES) if number != SILENT]
searches = voices[people] + 0.3 * generator.standard_normal((len(people), SIZE)).astype("float32")

lite = apsw.Connection(":memory:")
lite.enable_load_extension(True)
lite.load_extension(sqlite_vec.loadable_path())
ask_lite = lite.cursor()
ask_lite.execute("create table voices (id integer, vector blob)")
ask_lite.execute(f"create virtual table voice_index using vec0(vector float[{SIZE}] distance_metric=cosine)")
for number, vector in enumerate(voices):
    ask_lite.execute("insert into voices values (?, ?)", (number, vector.tobytes()))
    ask_lite.execute("insert into voice_index (rowid, vector) values (?, ?)", (number, vector.tobytes()))

duck = duckdb.connect()
duck.execute(f"create table voices (id integer, vector float[{SIZE}])")
duck.executemany("insert into voices values (?, ?)", [[n, vector.tolist()] for n, vector in enumerate(voices)])

LITE = "select id from voices order by vec_distance_cosine(vector, ?) limit 1"
INDEX = "select rowid from voice_index where vector match ? and k = 1"
DUCK = f"select id from voices order by array_cosine_{{}}(vector, ?::float[{SIZE}]) limit 1"
ways = {
    "sqlite-vec, by distance": lambda vector: ask_lite.execute(LITE, (vector.tobytes(),)).fetchone()[0],
    "sqlite-vec, vec0": lambda vector: ask_lite.execute(INDEX, (vector.tobytes(),)).fetchone()[0],
    "DuckDB, by distance": lambda vector: duck.execute(DUCK.format("distance"), [vector.tolist()]).fetchone()[0],
    "DuckDB, by similarity": lambda vector: duck.execute(
        DUCK.format("similarity").replace(" limit", " desc limit"), [vector.tolist()]
    ).fetchone()[0],
}
silent = {}
for name, search in ways.items():
    answers = np.array([search(vector) for vector in searches])
    silent[name] = float(np.mean(answers == SILENT))
    print(f"{name}: the zero vector is the answer to {silent[name]:.0%} of searches, "
          f"the right voice to {np.mean(answers == people):.0%}")
expected = {"sqlite-vec, by distance": 1, "sqlite-vec, vec0": 0, "DuckDB, by distance": 0, "DuckDB, by similarity": 1}
sys.exit(0 if silent == expected else "the behavior has changed: other ways give the zero vector first")
PYTHON
