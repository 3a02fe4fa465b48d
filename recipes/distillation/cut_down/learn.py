"""The student that fit.py began learns its teacher's vectors.

    python recipes/distillation/cut_down/learn.py CORPORA SHARDS FITTED OUTPUT [--seconds N]

The loss is that of `timbral train` with a teacher of crops, on the shards of voices.py: cosines to
the teacher's vectors and between crops; beside it what the dense blocks give, which says more of a
crop than its vector does and does not depend on whose voices there are.
Norms keep the statistics that they were fitted with. OUTPUT becomes a state to resume from, which a
run that is started again does; the folder OUTPUT.encoder, at the end, the encoder with averaged
weights.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from itertools import islice
from pathlib import Path

import torch
from conditions import Conditions, centered
from shards import Shard, batches, held_shards
from torch import Tensor
from torch.nn import functional
from whitened import WhitenedAdam

from timbral.encoders.campplus_wide import WideCampplusConfig, WideCampplusEncoder
from timbral.inference.embedder import Embedder
from timbral.losses.distillation import DistillationConfig, DistillationLoss
from timbral.scoring.metrics import eer

BATCH = 32
RATE = 2e-4
PLAIN_FRACTION = 1.0
"""of the rate, for what is no product"""
LEAST_RATE = 0.01
"""of the rate, at the end"""
WARM_STEPS = 100
RELATIONS = 2.0
FRAMES, POOLED = 1.0, 1.0
"""weights of what the blocks give: frames, and their means and deviations over a crop"""
AVERAGED = 0.998
AS_THEY_ARE = 4
"""every fourth batch is taken without conditions"""
EXAMPLES = 6
"""batches that say how white the inputs of the products are"""
WATCH_STEPS = 100


class Student:
    """A network, and what its blocks and its last product make of crops of one length."""

    def __init__(self, network: WideCampplusEncoder, channels: list[Tensor]) -> None:
        """`channels` are those of the teacher that each block hands on."""
        self.network = network.eval()
        self.channels = channels

    def __call__(self, features: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Vectors (N, E), not of unit length, and the blocks' outputs."""
        outputs: list[Tensor] = []
        hooks = [
            block.register_forward_hook(lambda _, inputs, output: outputs.append(output))
            for block in self.network.blocks
        ]
        lengths = torch.full((len(features),), features.shape[1])
        vectors = self.network.embed_features(features, lengths)
        for hook in hooks:
            hook.remove()
        return vectors, outputs

    def block_losses(self, outputs: list[Tensor], shard: Shard) -> tuple[Tensor, Tensor]:
        """Of the variance of the teacher's channels, the share that is not explained.

        First of frames, then of their means and deviations over a crop.
        """
        frames, pooled = outputs[0].new_zeros(()), outputs[0].new_zeros(())
        for number, (output, channels) in enumerate(zip(outputs, self.channels, strict=True)):
            taught = shard[f"block{number}"]
            stride = taught.shape[1] // output.shape[1]
            target = taught[:, ::stride, channels]
            frames = frames + unexplained(output.flatten(0, 1), target.flatten(0, 1))
            pooled = pooled + unexplained(moments(output), moments(target))
        return frames / len(outputs), pooled / len(outputs)


def unexplained(rows: Tensor, target: Tensor) -> Tensor:
    """Of the variance of columns of `target`, the mean share that `rows` do not explain."""
    error = (rows - rows.mean(0)) - (target - target.mean(0))
    return (error.square().mean(0) / target.var(0).clamp(min=1e-3)).mean()


def moments(frames: Tensor) -> Tensor:
    """Means and deviations over time: (N, F, C) -> (N, 2 C)."""
    return torch.cat([frames.mean(1), (frames.var(1) + 1e-4).sqrt()], dim=1)


