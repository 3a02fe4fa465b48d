"""The student starts with its teacher's layers, fitted to what they compute.

    python recipes/distillation/cut_down/fit.py CORPORA SHARDS FRONT OUTPUT [--crops N]

FRONT is the output of front.py. Two of three batches of crops are in noise and rooms for the
student, but never for the teacher. OUTPUT becomes a file with `weights`, a state dict of a
`SmallCampplusEncoder`, and `channels`, the teacher's channels that each block outputs.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import torch
from banks import centered
from conditions import Conditions
from fit_blocks import fit_blocks
from front import front_output
from shards import SEEDS_APART, batches
from torch import Tensor
from torch.nn import functional
from values import outputs_of
from voices import teacher_network

from timbral.encoders.campplus import CampplusEncoder
from timbral.encoders.campplus_small import SmallCampplusConfig, SmallCampplusEncoder
from timbral.encoders.layers.pooling import statistics_pooling

BATCH = 32
FRAMES = 100
"""of 20 ms"""


@torch.no_grad()
def vectors_after(teacher: CampplusEncoder, frames: Tensor) -> Tensor:
    """Unit vectors (N, E) from what the first dense block takes (N, F, C)."""
    mask = torch.ones(frames.shape[:2], dtype=torch.bool)
    for block in teacher.blocks:
        frames = block(frames, mask)
    active = outputs_of(teacher.norm, frames).relu_()
    pooled = statistics_pooling(active, mask, unbiased=True)
    return functional.normalize(teacher.linear_norm(teacher.linear(pooled)))


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("shards", type=Path)
    parser.add_argument("front", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--crops", type=int, default=1280)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seed = SEEDS_APART * options.seed
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    student, teacher = SmallCampplusEncoder(SmallCampplusConfig()).eval(), teacher_network()
    student.load_state_dict(torch.load(options.front, weights_only=True))
    conditions = Conditions.read(options.corpora, seed + 5)
    frames, taught, vectors = [], [], []
    for number, shard in enumerate(
        islice(batches(options.shards, BATCH, seed + 9), options.crops // BATCH)
    ):
        features = conditions.apply(shard.banks) if number % 3 else centered(shard.banks)
        frames.append(front_output(student, features)[:, :FRAMES])
        first = shard.values["first"][:, :FRAMES]
        vectors.append(vectors_after(teacher, first))
        taught.append(first.half())
    kept = fit_blocks(student, teacher, torch.cat(frames), torch.cat(taught), torch.cat(vectors))
    torch.save({"weights": student.state_dict(), "channels": kept}, options.output)


if __name__ == "__main__":
    main()
