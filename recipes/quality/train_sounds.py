"""Fit the model with which `timbral check` distinguishes speech, music and noise.

    python recipes/quality/train_sounds.py ../shared/data

Logistic regression on the statistics of `timbral.audio.quality.sound_features`, with an L2 penalty;
each window of a recording is an example. Takes about three minutes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from examples import Maker, features
from sounds import find_sounds

from timbral.audio.quality.sound_model import WEIGHTS

PENALTY = 3e-4
SPEECH_WEIGHT = 0.75
"""the weight of speech, of 1 for all examples: most recordings that are checked hold speech"""
SEED = 3


MUSIC = {"real music", "tone", "harmonic tone", "sweep", "dial", "chords", "melody", "beeps"}


def draw(maker: Maker, recordings: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, D) of windows, and their kinds (N,): 2 speech, 1 music and tones, 0 the rest."""
    paths = maker.random.permutation(np.array(maker.sounds.speech, dtype=object))[:recordings]
    rows = [features(wave, loud_only=True) for wave in maker.speech(list(paths), 1)]
    kinds = [2] * sum(map(len, rows))
    for name, wave in maker.other(rounds):
        rows.append(features(wave, loud_only=False))
        kinds += [int(name in MUSIC)] * len(rows[-1])
    return np.concatenate(rows), np.array(kinds)


def fit(rows: np.ndarray, labels: np.ndarray, positive: float) -> dict[str, object]:
    """Weights (D,) and bias, from features (N, D) and labels (N,), 1s with weight `positive`."""
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    x = torch.tensor((rows - mean) / scale, dtype=torch.float64)
    y = torch.tensor(labels, dtype=torch.float64)
    weight = torch.where(y > 0, positive / y.mean(), (1 - positive) / (1 - y.mean()))
    theta = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([theta], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logits = x @ theta[:-1] + theta[-1]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, weight)
        loss = loss + PENALTY * theta[:-1].square().sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    weights = theta.detach().numpy()[:-1] / scale
    bias = float(theta.detach()[-1]) - float(weights @ mean)
    return {
        "weights": [float(f"{weight:.6g}") for weight in weights],
        "bias": float(f"{bias:.6g}"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--recordings", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    maker = Maker(find_sounds(options.data, held_out=False), SEED)
    rows, kinds = draw(maker, options.recordings, options.rounds)
    counts = np.bincount(kinds)
    table = {
        "provenance": (
            f"recipes/quality/train_sounds.py, seed {SEED}: {counts[2]} windows of "
            "speechocean762 (train speakers), LibriSpeech (251 speakers) and Picovoice's wake "
            f"words; {counts[1]} of two pieces of music and of made tones, {counts[0]} of "
            "Mycroft's and SpeechBrain's noises and made ones; clean, telephone, rooms, noise"
        ),
        "speech": fit(rows, kinds == 2, SPEECH_WEIGHT),
        "music": fit(rows[kinds < 2], kinds[kinds < 2] == 1, 0.5),
    }
    options.output.write_text(json.dumps(table, indent=1) + "\n", "utf-8")
    print(f"{len(rows)} windows -> {options.output}")


if __name__ == "__main__":
    main()
