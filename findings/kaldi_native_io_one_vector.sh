#!/usr/bin/env bash
# kaldi_native_io 1.23.0, numpy 2.4.6
#
# Guess, written down before: vectors that are read from an archive stay what they are: dict(SequentialFloatVectorReader(...))
# holds what was written, and after a = reader["x"], b = reader["y"] of a RandomAccessFloatVectorReader a is still x.
# Seen: neither. What a reader hands out is a view of its one buffer, without a word in its documentation, and the next one
# is read into it: a and b are both y, and their cosine is 1, whoever they are. What a loop over the file collects is
# one vector over and over, and once the reader is through, memory that was given back. Matrices are the same.
# Within the body of the loop each is right, so that printing them finds nothing. FloatVector.read(...) of a single
# entry and lists of integers (Int32) are copies.
# Who is hurt: whoever scores trials from an xvector.scp, reader[enrolled] @ reader[test]: all scores are 1 (an EER of 50 %), or
# one voice's mean and its test are the same; whoever collects x-vectors for clustering, PLDA or a table.
# What to do: reader[key].copy(), {key: value.copy() for key, value in reader}; kaldiio hands out copies.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check kaldi_native_io==1.23.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import kaldi_native_io as kaldi
import numpy as np

VOICES, SIZE = 200, 192
generator = np.random.default_rng(0)
written = {f"voice{number:03}": vector for number, vector in
           enumerate(generator.standard_normal((VOICES, SIZE)).astype("float32"))}
with kaldi.FloatVectorWriter("ark,scp:xvector.ark,xvector.scp") as writer:
    for name, vector in written.items():
        writer.write(name, vector)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


names = list(written)
trials = list(zip(names, np.roll(names, 1).tolist(), strict=True))  # all of two people
exact = [cosine(written[one], written[other]) for one, other in trials]
with kaldi.RandomAccessFloatVectorReader("scp:xvector.scp") as reader:
    scores = [cosine(reader[one], reader[other]) for one, other in trials]
    copied = [cosine(reader[one].copy(), reader[other].copy()) for one, other in trials]
print(f"{len(trials)} trials of two people: cosines {min(exact):+.2f} to {max(exact):+.2f}, scored from the reader "
      f"{min(scores):+.2f} to {max(scores):+.2f}, with copies {min(copied):+.2f} to {max(copied):+.2f}")
reader = kaldi.SequentialFloatVectorReader("scp:xvector.scp")
entries = iter(reader)
collected, right = {}, 0
for _ in range(10):  # and no further: the reader stays open, its memory is still its own
    name, vector = next(entries)
    right += np.array_equal(vector, written[name])
    collected[name] = vector
kept = [name for name in collected if np.array_equal(collected[name], written[name])]
print(f"{right} of {len(collected)} vectors are right when they are read; of those collected {len(kept)}: {kept}")
ok = min(scores) > 0.999 and np.allclose(copied, exact, atol=1e-5) and right == len(collected) and kept == [name]
sys.exit(0 if ok else "the behavior has changed: a vector that was read stays what it is")
PYTHON
