#!/usr/bin/env bash
# lhotse 1.33.0, torch 2.13.0, numpy 2.4.6
#
# Guess, written down before: a sampler that is restored with load_state_dict() in the middle of an epoch goes on where it
# was, on one device and on several, and each recording comes once.
# Seen: on one it does. On several, SimpleCutSampler and BucketingSampler go on too early: they draw a batch for every rank
# and skip, once restored, as many recordings as this rank alone was given. After half of an epoch on 4 ranks 35 to 40 %
# of the recordings come a second time. If each rank loads the state that it saved, the ranks go on at different places too:
# with SimpleCutSampler 13 % of the recordings never come. The batches have the right sizes, and nothing is said.
# DynamicCutSampler and DynamicBucketingSampler are right.
# Who is hurt: whoever trains on several devices, and resumes or saves within epochs: the more devices, the more of what
# was just learned comes again, and the learning curve shows a step for which there seems to be no reason.
# What to do: the dynamic samplers, or save at the ends of epochs alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check lhotse==1.33.0 torch==2.13.0 numpy==2.4.6 \
  urllib3==2.8.0 # which it imports and does not ask for
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import copy
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
from lhotse import CutSet, MonoCut, SupervisionSegment
from lhotse.dataset.sampling import (
    BucketingSampler,
    DynamicBucketingSampler,
    DynamicCutSampler,
    SimpleCutSampler,
)

RECORDINGS, RANKS = 2000, 4
durations = np.random.default_rng(0).uniform(1, 12, RECORDINGS).round(2)


def cut(number: int, seconds: float) -> MonoCut:
    speech = SupervisionSegment(f"s{number}", f"r{number}", 0, seconds, speaker=f"p{number % 100}")
    return MonoCut(f"c{number:04d}", 0, seconds, 0, supervisions=[speech])


cuts = CutSet.from_cuts(cut(number, float(seconds)) for number, seconds in enumerate(durations))
cuts.to_file("cuts.jsonl")
lazy = CutSet.from_jsonl_lazy("cuts.jsonl")
common = {"max_duration": 60, "shuffle": True, "drop_last": True}
samplers: dict[str, Callable[..., object]] = {
    "SimpleCutSampler": lambda **where: SimpleCutSampler(cuts, **common, **where),
    "BucketingSampler": lambda **where: BucketingSampler(cuts, num_buckets=5, **common, **where),
    "DynamicCutSampler": lambda **where: DynamicCutSampler(lazy, **common, **where),
    "DynamicBucketingSampler": lambda **where: DynamicBucketingSampler(lazy, num_buckets=5, **common, **where),
}


def names(batches: object) -> list[str]:
    return [one.id for batch in batches for one in batch]


def epoch(make: Callable[..., object], ranks: int, own_state: bool) -> tuple[float, float]:
    """An epoch that is interrupted in the middle: the shares of its recordings that come twice, and never."""
    uninterrupted, seen, states = set(), [], []
    for rank in range(ranks):
        where = {"world_size": ranks, "rank": rank}
        whole = [names([batch]) for batch in make(**where)]
        uninterrupted.update(name for batch in whole for name in batch)
        sampler = make(**where)
        batches = iter(sampler)
        for _ in range(len(whole) // 2):
            seen += names([next(batches)])
        states.append(sampler.state_dict())
    for rank in range(ranks):
        restored = make(world_size=ranks, rank=rank)
        restored.load_state_dict(copy.deepcopy(states[rank if own_state else 0]))
        seen += names(restored)
    counts = Counter(seen)
    return sum(count > 1 for count in counts.values()) / RECORDINGS, len(uninterrupted - set(counts)) / RECORDINGS


ok = True
for name, make in samplers.items():
    for ranks, own_state in ((1, True), (RANKS, True), (RANKS, False)):
        twice, never = epoch(make, ranks, own_state)
        state = "each its own state" if own_state else "all the first one's state"
        print(f"{name}, {ranks} rank(s), {state}: {twice:.1%} of the recordings come twice or more, {never:.1%} never")
        if ranks == 1 or name.startswith("Dynamic"):
            ok &= twice < 0.01 and never < 0.01
        else:
            ok &= twice > 0.25 and (never > 0.01 or not own_state)
sys.exit(0 if ok else "the behavior has changed: restored samplers go on where they were")
PYTHON
