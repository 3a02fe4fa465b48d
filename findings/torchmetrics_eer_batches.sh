#!/usr/bin/env bash
# torchmetrics 1.9.0, torch 2.13.0, numpy 2.4.6
#
# Guess, written down before: BinaryEER and BinaryAUROC give the same for cosines that come in batches as for all at once.
# Seen: an EER of 4.6 % becomes 8.6 % in batches of 64 and 20 % in batches of 16. A batch with a score outside 0 to 1 is
# taken for logits and goes through a sigmoid, a batch without one stays as it is: cosines below zero are rare, so
# some batches have one and some have none, and their scores are compared as if they were on one scale.
# Who is hurt: whoever validates a speaker encoder with torchmetrics during training: the figure depends on the batch size
# and on the order of the trials, and mostly looks worse than it is.
# What to do: map cosines to 0 to 1 before update, (1 + cosine) / 2, or collect all scores and update once.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import torch
from torchmetrics.classification import BinaryAUROC, BinaryEER

TRIALS = 4000
generator = np.random.default_rng(0)
same = np.arange(TRIALS) % 2
cosines = np.clip(np.where(same, 0.6, 0.2) + 0.12 * generator.standard_normal(TRIALS), -1, 1)
targets, scores = torch.tensor(same), torch.tensor(cosines, dtype=torch.float32)


def figure(metric: BinaryEER | BinaryAUROC, scores: torch.Tensor, size: int) -> float:
    for start in range(0, TRIALS, size):
        metric.update(scores[start : start + size], targets[start : start + size])
    return float(metric.compute())


print(f"{(scores < 0).float().mean():.1%} of the cosines are negative")
errors = {}
for size in (TRIALS, 64, 16):
    errors[size] = figure(BinaryEER(), scores, size)
    mapped = figure(BinaryEER(), (1 + scores) / 2, size)
    area = figure(BinaryAUROC(), scores, size)
    print(f"batches of {size}: EER {errors[size]:.1%}, area {area:.3f}; EER of (1 + cosine) / 2: {mapped:.1%}")
ok = errors[16] > 0.15 and errors[64] > 0.07 and errors[TRIALS] < 0.05
sys.exit(0 if ok else "the behavior has changed: batches no longer matter so much")
PYTHON
