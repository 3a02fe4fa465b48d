#!/usr/bin/env bash
# wespeakerruntime 1.0.1, torchaudio 2.11.1 (its kaldi.py), torch 2.13.0, numpy 2.4.6
#
# Guess, written down before: a file of any rate is brought to 16 kHz and has the vector of the same recording stored at 16 kHz,
# or is refused.
# Seen: extract_embedding resamples, and then makes filter bank features as if the samples still had the file's own rate. What
# comes from 48 kHz has 16,000 samples a second that count as 48,000: a window of "25 ms" is 75 ms of speech, a third of the
# frames is left, and the 80 bands, laid out to 24 kHz, hold what is below 8. At 8 kHz windows are half as long, and bands
# end at 4 kHz of the 8 that the samples have. Features have a cosine of 0.6 to 0.7 to those of the same sound at 16 kHz;
# nothing is said. (wespeaker-unofficial's diarize, see wespeaker_diarize_rate, does not resample at all.)
# Measured apart with CAM++'s published weights (2 excerpts of 3 s of 30 LibriSpeech speakers): a recording has a cosine of 0.18
# to itself at 48 and 16 kHz, 0.14 at 8 and 16; among files of 48 kHz the EER is 19 % instead of 0.0 %, of 8 kHz 18 %.
# Who is hurt: whoever enrolls from phones, cameras and browsers (44.1 and 48 kHz) or calls (8 kHz): nobody is known again at
# another rate, and at one rate a fifth is confused.
# What to do: resample files to 16 kHz before. resample_rate does not help, for features take the file's rate in any case.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.4.6 scipy==1.17.1 soundfile==0.14.0 kaldiio==2.18.1 tqdm==4.70.1
"${pip[@]}" --no-deps torchaudio==2.11.1 wespeakerruntime==1.0.1 # weights and onnxruntime are stand-ins below
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import soundfile
import torch
from scipy.signal import resample_poly

SECONDS, RATES = 6, (16_000, 44_100, 48_000, 8_000)


class Session:
    """In place of an encoder: how far each band rises above its mean, as a vector of the 80 bands."""

    def __init__(self, *_: object, **__: object) -> None:
        self.frames = 0

    def run(self, output_names: list[str], input_feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.frames = input_feed["feats"].shape[1]
        return [np.maximum(input_feed["feats"] - 1, 0).mean(axis=1)]


class Resample:
    def __init__(self, orig_freq: int, new_freq: int) -> None:
        self.rates = new_freq, orig_freq

    def __call__(self, wave: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(resample_poly(wave.numpy(), *self.rates, axis=1).astype(np.float32))


def stand_in(name: str, **values: object) -> ModuleType:
    """A module that the package imports."""
    module = sys.modules[name] = ModuleType(name)
    module.__dict__.update(values)
    return module


def load(path: str) -> tuple[torch.Tensor, int]:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(samples.T.copy()), rate


stand_in("onnxruntime", SessionOptions=SimpleNamespace, InferenceSession=Session)
root = Path(importlib.machinery.PathFinder.find_spec("torchaudio").origin).parent
spec = importlib.util.spec_from_file_location("torchaudio.compliance.kaldi", root / "compliance" / "kaldi.py")
stand_in("torchaudio", load=load, transforms=SimpleNamespace(Resample=Resample))
compliance = stand_in("torchaudio.compliance")
compliance.kaldi = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compliance.kaldi)
import wespeakerruntime  # noqa: E402


def voice() -> np.ndarray:
    """Bands of noise below 3.8 kHz that go up and down as syllables do, at 16 kHz."""
    count, generator = SECONDS * 16_000, np.random.default_rng(0)
    spectrum, hertz = np.fft.rfft(generator.standard_normal(count)), np.fft.rfftfreq(count, 1 / 16_000)
    spectrum[~np.any([(hertz > low) & (hertz < low * 1.25) for low in (300, 700, 1500, 3000)], axis=0)] = 0
    samples = np.fft.irfft(spectrum, count)
    syllables = 0.52 + 0.48 * np.sin(2 * np.pi * 4 * np.arange(count) / 16_000)
    return 0.1 * samples / samples.std() * syllables + 1e-3 * generator.standard_normal(count)


def embed(path: str) -> np.ndarray:
    return speaker.extract_embedding(path)[0]


speaker, samples, ok = wespeakerruntime.Speaker("stand-in"), voice(), True
vectors = {}
for rate in RATES:
    stored = resample_poly(samples, rate, 16_000)
    soundfile.write("stored.wav", stored, rate, subtype="PCM_16")
    soundfile.write("before.wav", resample_poly(stored, 16_000, rate), 16_000, subtype="PCM_16")
    vectors[rate], frames = embed("stored.wav"), speaker.session.frames
    alone, right = embed("before.wav"), speaker.session.frames
    cosines = [float(speaker.compute_cosine_score(vector, vectors[16_000])) for vector in (vectors[rate], alone)]
    print(f"{rate} Hz: {frames} frames of {right}, cosine to the features at 16 kHz {cosines[0]:.2f}; "
          f"resampled before, {cosines[1]:.2f}")
    ok &= (cosines[0] > 0.8) == (rate == 16_000) and cosines[1] > 0.8
    ok &= abs(frames / right - 16_000 / rate) < 0.02
sys.exit(0 if ok else "the behavior has changed: features are made at the rate that the samples have")
PYTHON
