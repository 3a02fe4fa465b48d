#!/usr/bin/env bash
# lancedb 0.40.0, pyarrow 26.0.1, numpy 2.4.6
#
# Guess, written down before: a lancedb table of unit vectors with an index (metric="cosine") gives the distances that it gave
# without, to 0.02, and finds the right voice for 95 % of the queries.
# Seen: with every index that compresses the vectors (IVF_PQ, the default, IVF_SQ, IVF_RQ, IVF_HNSW_SQ, IVF_HNSW_PQ)
# _distance is twice 1 - cosine, as the square of a distance between unit vectors is, and with PQ less exact. Without an index, with
# IVF_FLAT and with refine_factor it is 1 - cosine. As soon as rows are added that the index does not hold yet,
# all distances are exact again, until optimize(). distance_range() goes by the doubled ones even then: it drops
# hits whose _distance lies inside the range. IVF_HNSW_SQ finds the right voice for 87 of 200 recordings only, for 199 with
# refine_factor.
# Who is hurt: whoever sets a threshold for "is it one voice" on a small table or in a test, and builds the index when the
# gallery has grown: recordings of enrolled people, 0.30 from their own, are then 0.59 away, and refused.
# What to do: refine_factor(10), with which distances are exact (the ranking too), or compute the cosine of the hits anew;
# no distance_range with a compressed index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check lancedb==0.40.0 pyarrow==26.0.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import lancedb
import numpy as np
import pyarrow as pa

VOICES, LATER, SIZE, QUERIES, LIMIT = 3_000, 100, 192, 200, 0.5
generator = np.random.default_rng(0)


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def recordings(voices: np.ndarray) -> np.ndarray:
    """Two of one voice have a cosine of 0.7, two of different voices of 0."""
    return unit(np.sqrt(0.7) * voices + np.sqrt(0.3) * unit(generator.standard_normal(voices.shape))).astype("float32")


voices = unit(generator.standard_normal((VOICES + LATER, SIZE)))
enrolled, queries = recordings(voices), recordings(voices[:QUERIES])


def rows(first: int, last: int) -> pa.Table:
    flat = pa.array(enrolled[first:last].ravel())
    return pa.table({"voice": range(first, last), "vector": pa.FixedSizeListArray.from_arrays(flat, SIZE)})


def look(table, way: str, refine: bool = False) -> tuple[float, int, int]:
    """Mean ratio of the distances to the exact ones, and how many voices are found and accepted in two ways."""
    ratios, accepted, in_range, right = [], 0, 0, 0
    for voice, query in enumerate(queries):
        search = table.search(query).metric("cosine").limit(1)
        search = search.refine_factor(10) if refine else search
        (hit,) = search.to_list()
        ratios.append(hit["_distance"] / (1 - float(query @ enrolled[hit["voice"]])))
        right += hit["voice"] == voice
        accepted += hit["voice"] == voice and hit["_distance"] < LIMIT
        if not refine:
            in_range += len(table.search(query).metric("cosine").distance_range(upper_bound=LIMIT).limit(1).to_list())
    ratio = float(np.mean(ratios))
    print(f"{way}: distance {ratio:.2f} times 1 - cosine; of {QUERIES} voices {right} come first, {accepted} of these below "
          f"{LIMIT}" + ("" if refine else f", {in_range} hits by distance_range"))
    return ratio, accepted, in_range


database = lancedb.connect("gallery")
table = database.create_table("none", rows(0, VOICES))
ratio, accepted, in_range = look(table, "no index")
ok = abs(ratio - 1) < 0.01 and accepted == in_range == QUERIES
for kind in ("IVF_FLAT", "IVF_PQ", "IVF_SQ", "IVF_RQ", "IVF_HNSW_SQ"):
    table = database.create_table(kind, rows(0, VOICES))
    table.create_index(metric="cosine", vector_column_name="vector", index_type=kind)
    table.wait_for_index(["vector_idx"])
    ratio, accepted, in_range = look(table, kind)
    refined = look(table, f"{kind}, refine_factor=10", refine=True)
    if kind == "IVF_FLAT":
        ok &= abs(ratio - 1) < 0.01 and accepted == in_range == QUERIES
        continue
    table.add(rows(VOICES, VOICES + LATER))
    mixed = look(table, f"{kind}, rows added after it")
    ok &= 1.8 < ratio < 3 and accepted + in_range < 0.2 * QUERIES and abs(refined[0] - 1) < 0.01
    ok &= abs(mixed[0] - 1) < 0.01 and mixed[2] < 0.2 * QUERIES
    if kind == "IVF_SQ":
        table.optimize()
        ok &= look(table, f"{kind}, after optimize()")[0] > 1.8
sys.exit(0 if ok else "the behavior has changed: distances are the same with an index, or refined ones are not exact")
PYTHON
