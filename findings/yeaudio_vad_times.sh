#!/usr/bin/env bash
# yeaudio 0.0.8, onnxruntime 1.32.0, kaldi-native-fbank 1.23.0, scipy 1.17.1, numpy 2.2.6, soundfile 0.14.0, av 18.1.0
#
# Guess, once it had been read that nothing is resampled and before it was run: AudioSegment.vad() gives the times of a
# recording at any rate, or raises, for it knows the rate.
# Seen: the samples go to the detector as if they were of 16 kHz, and the times count so too. Of two turns from 2 to 5 s and
# from 7 to 10 s it says 1.7 to 5.2 and 6.7 to 10.2 s at 16 kHz; at 8 kHz, the telephone's rate, 0.7 to 2.7 and 3.2 to 5.2 s, so
# that the second turn is never heard and the first is cut in two; at 48 kHz one begins at 21 s in a recording of 12 s.
# Nothing raises. (numpy 2.2, for with 2.4 vad() raises at any rate.)
# Who is hurt: whoever cuts pauses out before a speaker encoder, or turns for enrollments and corpora.
# What to do: segment.resample(16000) before segment.vad(), which is right; times then hold for the recording too.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" onnxruntime==1.32.0 kaldi-native-fbank==1.23.0 scipy==1.17.1 numpy==2.2.6 soundfile==0.14.0 av==18.1.0 loguru==0.7.3 \
  pyyaml==6.0.3
"${pip[@]}" --no-deps yeaudio==0.0.8 # its detector's weights come with it
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
import types

import numpy as np
from scipy.signal import lfilter

sys.modules["resampy"] = types.ModuleType("resampy")  # vad() resamples nothing
from yeaudio.audio import AudioSegment  # noqa: E402

TURNS, SECONDS = ((2, 5), (7, 10)), 12


def vowel(rate: int, seconds: float, pitch: float) -> np.ndarray:
    """A voice that says ah with a pitch and a loudness that move."""
    times = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(6 * np.pi * times))) / rate
    samples = sum(np.sin(number * phase) / number for number in range(1, 30) if number * pitch * 1.1 < rate / 2)
    for hertz, width in ((700, 100), (1200, 120), (2600, 200)):
        radius = np.exp(-np.pi * width / rate)
        samples = lfilter([1 - radius], [1, -2 * radius * np.cos(2 * np.pi * hertz / rate), radius**2], samples)
    samples = samples * (0.6 + 0.4 * np.sin(8 * np.pi * times))
    return 0.3 * samples / np.abs(samples).max()


found = {}
for rate in (16_000, 8_000, 48_000):
    samples = 1e-4 * np.random.default_rng(0).standard_normal(SECONDS * rate)
    for (start, end), pitch in zip(TURNS, (120, 180), strict=True):
        samples[start * rate : end * rate] += vowel(rate, end - start, pitch)
    segment = AudioSegment(samples.astype("float32"), rate)
    found[rate] = [(turn["start"], turn["end"]) for turn in segment.vad(return_seconds=True)]
    print(f"{rate} Hz, {segment.duration:.0f} s with turns at {TURNS} s: {[(round(a, 1), round(b, 1)) for a, b in found[rate]]}")


def right(turns: list[tuple[float, float]]) -> bool:
    return len(turns) == 2 and np.abs(np.array(turns) - np.array(TURNS)).max() < 0.6


ok = right(found[16_000]) and found[8_000][-1][1] < 6 and found[48_000][-1][0] > SECONDS
sys.exit(0 if ok else "the behavior has changed: times are right at any rate")
PYTHON
