#!/usr/bin/env bash
# coqui-tts 0.28.0, torch 2.13.0, numpy 2.4.6
#
# Guess, written down before: in the speaker encoder's training PerfectBatchSampler gives nearly all recordings once an epoch,
# with an equal number of each speaker in a batch, also where speakers have different numbers of recordings.
# Seen: the batches are balanced, but an epoch ends as soon as one of the speakers who were drawn has no recording left. Of a hundred
# speakers with 50 recordings each an epoch of 64 speakers and 10 recordings a batch has 64 %; with 10 to 199 each it is one
# batch, 6 %. In validation (shuffle=False) each speaker's recordings come in one order from the first on: after 200 validations
# 86 % of the recordings have never come, for the speaker with the fewest decides how far any goes. Nothing is said; len()
# agrees.
# Who is hurt: whoever trains with it: an epoch, and all that goes by epochs, is a sixteenth of the data, and the validation loss
# that picks the best checkpoint is that of each speaker's first recordings, often one session.
# What to do: leave out speakers with few recordings, count steps instead of epochs, and shuffle validation lists; or a sampler
# that goes on with the others.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.4.6
"${pip[@]}" --no-deps coqui-tts==0.28.0 # the sampler needs none of the rest
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.machinery
import importlib.util
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np

package = Path(importlib.machinery.PathFinder.find_spec("TTS").origin).parent
spec = importlib.util.spec_from_file_location("samplers", package / "utils" / "samplers.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

SPEAKERS, IN_BATCH, EACH = 100, 64, 10
random.seed(0)
generator = np.random.default_rng(0)


def epochs(counts: list[int], shuffle: bool, number: int) -> tuple[float, float, bool]:
    """The share of recordings in an epoch, of those in any of so many epochs, and if batches have equal numbers of speakers."""
    items = [{"class_name": f"speaker{speaker:03}"} for speaker, count in enumerate(counts) for _ in range(count)]
    names = sorted({item["class_name"] for item in items})
    sampler = module.PerfectBatchSampler(
        items, names, batch_size=IN_BATCH * EACH, num_classes_in_batch=IN_BATCH, shuffle=shuffle, drop_last=True
    )
    seen, shares, balanced = set(), [], True
    for _ in range(number):
        batches = list(sampler)
        balanced &= all(set(Counter(items[index]["class_name"] for index in batch).values()) == {EACH} for batch in batches)
        drawn = {index for batch in batches for index in batch}
        shares.append(len(drawn) / len(items))
        seen |= drawn
    return float(np.mean(shares)), len(seen) / len(items), balanced


uneven = generator.integers(10, 200, SPEAKERS)
uneven[0] = 10
equal, _, first = epochs([50] * SPEAKERS, True, 20)
training, _, second = epochs(uneven.tolist(), True, 20)
print(f"{SPEAKERS} speakers with 50 recordings each: {equal:.0%} of them in an epoch")
print(f"with {uneven.min()} to {uneven.max()} each: {training:.0%} in an epoch")
validation, ever, third = epochs(uneven.tolist(), False, 200)
print(f"in validation {validation:.0%} in an epoch, {1 - ever:.0%} never in 200 epochs; batches balanced: {first and second and third}")
ok = first and second and third and equal < 0.8 and training < 0.1 and ever < 0.3
sys.exit(0 if ok else "the behavior has changed: an epoch has nearly all recordings")
PYTHON
