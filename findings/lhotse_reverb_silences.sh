#!/usr/bin/env bash
# lhotse 1.33.0, torch 2.13.0, soundfile 0.14.0, numpy 2.4.6
#
# Guess, written down before: cut.reverb_rir() with an impulse response of one's own keeps the level, to 3 dB, and with
# normalize_output=False it gives the plain convolution, to 0.1 dB.
# Seen: the default keeps it. With normalize_output=False what comes out is 90 dB softer than the convolution (the response is
# divided by 32,768 first, as if it came in whole numbers). lhotse's Fbank then has nothing but its floor: each value of each
# frame is -15.94, whoever speaks, and written as 16 bits a single bit is left. early_only=True keeps the first 50 ms of the
# file, not of the sound in it: where a measured response has its direct sound at 60 ms (one of nine at hand had it at 137), only
# the noise before it is left, and that is made as loud as the speech was: correlation with the speech 0.1. Nothing is
# said in either case.
# Who is hurt: whoever wants far speakers softer than near ones and turns normalizing off: every recording is one and the same
# to an encoder, at the share p of reverberated cuts; whoever trains on early echoes (as target of dereverberation, or mild
# rooms): noise bears the speakers' labels.
# What to do: leave normalize_output=True and set the level with perturb_volume; cut responses to begin just before their largest
# value (in amount) before using them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check lhotse==1.33.0 torch==2.13.0 soundfile==0.14.0 \
  numpy==2.4.6 urllib3==2.8.0  # which lhotse imports and does not ask for
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import soundfile
from lhotse import Fbank, Recording

RATE = 16_000
generator = np.random.default_rng(0)
time = np.arange(3 * RATE) / RATE


def voice(pitch: float) -> np.ndarray:
    """A buzz of harmonics that swells and fades, with peaks at 0.5."""
    sound = sum(np.sin(2 * np.pi * pitch * k * time + k * k) / k for k in range(1, int(7_000 / pitch)))
    sound *= 0.1 + (1 + np.sin(2 * np.pi * 3 * time)) / 2
    return 0.5 * sound / np.abs(sound).max()


def room(start: float) -> np.ndarray:
    """A direct sound and echoes that fade within 0.3 s, in the faint noise of a measured response."""
    response = 1e-4 * generator.standard_normal(RATE // 2)
    first = int(start * RATE)
    tail = np.arange(len(response) - first) / RATE
    response[first:] += 0.05 * generator.standard_normal(len(tail)) * np.exp(-tail / 0.05)
    response[first] = 1
    return response


def saved(name: str, samples: np.ndarray) -> Recording:
    soundfile.write(name, samples, RATE, subtype="FLOAT")
    return Recording.from_file(name)


def decibels(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.asarray(samples, dtype="float64") ** 2)))


voices = [voice(pitch) for pitch in (110, 150, 210)]
cuts = [saved(f"voice{number}.wav", samples).to_cut() for number, samples in enumerate(voices)]
near, late = saved("near.wav", room(0.002)), saved("late.wav", room(0.06))
convolved = np.convolve(voices[0], soundfile.read("near.wav")[0])
extractor, ok = Fbank(), True
for normalize in (True, False):
    reverberated = [cut.reverb_rir(near, normalize_output=normalize) for cut in cuts]
    samples = reverberated[0].load_audio()[0]
    softer = decibels(samples) - decibels(voices[0] if normalize else convolved[: len(samples)])
    first, *others = (cut.compute_features(extractor) for cut in reverberated)
    apart = max(float(np.abs(first - other).max()) for other in others)
    soundfile.write("kept.flac", samples, RATE)
    steps = int(np.abs(soundfile.read("kept.flac", dtype="int16")[0]).max())
    print(f"normalize_output={normalize}: level {softer:+.1f} dB, features from {first.min():.2f} to {first.max():.2f}, those of "
          f"three voices differ by {apart:.2f}, of 32,768 steps the loudest sample is {steps}")
    ok &= abs(softer) < 1 if normalize else -92 < softer < -88
    ok &= apart > 3 and steps > 3_000 if normalize else apart == 0 and steps <= 1
for name, response in (("2 ms", near), ("60 ms", late)):
    for early in (False, True):
        samples = cuts[0].reverb_rir(response, early_only=early).load_audio()[0]
        alike = float(np.corrcoef(samples, voices[0])[0, 1])
        level = decibels(samples) - decibels(voices[0])
        print(f"direct sound at {name}, early_only={early}: correlation with the speech {alike:+.2f}, level {level:+.1f} dB")
        ok &= abs(level) < 0.1 and (abs(alike) < 0.5 if (name, early) == ("60 ms", True) else alike > 0.7)
sys.exit(0 if ok else "the behavior has changed: levels are kept, or early echoes are counted from the direct sound")
PYTHON
