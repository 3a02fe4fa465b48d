#!/usr/bin/env bash
# speakerlab 0.0.6 (3D-Speaker as published on PyPI), dguard 1.4.1, numpy 2.4.6, scipy 1.17.1, soundfile 0.14.0
#
# Guess, written down before (for dguard; the same lines of 3D-Speaker had been read): noise comes at the ratio that was asked,
# and what is shorter than the speech is repeated end to end.
# Seen: both repeat each sample instead (numpy's repeat, not tile), which plays the noise more slowly. Beside 3 s of speech a
# clip of 1.4 s comes three times slower, one of half a second seven times: 2,000 Hz are heard as 667 and 286 Hz, a click as
# a thump. Clips that are longer than the speech are right. Besides, 1e-6 is added to both powers before the ratio is made:
# 10 dB are 10.0 at -20 dBFS, 7.0 at -60 and -0.4 at -70. Nothing is said.
# Who is hurt: whoever trains speaker encoders by these recipes with short noises (bells, clicks, coughs, as in MUSAN's noise
# part): the encoder learns to pass over rumble that nobody hears, and not what was collected.
# What to do: join short noises to clips as long as the training excerpts, or write np.tile in process/augmentation.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" numpy==2.4.6 scipy==1.17.1 soundfile==0.14.0 PyYAML==6.0.4
"${pip[@]}" --no-deps speakerlab==0.0.6 dguard==1.4.1 # their augmentation needs no more
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import soundfile

RATE, SECONDS, TONE = 16_000, 3, 2000
generator = np.random.default_rng(0)


class Tensor(np.ndarray):
    """In place of a torch.Tensor, of which the augmentation takes the numbers alone."""

    def numpy(self) -> np.ndarray:
        return np.array(self)


def tensor(samples: np.ndarray) -> Tensor:
    return np.asarray(samples, dtype=np.float32).view(Tensor)


def load(path: str) -> tuple[Tensor, int]:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return tensor(samples.T), rate


sys.modules["torch"] = types.SimpleNamespace(from_numpy=tensor, Tensor=Tensor)
sys.modules["torchaudio"] = types.SimpleNamespace(load=load)


def corrupter_of(package: str) -> type:
    """The class that adds noise, without what the package imports beside it."""
    root = Path(importlib.machinery.PathFinder.find_spec(package).submodule_search_locations[0])
    for name in (package, f"{package}.utils", f"{package}.process"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(root.joinpath(*name.split(".")[1:]))]
    return importlib.import_module(f"{package}.process.augmentation").NoiseReverbCorrupter


def added(corrupter: type, speech: np.ndarray, noise: np.ndarray, ratio: float) -> np.ndarray:
    """The noise that is added to the speech, at the speech's own level."""
    soundfile.write("noise.wav", noise, RATE, subtype="FLOAT")
    Path("noise.scp").write_text("noise noise.wav\n")
    corrupt = corrupter(noise_prob=1.0, noise_file="noise.scp", noise_snr_low=ratio, noise_snr_high=ratio)
    mixed = corrupt(tensor(speech), RATE).numpy().astype(float)
    return mixed / (mixed @ speech / (speech @ speech)) - speech  # the noise is not like the speech


def loudest(samples: np.ndarray) -> int:
    """The frequency of the loudest part."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return round(np.fft.rfftfreq(len(samples), 1 / RATE)[spectrum.argmax()])


def decibels(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(samples**2)))


speech = 0.1 * generator.standard_normal(SECONDS * RATE)
ok = True
for package in ("speakerlab", "dguard"):
    corrupter = corrupter_of(package)
    for seconds in (4, 1.4, 0.5):
        count = int(seconds * RATE)
        tone = 0.1 * np.sin(2 * np.pi * TONE * np.arange(count) / RATE)
        heard = loudest(added(corrupter, speech, tone, 0))
        slower = 1 if seconds > SECONDS else SECONDS * RATE // count + 1
        print(f"{package}, {seconds} s of {TONE} Hz beside {SECONDS} s of speech: {heard} Hz are heard")
        ok &= heard == round(TONE / slower)
    for level in (-20, -50, -60, -70):
        soft = speech * 10 ** ((level + 20) / 20)
        ratio = decibels(soft) - decibels(added(corrupter, soft, 0.1 * generator.standard_normal(4 * RATE), 10))
        print(f"{package}, 10 dB asked at {level} dBFS: {ratio:.1f} dB")
        ok &= abs(ratio - 10) < 0.5 if level == -20 else level != -70 or ratio < 2
sys.exit(0 if ok else "the behavior has changed: short noise keeps its pitch")
PYTHON
