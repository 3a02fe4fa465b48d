"""Fit the model by which `timbral check` tells speech from other sounds; write its coefficients.

    python recipes/quality/train_speech.py ../shared/data

Logistic regression on the statistics of `timbral.audio.quality.speech_features`, each window of a
recording an example, both classes of equal weight, with an L2 penalty. Takes about three minutes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from examples import Maker, features
from sounds import find_sounds

from timbral.audio.quality import speech_model

PENALTY = 1e-3
SEED = 3


def draw(maker: Maker, recordings: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    paths = maker.random.permutation(np.array(maker.sounds.speech, dtype=object))[:recordings]
    speech = [features(wave, loud_only=True) for wave in maker.speech(list(paths), 1)]
    other = [features(wave, loud_only=False) for _, wave in maker.other(rounds)]
    rows = np.concatenate(speech + other)
    labels = np.arange(len(rows)) < sum(map(len, speech))
    return rows, labels


def fit(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (D,) and bias for raw features."""
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    x = torch.tensor((rows - mean) / scale, dtype=torch.float64)
    y = torch.tensor(labels, dtype=torch.float64)
    weight = torch.where(y > 0, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    theta = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([theta], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logits = x @ theta[:-1] + theta[-1]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, weight)
        loss = loss + PENALTY * theta[:-1].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    weights = theta.detach().numpy()[:-1] / scale
    return weights, float(theta.detach()[-1]) - float(weights @ mean)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--recordings", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    maker = Maker(find_sounds(options.data, held_out=False), SEED)
    rows, labels = draw(maker, options.recordings, options.rounds)
    weights, bias = fit(rows, labels)
    table = {
        "provenance": (
            f"recipes/quality/train_speech.py, seed {SEED}: {labels.sum()} windows of "
            "speechocean762 (train speakers), LibriSpeech (251 speakers) and Picovoice's wake "
            f"words against {(~labels).sum()} of Mycroft's and SpeechBrain's noises, two pieces of "
            "music and made sounds; clean, telephone, rooms, noise, music"
        ),
        "weights": [float(f"{weight:.6g}") for weight in weights],
        "bias": float(f"{bias:.6g}"),
    }
    path = Path(speech_model.__file__).with_name("speech_weights.json")
    path.write_text(json.dumps(table, indent=1) + "\n", "utf-8")
    print(f"{len(rows)} windows -> {path}")


if __name__ == "__main__":
    main()
