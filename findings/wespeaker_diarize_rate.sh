#!/usr/bin/env bash
# wespeaker-unofficial 0.0.2 (WeSpeaker as built for PyPI), torchaudio 2.11.1 (its kaldi.py), torch 2.13.0, numpy 2.4.6
#
# Guess, written down before: Speaker.diarize of one call stored at 16, 48 or 8 kHz gives the encoder the same features.
# Seen: extract_embedding and compute_similarity resample to 16 kHz, diarize does not. Its 80 mel bands end at half of the
# file's own rate, at 24 kHz of 48, so an encoder trained on 16 kHz finds each sound in another band and nothing in the top
# third. A window's features have a cosine of 1.00 to those at 16 kHz in extract_embedding, in diarize of 0.6 to 0.7.
# set_resample_rate() has no say, nothing is said, turns come out.
# Measured apart with CAM++'s published weights (windows of 1.5 s of 30 LibriSpeech speakers): at 48 kHz vectors have a mean
# cosine of 0.11 to those at 16 kHz, and windows of two people are confused with an EER of 31 % instead of 1.2 %, at 44.1
# kHz 29 %, at 8 kHz 25 %.
# Who is hurt: whoever diarizes what phones, cameras and editors write (44.1 and 48 kHz) or calls (8 kHz).
# What to do: resample files to 16 kHz before diarize or --task diarization.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.4.6 scipy==1.17.1 soundfile==0.14.0 kaldiio==2.18.1 PyYAML==6.0.4 tqdm==4.70.1
"${pip[@]}" --no-deps torchaudio==2.11.1 wespeaker-unofficial==0.0.2 # weights, detector and clustering are stand-ins below
cd "$folder"
TQDM_DISABLE=1 OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import soundfile
import torch
from scipy.signal import resample_poly

SECONDS = 6
clustered: list[np.ndarray] = []


def stand_in(name: str, **values: object) -> ModuleType:
    """A module that the package imports and that neither features nor windows depend on."""
    module = sys.modules[name] = ModuleType(name)
    module.__dict__.update(values)
    return module


def package(name: str) -> Path:
    return Path(importlib.machinery.PathFinder.find_spec(name).origin).parent


def load(path: str, normalize: bool) -> tuple[torch.Tensor, int]:
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    return torch.from_numpy(samples.T.copy()), rate


class Resample:
    def __init__(self, orig_freq: int, new_freq: int) -> None:
        self.rates = new_freq, orig_freq

    def __call__(self, wave: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(resample_poly(wave.numpy(), *self.rates, axis=1).astype(np.float32))


class Encoder:
    """Gives how far each band rises above its mean, as a vector of the 80 bands."""

    frontend_type = "fbank"

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        return features.sub(1).relu().mean(dim=1)


def cluster(vectors: np.ndarray) -> list[int]:
    clustered.append(vectors)
    return [0] * len(vectors)


torchaudio = stand_in("torchaudio", load=load, transforms=SimpleNamespace(Resample=Resample))
compliance = stand_in("torchaudio.compliance")
spec = importlib.util.spec_from_file_location("torchaudio.compliance.kaldi", package("torchaudio") / "compliance" / "kaldi.py")
compliance.kaldi = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compliance.kaldi)
whole = lambda *arguments, **options: [{"start": 0.0, "end": float(SECONDS)}]  # all of it is speech
stand_in("silero_vad", load_silero_vad=lambda: None, read_audio=lambda path: None, get_speech_timestamps=whole)
stand_in("onnxruntime")
stand_in("wespeaker").__path__ = [str(package("wespeaker"))]
stand_in("wespeaker.cli.hub", Hub=None)
stand_in("wespeaker.models.speaker_model", get_speaker_model=None)
stand_in("wespeaker.diar.umap_clusterer", cluster=cluster)
stand_in("wespeaker.frontend", frontend_class_dict={})
speaker_module = importlib.import_module("wespeaker.cli.speaker")
speaker_module.load_model_pt = lambda model_dir: Encoder()


def voice() -> np.ndarray:
    """Bands of noise below 7 kHz that go up and down as syllables do, at 16 kHz."""
    count, generator = SECONDS * 16_000, np.random.default_rng(0)
    spectrum, hertz = np.fft.rfft(generator.standard_normal(count)), np.fft.rfftfreq(count, 1 / 16_000)
    spectrum[~np.any([(hertz > low) & (hertz < low * 1.25) for low in (400, 1000, 2200, 5000)], axis=0)] = 0
    samples = np.fft.irfft(spectrum, count)
    syllables = 0.52 + 0.48 * np.sin(2 * np.pi * 4 * np.arange(count) / 16_000)
    return 0.1 * samples / samples.std() * syllables + 1e-3 * generator.standard_normal(count)


def cosines(vectors: np.ndarray, reference: np.ndarray) -> np.ndarray:
    return (vectors * reference).sum(-1) / (np.linalg.norm(vectors, axis=-1) * np.linalg.norm(reference, axis=-1))


speaker, samples, ok = speaker_module.Speaker("stand-in"), voice(), True
for rate in (16_000, 44_100, 48_000, 8_000):
    soundfile.write("call.wav", resample_poly(samples, rate, 16_000), rate, subtype="PCM_16")
    speaker.diarize("call.wav")
    windows, vector = clustered[-1], speaker.extract_embedding("call.wav").numpy()
    if rate == 16_000:
        first_windows, first_vector = windows, vector
    in_diarize = float(cosines(windows[: len(first_windows)], first_windows).mean())
    in_extract = float(cosines(vector, first_vector))
    print(f"{rate} Hz: cosine to the features at 16 kHz {in_extract:.2f} in extract_embedding, {in_diarize:.2f} in diarize")
    if rate >= 16_000:
        ok &= in_extract > 0.98
    ok &= in_diarize > 0.98 if rate == 16_000 else in_diarize < 0.8
sys.exit(0 if ok else "the behavior has changed: diarize resamples as extract_embedding does")
PYTHON
