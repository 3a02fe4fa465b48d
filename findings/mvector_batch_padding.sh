#!/usr/bin/env bash
# mvector 1.1.7, yeaudio 0.0.8, torch 2.13.0, torchaudio 2.11.0, numpy 2.4.6
#
# Guess, written down before: predict_batch gives each recording the vector that predict gives it.
# Seen: only the longest of a batch. Shorter ones are filled with zeros, whose bands lie far below speech in the logarithm; the
# mean over time that is taken off counts them, and so do the encoder's own statistics. Beside 12 s a second has a cosine of
# 0.6 to itself, 3 s of 0.75, 6 s of 0.86 (CAM++ with random weights). The folder of enrolled voices is read by
# predict_batch, recognition() and contrast() use predict: a voice of 3 s that was enrolled beside one of 12 s has a
# cosine of 0.75 to the vector of its own file at the door. In training's evaluation the mean is each recording's own.
# Who is hurt: whoever enrolls from a folder: a person's scores fall with how long the others spoke, and a threshold set on
# pairs refuses them.
# What to do: register(), one recording at a time; predict_batch([one]) is right too.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 loguru==0.7.3 resampy==0.4.3 soundfile==0.14.0 \
  av==18.1.0 pyyaml==6.0.3 tqdm==4.67.1 setuptools==80.9.0
"${pip[@]}" --no-deps mvector==1.1.7 yeaudio==0.0.8 torchaudio==2.11.0
rm -f "$folder"/venv/lib/python3*/site-packages/torchaudio/lib/*.so # built for another torch; features do without
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import os
import sys
from pathlib import Path

import mvector
import numpy as np
import soundfile
import torch
import yaml
from loguru import logger
from mvector.models import build_model
from mvector.predict import MVectorPredictor
from mvector.utils.utils import dict_to_object

logger.remove()
RATE = 16_000
generator = np.random.default_rng(0)
settings = yaml.safe_load((Path(mvector.__file__).parent / "configs" / "cam++.yml").read_text(encoding="utf-8"))
torch.manual_seed(0)
os.mkdir("model")
torch.save(torch.nn.Sequential(build_model(80, dict_to_object(settings))).state_dict(), "model/model.pth")


def speak(voice: int, seconds: float) -> np.ndarray:
    """Noise of a spectrum of its own that goes up and down as syllables do."""
    count = int(seconds * RATE)
    own, hertz = np.random.default_rng(voice), np.fft.rfftfreq(count, 1 / RATE)
    shape = 0.01 + sum(np.exp(-(((hertz - own.uniform(200, 4000)) / own.uniform(100, 400)) ** 2)) for _ in range(4))
    samples = np.fft.irfft(np.fft.rfft(generator.standard_normal(count)) * shape, count)
    samples *= 0.55 + 0.45 * np.sin(8 * np.pi * np.arange(count) / RATE)
    return (0.05 * samples / samples.std()).astype("float32")


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


predictor = MVectorPredictor(configs=settings, model_path="model", use_gpu=False)
longest = speak(0, 12)
beside = {}
for seconds in (1, 3, 6, 11):
    recording = speak(1, seconds)
    alone = predictor.predict(recording)
    beside[seconds] = cosine(alone, predictor.predict_batch([recording, longest])[0])
    single = cosine(alone, predictor.predict_batch([recording])[0])
    print(f"{seconds} s beside 12 s: a cosine of {beside[seconds]:.2f} to the vector of predict, in a batch of its own {single:.2f}")
people = {"3 s": speak(2, 3), "12 s": speak(3, 12)}
for name, samples in people.items():
    os.makedirs(f"enrolled/{name}")
    soundfile.write(f"enrolled/{name}/0.wav", samples, RATE, subtype="FLOAT")
door = MVectorPredictor(configs=settings, model_path="model", use_gpu=False, audio_db_path="enrolled", threshold=0.0)
enrolled = {}
for name, vector in zip(door.users_name, door.audio_feature, strict=True):
    enrolled[name] = cosine(vector, predictor.predict(f"enrolled/{name}/0.wav"))
    print(f"enrolled from a folder, {name}: a cosine of {enrolled[name]:.2f} to the same file's at the door")
ok = beside[1] < 0.75 and beside[3] < 0.85 and beside[1] < beside[3] < beside[6] < beside[11] and single > 0.999
ok = ok and enrolled["3 s"] < 0.85 and enrolled["12 s"] > 0.999
sys.exit(0 if ok else "the behavior has changed: padding does not count")
PYTHON
