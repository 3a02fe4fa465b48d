#!/usr/bin/env bash
# auglib 1.1.0, numpy 2.4.6
#
# Guess, written down before: auglib's transforms add noise at the ratio asked for, to 0.5 dB, and leave what they were given.
# Seen: WhiteNoiseGaussian, WhiteNoiseUniform and Tone add into the array of the caller (float32), and return a view of it.
# PinkNoise, Mix, filters and gains do not. The first time the ratio is right; a recording that is kept in memory
# carries the noise of all epochs, each louder than the last, since the ratio is to what is there already: asked for 10 dB
# ten times, it is at -19 dB.
# Who is hurt: whoever trains from recordings in memory (each epoch is noisier, and no clean one is left), and whoever
# makes a clean and a noisy one of each recording, to compare vectors, to distill or to measure an encoder in
# noise: both are the noisy one, cosine 1, and an encoder looks immune.
# What to do: give a copy, transform(signal.copy(), rate).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check auglib==1.1.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
from auglib import transform

RATE = 16_000
generator = np.random.default_rng(0)
time = np.arange(2 * RATE) / RATE
clean = (0.1 * np.sin(2 * np.pi * 200 * time) * np.sin(6 * time)).astype("float32")
noise = (0.05 * generator.standard_normal(len(clean))).astype("float32")


def ratio(noisy: np.ndarray, reference: np.ndarray) -> float:
    """Decibels of the reference over what differs from it."""
    error = np.sum((noisy.ravel()[: len(reference)].astype(float) - reference) ** 2)
    return float(10 * np.log10(np.sum(reference.astype(float) ** 2) / error)) if error else np.inf


ways = {
    "WhiteNoiseGaussian": transform.WhiteNoiseGaussian(snr_db=10),
    "WhiteNoiseUniform": transform.WhiteNoiseUniform(snr_db=10),
    "Tone": transform.Tone(1000, snr_db=10),
    "PinkNoise": transform.PinkNoise(snr_db=10),
    "Mix": transform.Mix(noise, snr_db=10),
}
ok = True
for name, way in ways.items():
    for shape in ((-1,), (1, -1)):
        given = clean.copy().reshape(shape)
        noisy = way(given, RATE)
        to_given, to_clean = ratio(noisy, given.ravel()), ratio(noisy, clean)
        for _ in range(9):
            noisy = way(given, RATE)
        later = ratio(noisy, clean)
        print(f"{name}, shape {given.shape}: 10 dB asked for; the noisy recording to what was given {to_given:.1f} dB, "
              f"to a copy made before {to_clean:.1f} dB, the tenth time {later:.1f} dB")
        in_place = name not in ("PinkNoise", "Mix")
        ok &= abs(to_clean - 10) < 0.5 and (to_given == np.inf and later < -10 if in_place else abs(later - 10) < 0.5)
sys.exit(0 if ok else "the behavior has changed: what is given stays as it is, or more transforms change it")
PYTHON
