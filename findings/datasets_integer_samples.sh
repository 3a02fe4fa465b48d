#!/usr/bin/env bash
# datasets 5.2.0, torchcodec 0.13.0, torch 2.13.0, soundfile 0.14.0, numpy 2.4.6
#
# Guess, written down before: recordings that are handed to an Audio column as {"array": int16 samples, "sampling_rate": ...} come
# back as samples / 32,768, as soundfile would write and read them.
# Seen: integers are made floats without being scaled, and all beyond 1 is cut off: what is kept is the sign of each sample, at full
# scale, in the file that is stored and uploaded. Nothing raises and nothing is said. A pause whose noise is a few units
# of 32,768 comes out as loud as the speech beside it, 76 dB too loud. int32 alike. Floats are right, but are kept
# as 16 bits: what is beyond 1 is cut off, and a recording that peaks 80 dB below full scale is left with two levels and zero.
# Who is hurt: whoever builds a corpus from arrays of scipy.io.wavfile, pydub, webrtcvad, kaldiio or a microphone, which are int16:
# a speaker encoder is trained or tested on square waves, pauses are noise at full scale, and every detector of speech
# by level finds speech everywhere.
# What to do: samples.astype("float32") / 32768 before; or hand over files, or their bytes ({"bytes": ...}), which are kept as they
# are.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check datasets==5.2.0 torchcodec==0.13.0 torch==2.13.0 \
  soundfile==0.14.0 numpy==2.4.6
cd "$folder"
export HF_HOME="$folder/cache" HF_HUB_OFFLINE=1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import io
import sys

import numpy as np
import soundfile
from datasets import Audio, Dataset, Features

RATE = 16_000
generator = np.random.default_rng(0)
time = np.arange(2 * RATE) / RATE
voice = sum(np.sin(2 * np.pi * 130 * k * time + k * k) / k for k in range(1, 20)) * (1 + np.sin(2 * np.pi * 4 * time)) / 2
speech = 0.3 * voice / np.abs(voice).max()
pause = generator.normal(0, 5 / 32_768, RATE)
samples = np.concatenate([speech, pause])


def decibels(values: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(values**2)))


def through_dataset(array: np.ndarray) -> np.ndarray:
    features = Features({"audio": Audio()})
    dataset = Dataset.from_dict({"audio": [{"array": array, "sampling_rate": RATE}]}, features=features)
    stored = dataset.cast_column("audio", Audio(decode=False))[0]["audio"]["bytes"]
    kept, rate = soundfile.read(io.BytesIO(stored))
    assert rate == RATE and np.abs(np.asarray(dataset[0]["audio"]["array"]) - kept).max() < 1e-4
    return kept


ok = True
for name, full_scale, array in (
    ("float32", 1, samples.astype("float32")),
    ("int16", 2**15, np.round(samples * 2**15).astype("int16")),
    ("int32", 2**31, np.round(samples * 2**31).astype("int32")),
):
    kept = through_dataset(array)
    right = array.astype("float64") / full_scale
    cut = float(np.mean(np.abs(kept[: len(speech)]) > 0.99))
    louder = [decibels(kept[part]) - decibels(right[part]) for part in (slice(len(speech)), slice(len(speech), None))]
    print(f"{name}: speech {louder[0]:+.1f} dB, {cut:.0%} of its samples at full scale, pause {louder[1]:+.1f} dB, at most "
          f"{np.abs(kept - right).max():.4f} off")
    if name == "float32":
        ok &= np.abs(kept - right).max() < 1e-4
    else:
        ok &= cut > 0.95 and louder[0] > 15 and louder[1] > 60
quiet = speech * 1e-4 / 0.3
levels = len(np.unique(through_dataset(quiet.astype("float32"))))
print(f"float32 that peaks at -80 dBFS: {levels} different values are left")
ok &= levels < 10
file = io.BytesIO()
soundfile.write(file, np.round(samples * 2**15).astype("int16"), RATE, format="WAV")
ok &= np.abs(soundfile.read(io.BytesIO(file.getvalue()))[0] - samples).max() < 1e-4
sys.exit(0 if ok else "the behavior has changed: integers are scaled or refused")
PYTHON
