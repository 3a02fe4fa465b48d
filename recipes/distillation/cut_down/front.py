"""Train the student's front to compute the inputs of the teacher's first dense block.

    python recipes/distillation/cut_down/front.py CORPORA SHARDS OUTPUT [--seconds N]

It starts with the layers that fit_front.py cuts from the teacher's. A frame of the teacher's front
depends on a fifth of a second of sound, so a few hours of speech give many examples. OUTPUT
becomes a state dict of a `SmallCampplusEncoder`, whose other layers are still random.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from pathlib import Path

import torch
from banks import centered
from conditions import Conditions
from fit_front import fit_front
from schedule import learning_rate
from shards import SEEDS_APART, Shard, batches, held_shards
from torch import Tensor, nn
from torch.nn import functional
from voices import teacher_network
from whitened import WhitenedAdam

from timbral.encoders.campplus_small import SmallCampplusConfig, SmallCampplusEncoder

BATCH = 16
RATE = 4e-4
LEAST_RATE = 0.02
"""fraction of the rate that is left at the end"""
WARM_STEPS = 50
FIT_BATCHES, FIT_FRAMES = 6, 200
"""batches, and frames of each crop, for the least squares"""
EXAMPLES = 4
"""batches from which the second moments of the inputs are estimated"""
WATCHED = 80
"""number of crops of each corpus"""
WATCH_STEPS = 100


def front_output(network: SmallCampplusEncoder, features: Tensor) -> Tensor:
    """What the first dense block takes (N, F / 2, C), of crops of one length (N, F, M)."""
    mask = torch.ones(features.shape[:2], dtype=torch.bool)
    frames = network.tdnn(network.front(features, mask))
    return functional.relu(network.tdnn_norm(frames, mask[:, : frames.shape[1]]))


def front_error(output: Tensor, target: Tensor, variance: Tensor) -> Tensor:
    """Mean squared error of each channel, relative to its variance."""
    return ((output - target).square().mean((0, 1)) / variance).mean()


@torch.no_grad()
def watch(network: SmallCampplusEncoder, held: dict[str, Shard], variance: Tensor) -> str:
    errors = []
    for name, shard in held.items():
        output = front_output(network, centered(shard["banks"][:WATCHED].float()))
        error = front_error(output, shard["first"][:WATCHED].float(), variance)
        errors.append(f"{name} {float(error):.3f}")
    return ", ".join(errors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("shards", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, default=480.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seed = SEEDS_APART * options.seed
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network = SmallCampplusEncoder(SmallCampplusConfig()).eval()
    drawn = islice(batches(options.shards, BATCH, seed), FIT_BATCHES)
    fit_front(
        network, teacher_network(), torch.cat([batch.banks[:, :FIT_FRAMES] for batch in drawn])
    )
    conditions, held = Conditions.read(options.corpora, seed), held_shards(options.shards)
    everything = torch.cat([shard["first"].float().flatten(0, 1) for shard in held.values()])
    variance = everything.var(0).clamp(min=1e-3)
    print(f"fitted; held {watch(network, held, variance)}", flush=True)
    drawn = islice(batches(options.shards, BATCH, seed + 1), EXAMPLES)
    examples = [conditions.apply(batch.banks) for batch in drawn]
    front = nn.ModuleList([network.front, network.tdnn, network.tdnn_norm])
    optimizer = WhitenedAdam(
        front, lambda: [front_output(network, piece) for piece in examples].clear(), 1.0
    )
    began, mean = time.monotonic(), 1.0
    for step, batch in enumerate(batches(options.shards, BATCH, seed + 2)):
        fraction = (time.monotonic() - began) / options.seconds
        if fraction >= 1:
            break
        features = conditions.apply(batch.banks) if step % 2 else centered(batch.banks)
        loss = front_error(front_output(network, features), batch.values["first"], variance)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step(learning_rate(RATE, LEAST_RATE, fraction, step, WARM_STEPS))
        mean += max(0.03, 1 / (step + 1)) * (float(loss.detach()) - mean)
        if step % WATCH_STEPS == WATCH_STEPS - 1:
            held_errors = watch(network, held, variance)
            print(f"{step + 1} steps, {mean:.3f}; held {held_errors}", flush=True)
    torch.save(network.state_dict(), options.output)


if __name__ == "__main__":
    main()