@torch.no_grad()
def watch(network: WideCampplusEncoder, held: dict[str, Shard]) -> str:
    """Of crops of speakers who are not trained on: mean cosine to the teacher's, and EER."""
    words = []
    for name, shard in held.items():
        features = centered(shard["banks"].float())
        vectors = torch.cat(
            [
                functional.normalize(network.embed_features(piece, torch.full((len(piece),), 180)))
                for piece in features.split(64)
            ]
        )
        cosine = float((vectors * shard["vectors"]).sum(1).mean())
        speakers = shard["speakers"]
        first, second = torch.triu_indices(len(speakers), len(speakers), 1)
        rates = [
            eer(
                (rows[first] * rows[second]).sum(1).numpy(),
                (speakers[first] == speakers[second]).numpy(),
            )[0]
            for rows in (vectors, shard["vectors"])
        ]
        words.append(f"{name} {cosine:.3f}, {100 * rates[0]:.1f} % ({100 * rates[1]:.1f})")
    return "; ".join(words)


class Run:
    """A training and what it is saved as."""

    def __init__(
        self, student: Student, output: Path, seconds: float, examples: list[Tensor]
    ) -> None:
        self.student, self.output, self.seconds = student, output, seconds
        self.averaged = copy.deepcopy(student.network)
        self.learned = [p for p in student.network.parameters() if p.requires_grad]
        self.optimizer = WhitenedAdam(
            student.network, lambda: [student(piece) for piece in examples].clear(), PLAIN_FRACTION
        )
        self.loss = DistillationLoss(DistillationConfig(RELATIONS))
        self.step, self.spent = 0, 0.0
        if output.exists():
            state = torch.load(output, weights_only=True)
            student.network.load_state_dict(state["network"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.spent = state["step"], state["spent"]

    def save(self) -> None:
        state = {
            "network": self.student.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "spent": self.spent,
        }
        torch.save(state, self.output.with_suffix(".part"))
        self.output.with_suffix(".part").rename(self.output)

    def save_encoder(self) -> None:
        folder = self.output.with_name(f"{self.output.name}.encoder")
        Embedder(copy.deepcopy(self.averaged)).save(folder, license="Apache-2.0")

    def take(self, shard: Shard, features: Tensor) -> dict[str, float]:
        fraction = self.spent / self.seconds
        falling = LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0)))
        rate = RATE * falling * min(1.0, (self.step + 1) / WARM_STEPS)
        vectors, outputs = self.student(features)
        cosine = self.loss.taught(vectors, torch.zeros(len(vectors)), shard["vectors"])
        frames, pooled = self.student.block_losses(outputs, shard)
        self.optimizer.zero_grad()
        (cosine + FRAMES * frames + POOLED * pooled).backward()
        self.optimizer.step(rate)
        self.step += 1
        kept = min(AVERAGED, 1 - 1 / (1 + self.step / 10))
        with torch.no_grad():
            for mean, now in zip(self.averaged.parameters(), self.learned, strict=True):
                mean.lerp_(now, 1 - kept)
        told = {"loss": cosine, "frames": frames, "pooled": pooled}
        return {name: float(value.detach()) for name, value in told.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("shards", type=Path)
    parser.add_argument("fitted", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, default=5400.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    fitted = torch.load(options.fitted, weights_only=True)
    network = WideCampplusEncoder(WideCampplusConfig())
    network.load_state_dict(fitted["weights"])
    conditions = Conditions.read(options.corpora, 0)
    drawn = islice(batches(options.shards, BATCH, 0), EXAMPLES)
    examples = [conditions.apply(shard["banks"]) for shard in drawn]
    student = Student(network, fitted["channels"])
    run = Run(student, options.output, options.seconds, examples)
    conditions = Conditions.read(options.corpora, run.step)
    held = held_shards(options.shards)
    means: dict[str, float] = {}
    for shard in batches(options.shards, BATCH, run.step):
        began = time.monotonic()
        plain = run.step % AS_THEY_ARE == 0
        features = centered(shard["banks"]) if plain else conditions.apply(shard["banks"])
        for name, value in run.take(shard, features).items():
            means[name] = 0.98 * means.get(name, value) + 0.02 * value
        run.spent += time.monotonic() - began
        if run.step % WATCH_STEPS == 0:
            run.save()
            told = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
            print(
                f"{run.step} ({run.spent:.0f} s): {told}; {watch(run.averaged, held)}", flush=True
            )
        if run.spent >= options.seconds:
            break
    run.save()
    run.save_encoder()


if __name__ == "__main__":
    main()
