#!/usr/bin/env bash
# pedalboard 0.9.26, numpy 2.4.6, scipy 1.17.1
#
# Guess, written down before: pedalboard.Convolution with a room's impulse response equals scipy's convolution with it, to
# -40 dB, and with a response that is a single 1 it changes nothing.
# Seen: the waveform is right and the level is not: the response is scaled to one energy whatever its own, so that what
# comes out is 18 dB softer than what came in, for a single 1 as for any room. With `mix` the dry part keeps its level:
# of rooms whose direct sound is 1 the wet part is 24 to 31 dB softer than the response says, and what comes out of mix=0.5
# or 0.3 is nearly dry, reverberation 19 to 27 dB below it where it should be 1 to 7. The docstrings say nothing of it.
# Who is hurt: whoever augments with it: with mix the encoder learns from dry speech that is 5 or 3 dB softer and the
# evaluation "in a room" is none; without it recordings get 18 dB softer, and noise that is added at a level chosen
# before is 18 dB louder against them.
# What to do: mix=1.0, then scale the result to the level of scipy's convolution (or of the input), and mix by hand.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pedalboard==0.9.26 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import pedalboard
from scipy.signal import fftconvolve

RATE = 16_000
generator = np.random.default_rng(0)
dry = (0.05 * generator.standard_normal(2 * RATE)).astype("float32")


def room(seconds: float) -> np.ndarray:
    """Direct sound of 1 and reverberation that falls by 60 dB in so many seconds."""
    size = int(seconds * RATE)
    response = 0.1 * generator.standard_normal(size) * 10 ** (-3 * np.arange(size) / size)
    response[0] = 1
    return response.astype("float32")


def decibels(samples: np.ndarray, reference: np.ndarray) -> float:
    return float(20 * np.log10(np.std(samples) / np.std(reference)))


one = np.zeros(RATE, dtype="float32")
one[0] = 1
responses = {"a single 1": one, "a single 0.1": 0.1 * one, **{f"a room of {t} s": room(t) for t in (0.2, 0.6, 1.5)}}
ok = True
for name, response in responses.items():
    right = fftconvolve(dry, response)[: len(dry)]
    wet = pedalboard.Convolution(response, mix=1.0, sample_rate=RATE)(dry, RATE)
    gain = float(wet @ right / (right @ right))
    shape = decibels(wet - gain * right, gain * right)
    print(f"{name}: comes out at {decibels(wet, dry):+.1f} dB (scipy {decibels(right, dry):+.1f} dB), otherwise equal to "
          f"{shape:.0f} dB")
    ok &= abs(decibels(wet, dry) + 18.1) < 0.5 and shape < -60
    for mix in (0.5, 0.3):
        mixed = pedalboard.Convolution(response, mix=mix, sample_rate=RATE)(dry, RATE)
        softer = decibels(mixed - (1 - mix) * dry, mix * right)
        print(f"  mix {mix}: the wet part is {softer:+.1f} dB to what the response gives, reverberation "
              f"{decibels(mixed - dry * (mixed @ dry) / (dry @ dry), mixed):+.0f} dB of all, by hand "
              f"{decibels(right - dry * (right @ dry) / (dry @ dry), right + dry * (1 - mix) / mix):+.0f} dB")
        ok &= name == "a single 0.1" or softer < -17
sys.exit(0 if ok else "the behavior has changed: the level follows the impulse response")
PYTHON
