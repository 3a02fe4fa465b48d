"""Make librosa.npz: librosa's mel filters, and mel spectrograms of two utterances.

    pip install librosa==0.11.0
    python tests/golden/make_librosa.py

Filters are of 40 and 80 mels, 400 points at 16 kHz; spectrograms have hops of 160 samples. Waves
are noise that fades in, so that neither is a file of anybody's speech nor silent anywhere.
"""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np

random = np.random.default_rng(0)
arrays: dict[str, np.ndarray] = {}
for mels in (40, 80):
    arrays[f"filters.{mels}"] = librosa.filters.mel(sr=16_000, n_fft=400, n_mels=mels)
for name, samples in (("first", 16_000), ("second", 7_777)):
    wave = random.normal(0, 0.1, samples) * np.linspace(0.01, 1, samples)
    arrays[f"{name}.wave"] = wave = wave.astype(np.float32)
    arrays[f"{name}.mel"] = librosa.feature.melspectrogram(
        y=wave, sr=16_000, n_fft=400, hop_length=160, n_mels=40
    )
np.savez_compressed(Path(__file__).with_name("librosa.npz"), **arrays)
