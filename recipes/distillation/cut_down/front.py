"""The student's front learns what the teacher's first dense block takes.

    python recipes/distillation/cut_down/front.py CORPORA SHARDS OUTPUT [--seconds N]

What a frame of the teacher's front says follows from a fifth of a second of sound, so that a few
hours of speech are many examples. OUTPUT becomes a state dict of a `WideCampplusEncoder`.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from conditions import Conditions, centered
from shards import Shard, batches, held_shards
from torch import Tensor
from torch.nn import functional
from voices import teacher_network

from timbral.encoders.campplus_wide import WideCampplusConfig, WideCampplusEncoder

BATCH = 16
RATE = 2e-3
WARM_STEPS = 50


def front_output(network: WideCampplusEncoder, features: Tensor) -> Tensor:
    """What the first dense block takes, of crops of one length (N, F, M)."""
    mask = torch.ones(features.shape[:2], dtype=torch.bool)
    frames = network.front(features, mask, mask[:, ::2])
    return functional.relu(network.tdnn_norm(network.tdnn(frames), mask[:, ::2]))


def unexplained(output: Tensor, target: Tensor, variance: Tensor) -> Tensor:
    """Mean squared error of each channel beside its variance."""
    return ((output - target).square().mean((0, 1)) / variance).mean()


@torch.no_grad()
def watch(network: WideCampplusEncoder, held: dict[str, Shard], variance: Tensor) -> str:
    network.eval()
    words = []
    for name, shard in held.items():
        output = front_output(network, centered(shard["banks"].float()))
        words.append(f"{name} {unexplained(output, shard['first'].float(), variance):.3f}")
    network.train()
    return ", ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("shards", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, default=400.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = WideCampplusEncoder(WideCampplusConfig())
    network.tdnn_norm.load_state_dict(teacher_network().tdnn_norm.state_dict())  # the right scale
    learned = [*network.front.parameters(), *network.tdnn.parameters()]
    learned += network.tdnn_norm.parameters()
    optimizer = torch.optim.AdamW(learned, lr=RATE, weight_decay=1e-3)
    conditions, held = Conditions.read(options.corpora, 0), held_shards(options.shards)
    everything = torch.cat([shard["first"].float().flatten(0, 1) for shard in held.values()])
    variance = everything.var(0).clamp(min=1e-3)
    began, mean = time.monotonic(), 1.0
    for step, shard in enumerate(batches(options.shards, BATCH, 0)):
        fraction = (time.monotonic() - began) / options.seconds
        if fraction >= 1:
            break
        factor = min(1.0, (step + 1) / WARM_STEPS) * 0.5 * (1 + math.cos(math.pi * fraction))
        optimizer.param_groups[0]["lr"] = RATE * factor + 1e-5
        features = conditions.apply(shard["banks"]) if step % 2 else centered(shard["banks"])
        loss = unexplained(front_output(network, features), shard["first"], variance)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mean = 0.99 * mean + 0.01 * float(loss.detach())
        if step % 200 == 199:
            print(
                f"{step + 1} steps, {mean:.3f}; held {watch(network, held, variance)}", flush=True
            )
            torch.save(network.state_dict(), options.output)
    torch.save(network.state_dict(), options.output)


if __name__ == "__main__":
    main()
