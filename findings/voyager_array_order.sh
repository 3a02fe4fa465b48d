#!/usr/bin/env bash
# voyager 2.2.3, numpy 2.4.6
#
# Guess, written down before: add_items, add_item and query take the numbers of the array that they are given, or raise.
# Seen: all three read memory from the array's start on, as if its rows lay one behind the other. Of vectors[:, :128] (the first
# dimensions of longer vectors), vectors[::2] or a table's columns behind an id each voice gets pieces of other voices'
# vectors: 1 % are found at most. Of column order (a data frame's numbers, and what was divided by norms or otherwise
# computed from them) all numbers are taken, in another order. Queries are misread in the same way, so that a test with
# as many queries as voices, in the same form, finds every voice at the right similarity; the same index asked with one
# recording, or with vectors from elsewhere, knows nobody. Slices of float64 come out right (they are converted
# first), column order of float64 does not. Nothing is raised.
# Who is hurt: whoever shortens vectors that were trained for it, enrolls from a frame, or takes every other recording by a slice:
# strangers come first, at similarities from 0.2 to 0.5.
# What to do: np.ascontiguousarray(vectors) before add_item, add_items and query; hnswlib takes any order, usearch raises.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check voyager==2.2.3 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import voyager

VOICES, SIZE, SHORT, OWN = 400, 256, 128, 0.8
generator = np.random.default_rng(0)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


enrolled = unit(generator.standard_normal((VOICES, SIZE)).astype("float32"))
away = generator.standard_normal((VOICES, SIZE)).astype("float32")
away = unit(away - (away * enrolled).sum(1, keepdims=True) * enrolled)
asked = OWN * enrolled + np.float32(np.sqrt(1 - OWN**2)) * away  # a second recording of each voice


def behind_an_id(vectors: np.ndarray) -> np.ndarray:
    return np.column_stack([np.arange(len(vectors), dtype="float32"), vectors])[:, 1:]


def found(vectors: np.ndarray, queries: np.ndarray) -> tuple[float, float]:
    """How many percent of the queries find their voice first, and the median similarity of what comes first."""
    index = voyager.Index(voyager.Space.Cosine, vectors.shape[1], M=32, ef_construction=VOICES)
    index.add_items(vectors)
    names, distances = index.query(queries, 1, query_ef=VOICES)
    return 100 * float(np.mean(names[:, 0] == np.arange(len(queries)))), 1 - float(np.median(distances))


FORMS = {  # how arrays come, and whether they are misread
    "rows": (lambda vectors: vectors, False),
    "first dimensions": (lambda vectors: vectors[:, :SHORT], True),
    "first dimensions, float64": (lambda vectors: vectors.astype("float64")[:, :SHORT], False),
    "every other row": (lambda vectors: vectors[::2], True),
    "columns behind an id": (behind_an_id, True),
    "column order": (np.asfortranarray, True),
    "column order, float64": (lambda vectors: np.asfortranarray(vectors, dtype="float64"), True),
    "column order, made unit length": (lambda vectors: unit(np.asfortranarray(vectors)), True),
}
ok = True
for name, (form, misread) in FORMS.items():
    ours, theirs = form(enrolled), form(asked)
    rows, queries = np.ascontiguousarray(ours), np.ascontiguousarray(theirs)
    plain, alike = found(rows, queries)
    added, first = found(ours, queries)
    searched, both = found(rows, theirs)[0], found(ours, theirs)[0]
    print(f"{name}: copied {plain:.1f} % found; added as they come {added:.1f} % (what comes first has {first:.2f}), "
          f"asked as they come {searched:.1f} %, both {both:.1f} %")
    ok &= min(plain, both) > 99 and abs(alike - OWN) < 0.02
    ok &= max(added, searched) < 2 if misread else min(added, searched) > 99
single = voyager.Index(voyager.Space.Euclidean, VOICES)
single.add_item(enrolled[:, 0])
kept = single.get_vector(0)
print(f"add_item of a column: is the column {np.allclose(kept, enrolled[:, 0])}, is the memory behind its first number "
      f"{np.allclose(kept, enrolled.ravel()[:VOICES])}")
ok &= not np.allclose(kept, enrolled[:, 0], atol=0.01)
sys.exit(0 if ok else "the behavior has changed: arrays of any order are read rightly or refused")
PYTHON
