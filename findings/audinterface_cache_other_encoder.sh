#!/usr/bin/env bash
# audinterface 1.4.0, audformat 1.4.3, audiofile 1.6.1, numpy 2.4.6, pandas 3.1.1
#
# Guess, written down before: process_index(index, cache_root=...) computes anew where another process function, other
# parameters or a changed file asks for it.
# Seen: the name of a cached result is made of the index alone (so says the description). A second encoder with the same
# folder gets the first one's vectors, all of them, also where it has another number of features, another sampling rate or
# other parameters; a recording that was replaced keeps its old vector; what is cached outlives the process.
# Columns have the first one's names. Nothing is said.
# Who is hurt: whoever compares two encoders or two settings over one list of recordings: they come out equal to the last
# digit, or the old one's error rate is reported as the new one's.
# What to do: a folder for each encoder, its settings and its version, emptied when recordings change.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check audinterface==1.4.0 audformat==1.4.3 audiofile==1.6.1 \
  numpy==2.4.6 pandas==3.1.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import audformat
import audinterface
import numpy as np
import soundfile

RATE, RECORDINGS = 16_000, 6
generator = np.random.default_rng(0)
names = [f"{number}.wav" for number in range(RECORDINGS)]
for name in names:
    soundfile.write(name, 0.1 * generator.standard_normal(2 * RATE), RATE)
index = audformat.filewise_index(names)


def encoder(features: int, seed: int, rate: int = RATE) -> audinterface.Feature:
    """An encoder: log band energies in random directions."""
    directions = np.random.default_rng(seed).standard_normal((64, features))

    def embed(signal: np.ndarray, sampling_rate: int) -> np.ndarray:
        power = np.abs(np.fft.rfft(signal[0])) ** 2
        return np.log([part.mean() for part in np.array_split(power, 64)]) @ directions

    labels = [f"seed{seed}-{number}" for number in range(features)]
    return audinterface.Feature(labels, process_func=embed, sampling_rate=rate, resample=True)


def vectors(of: audinterface.Feature, cache: str | None = "cache") -> np.ndarray:
    return of.process_index(index, cache_root=cache).to_numpy()


first = vectors(encoder(16, 1))
same = {
    "another encoder": np.array_equal(vectors(encoder(16, 2)), first),
    "one of 8 features instead of 16": np.array_equal(vectors(encoder(8, 3)), first),
    "one at 8 kHz": np.array_equal(vectors(encoder(16, 4, 8_000)), first),
}
soundfile.write(names[0], 0.5 * generator.standard_normal(RATE), RATE)
same["the same, after a recording was replaced"] = np.array_equal(vectors(encoder(16, 1)), first)
for name, equal in same.items():
    print(f"{name}: {'the vectors of the first encoder' if equal else 'vectors of its own'}")
without = vectors(encoder(16, 2), cache=None)
print(f"without a folder they differ by up to {np.abs(without - first).max():.1f}")
right = not np.array_equal(without, first) and not np.array_equal(vectors(encoder(16, 1), cache=None)[0], first[0])
sys.exit(0 if all(same.values()) and right else "the behavior has changed: what is cached is told apart")
PYTHON
