#!/usr/bin/env bash
# keras 3.15.1, numpy 2.4.6 (its backend numpy also needs jax, 0.9.1 here, and scipy, 1.17.1)
#
# Guess, written down before: a recording padded in a batch, with a Masking layer first, has the vector that it has alone, with all
# of Keras' recurrent layers, norms and averages that take masks; where one cannot, a warning says so, as for Conv1D.
# Seen: LSTM, GRU, Bidirectional, LayerNormalization and GlobalAveragePooling1D do so. Two do not, without a warning, with the
# backends numpy, torch and jax alike. A recurrent layer with go_backwards=True and return_sequences=True hands out
# its frames from the last to the first, padding first, and the mask as it came: what follows averages, or reads, padding, and
# leaves out the speech instead. Two such LSTMs, one forward and one backward, are the bidirectional encoder written by hand.
# GroupNormalization hands the mask on and takes mean and variance over the padding too, so that everything is too loud.
# Recordings of 20 to 160 frames (random weights, made frames), padded to the longest: behind a backward LSTM the mean has an
# EER of 40 % instead of 0, a second LSTM's state 40 % instead of 4 %; behind a GroupNormalization vectors have cosines of 0.69 to
# 1 to those of the recording alone, below 0.95 half of the time, and an EER of 4 % instead of 0.
# Who is hurt: whoever trains or embeds in padded batches: alone, and in batches of one length, all are right.
# What to do: Bidirectional (also with merge_mode="concat" for the two by hand); LayerNormalization, or one recording at a time.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check keras==3.15.1 jax==0.9.1 scipy==1.17.1 numpy==2.4.6
KERAS_BACKEND=numpy KERAS_HOME="$folder" OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import keras
import numpy as np
from keras import layers

VOICES, BANDS, UNITS = 50, 20, 32
generator = np.random.default_rng(0)
voices = generator.standard_normal((VOICES, BANDS))


def record() -> list[np.ndarray]:
    lengths = generator.integers(20, 160, VOICES)
    return [(voice + 1.5 * generator.standard_normal((length, BANDS))).astype("float32")
            for voice, length in zip(voices, lengths)]


def build(name: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    frames = layers.Input((None, BANDS))
    masked = layers.Masking()(frames)
    if "norm" in name:
        norm = layers.GroupNormalization(8) if "group" in name else layers.LayerNormalization()
        hidden = layers.ReLU()(norm(layers.Dense(64)(masked)))
    elif "bidirectional" in name:
        hidden = layers.Bidirectional(layers.LSTM(UNITS, return_sequences=True))(masked)
    else:
        hidden = layers.LSTM(UNITS, return_sequences=True, go_backwards="backward" in name)(masked)
    last = layers.LSTM(UNITS) if name.endswith("state") else layers.GlobalAveragePooling1D()
    return keras.Model(frames, last(hidden))


def padded(recordings: list[np.ndarray]) -> np.ndarray:
    longest = max(map(len, recordings))
    return np.stack([np.pad(frames, ((0, longest - len(frames)), (0, 0))) for frames in recordings])


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def equal_error_rate(enrolled: np.ndarray, tested: np.ndarray) -> float:
    center = enrolled.mean(0)
    scores = unit(enrolled - center) @ unit(tested - center).T
    targets, others = np.sort(np.diag(scores)), np.sort(scores[~np.eye(VOICES, dtype=bool)])
    thresholds = np.concatenate([targets, others])
    missed = np.searchsorted(targets, thresholds) / len(targets)
    accepted = 1 - np.searchsorted(others, thresholds) / len(others)
    best = np.argmin(np.abs(missed - accepted))
    return 50 * (missed[best] + accepted[best])


recordings = record(), record()
ok = True
for name in ("LSTM, mean", "bidirectional LSTM, mean", "backward LSTM, mean", "LSTM, then a second one's state",
             "backward LSTM, then a second one's state", "layer norm, mean", "group norm, mean"):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = build(name)
        alone = [np.concatenate([model.predict(frames[None], verbose=0) for frames in some]) for some in recordings]
        batch = [model.predict(padded(some), batch_size=VOICES, verbose=0) for some in recordings]
    about_masks = [str(warning.message) for warning in said if "mask" in str(warning.message)]
    center = alone[0].mean(0)
    alike = np.sum(unit(alone[0] - center) * unit(batch[0] - center), axis=1)
    rates = equal_error_rate(*alone), equal_error_rate(*batch)
    print(f"{name}: cosine of padded to alone (the mean vector taken away) {alike.min():.2f} to {alike.max():.2f}, half of "
          f"the time {np.median(alike):.2f}; EER alone {rates[0]:.1f} %, padded {rates[1]:.1f} %; warnings {about_masks}")
    ok &= not about_masks
    if "backward" in name or "group" in name:
        ok &= np.median(alike) < 0.95 and rates[1] > rates[0] + (2 if "group" in name else 10)
    else:
        ok &= alike.min() > 0.999
sys.exit(0 if ok else "the behavior has changed: masks are heeded behind backward layers and in group norms, or one warns")
PYTHON
