#!/usr/bin/env bash
# safetensors 0.8.0 (0.7.0 is right), numpy 2.4.6, pandas 3.1.1
#
# Guess, written down before: safetensors.numpy saves arrays that are transposed, in Fortran order or a part of the columns
# as it saves others.
# Seen: 0.8.0 writes the bytes as they lie in memory, with the shape of the array: what is read back has the right
# shape, type and norm of the whole and its numbers in other places. No error and no warning (the docstring asks for
# contiguous arrays); up to 0.7.0 the same calls are right, and safetensors.torch refuses such tensors. A DataFrame's
# to_numpy() is transposed in memory, and so is every `weight.T` on the way from one framework to another.
# Who is hurt: whoever keeps vectors, a whitening or LDA, or converted weights so: a voice's vector becomes a mixture of all
# voices', recordings are all equally alike or unlike, cosine 0.0 to their own; square weights load without complaint.
# What to do: numpy.ascontiguousarray around each array, or stay below 0.8; files written with 0.8.0 that
# may hold such arrays have to be written again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 pandas==3.1.1
for version in 0.7.0 0.8.0; do
  "$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps --target "$folder/$version" "safetensors==$version"
done
cat > "$folder/look.py" <<'PYTHON'
import sys

import numpy as np
import pandas as pd
import safetensors
from safetensors.numpy import load_file, save_file

VOICES, EACH, SIZE = 40, 5, 192
generator = np.random.default_rng(0)
voices = np.repeat(generator.standard_normal((VOICES, SIZE)), EACH, axis=0)
vectors = (voices + 0.6 * generator.standard_normal(voices.shape)).astype(np.float32)
frame = pd.DataFrame({f"e{place}": vectors[:, place] for place in range(SIZE)})
left = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)[2].astype(np.float32)
arrays = {
    "as it is": vectors,
    "to_numpy() of a DataFrame": frame.to_numpy(),
    "weights transposed": left.T,
    "the first 128 of 192 values": vectors[:, :128],
    "every second value": vectors[:, ::2],
}


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.sum(one * other, axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


mine = np.arange(VOICES * EACH).reshape(VOICES, EACH)
spread = {}
for name, array in arrays.items():
    save_file({"vectors": array}, "vectors.safetensors")
    read = load_file("vectors.safetensors")["vectors"]
    spread[name] = np.abs(cosine(read, array)).mean()
    line = f"{safetensors.__version__}, {name}: shape {read.shape}, cosine of a row to what was saved {spread[name]:.2f}"
    if len(read) == VOICES * EACH:
        same, other = cosine(read[mine[:, 0]], read[mine[:, 1]]), cosine(read[mine[:-1, 0]], read[mine[1:, 0]])
        line += f"; of one voice {same.mean():.2f}, of two {other.mean():.2f}"
    print(line)
others = [value for name, value in spread.items() if name != "as it is"]
expected = max(others) < 0.3 if safetensors.__version__ == "0.8.0" else min(others) > 0.9999
sys.exit(0 if spread["as it is"] > 0.9999 and expected else "the behavior has changed: arrays are saved or refused otherwise")
PYTHON
cd "$folder"
for version in 0.7.0 0.8.0; do
  PYTHONPATH="$folder/$version" "$folder/venv/bin/python" look.py
done
