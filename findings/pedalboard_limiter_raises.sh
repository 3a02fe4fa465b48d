#!/usr/bin/env bash
# pedalboard 0.9.26, numpy 2.4.6
#
# Guess, written down before: Limiter(threshold_db=...) leaves a voice whose peaks are below its threshold as it is.
# Seen: it raises it, and the more the lower the threshold: speech at -34 dBFS, with peaks at -19, comes out of Limiter(), whose
# threshold is -10 dB, at -20 dBFS; of one at -20 dB at -10 dBFS, of one at -30 dB at -6 dBFS with 8 % of the samples cut flat
# at full scale. The documentation says "a simple limiter with standard threshold", and a hard clipper at 0 dB. Compressor()
# leaves what is below its threshold alone.
# Who is hurt: whoever draws threshold_db at random to augment: what is meant to be harsher makes recordings louder, the noise in
# their pauses too; whoever tames recordings before an encoder, a detector of speech or a score that goes by level.
# What to do: bring the level back afterwards (rms to rms), or Compressor(threshold_db=..., ratio=20).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pedalboard==0.9.26 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from pedalboard import Compressor, Limiter

RATE, SECONDS = 16_000, 10
generator = np.random.default_rng(0)
count = RATE * SECONDS
spectrum, hertz = np.fft.rfft(generator.standard_normal(count)), np.fft.rfftfreq(count, 1 / RATE)
spectrum[(hertz < 150) | (hertz > 3500)] = 0
speech = np.fft.irfft(spectrum, count) * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * np.arange(count) / RATE))


def decibels(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(samples.astype(float) ** 2)))


voice = (speech / speech.std() * 10 ** (-34 / 20)).astype(np.float32)
print(f"a voice at {decibels(voice):.0f} dBFS, peaks at {20 * np.log10(np.abs(voice).max()):.0f} dBFS")
raised, flat = {}, {}
for threshold in (-1, -10, -20, -30):
    limited = Limiter(threshold_db=threshold)(voice, RATE)
    raised[threshold], flat[threshold] = decibels(limited) - decibels(voice), float(np.mean(np.abs(limited) > 0.9999))
    print(f"Limiter(threshold_db={threshold}): {raised[threshold]:+.1f} dB, {flat[threshold]:.2%} of the samples at full scale")
compressed = decibels(Compressor(threshold_db=-10, ratio=20)(voice, RATE)) - decibels(voice)
print(f"Compressor(threshold_db=-10, ratio=20): {compressed:+.1f} dB")
ok = 3 < raised[-1] < raised[-10] < raised[-20] < raised[-30] and raised[-10] > 10 and flat[-30] > 0.01
sys.exit(0 if ok and abs(compressed) < 0.1 else "the behavior has changed: what is below the threshold passes")
PYTHON
