"""Train the student that fit.py began to compute its teacher's vectors.

    python recipes/distillation/cut_down/learn.py CORPORA SHARDS FITTED OUTPUT [--seconds N]
                                                                               [--seed N]

The loss is that of `timbral train` with a teacher of crops, on the shards of voices.py: cosines to
the teacher's vectors and between crops. The error of the dense blocks' outputs is added, which
contain more of a crop than its vector and do not depend on the choice of voices. At first the front
is frozen, and its outputs are computed once per shard. Then all layers are trained, at last with
weights rounded to few bits, as the file of the shipped encoder stores them.
Norms keep the statistics that they were fitted with. OUTPUT becomes a state from which a second
call continues, with averaged weights (after rounding began, those of the last step), from which
head.py makes an encoder.
"""

from __future__ import annotations

import argparse
import copy
import time
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import torch
from banks import centered
from conditions import Conditions
from few_bits import rounded_weights
from front import front_output
from schedule import learning_rate
from shards import SEEDS_APART, Batch, Shard, batches, held_shards, read_shard
from torch import Tensor
from torch.nn import functional
from values import flat, moments, unexplained
from whitened import WhitenedAdam

from timbral.encoders.campplus_small import SmallCampplusConfig, SmallCampplusEncoder
from timbral.encoders.layers.pooling import statistics_pooling
from timbral.losses.distillation import DistillationConfig, DistillationLoss
from timbral.scoring.metrics import eer

BATCH = 32
PIECE = 32
"""number of crops that go through the front at once"""
RATE = 2e-4
LEAST_RATE = 0.01
"""fraction of the rate that is left at the end"""
WARM_STEPS = 100
RELATIONS = 2.0
FRAMES, POOLED = 1.0, 1.0
"""weights of the losses of the blocks' frames, and of their means and deviations over a crop"""
AVERAGED = 0.998
DEGRADED = 8
"""every eighth batch is in noise and rooms for the student alone"""
EXAMPLES = 6
"""batches from which the second moments of the inputs are estimated"""
WATCH_STEPS = 50


class Student:
    """A network, with the outputs of its blocks and its vectors for crops of one length."""

    def __init__(self, network: SmallCampplusEncoder, channels: list[Tensor]) -> None:
        """`channels` are those of the teacher that each block hands on."""
        self.network = network.eval()
        self.channels = channels
        self.front_learns = False
        self._fronts: dict[Path, Tensor] = {}

    def front(self, batch: Batch, features: Tensor | None) -> Tensor:
        """The inputs of the first block; `features` are None for crops that are not degraded."""
        if features is None and not self.front_learns:
            if batch.path not in self._fronts:
                self._fronts[batch.path] = self._front_of(batch.path)
            return self._fronts[batch.path][batch.rows].float()
        with torch.set_grad_enabled(self.front_learns):
            return front_output(
                self.network, centered(batch.banks) if features is None else features
            )

    @torch.no_grad()
    def _front_of(self, path: Path) -> Tensor:
        pieces = torch.split(read_shard(path)["banks"], PIECE)
        return torch.cat(
            [front_output(self.network, centered(piece.float())).half() for piece in pieces]
        )

    def __call__(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Vectors (N, E), not of unit length, and the outputs of each block."""
        network, outputs = self.network, []
        mask = torch.ones(frames.shape[:2], dtype=torch.bool)
        for block in network.blocks:
            frames = block(frames, mask)
            mask = mask[:, : frames.shape[1]]
            outputs.append(frames)
        active = functional.relu(network.norm(frames, mask))
        pooled = statistics_pooling(active, mask, unbiased=True)
        return network.linear_norm(network.linear(pooled)), outputs

    def block_losses(self, outputs: list[Tensor], shard: Shard) -> tuple[Tensor, Tensor]:
        """The fraction of the variance of the teacher's channels that is not explained, for frames
        and for their means and deviations over a crop.
        """
        frames, pooled = outputs[0].new_zeros(()), outputs[0].new_zeros(())
        for number, (output, channels) in enumerate(zip(outputs, self.channels, strict=True)):
            target = shard[f"block{number}"][:, :, channels]
            output = output[:, :: round(output.shape[1] / target.shape[1])]
            frames = frames + unexplained(flat(output), flat(target))
            pooled = pooled + unexplained(moments(output), moments(target))
        return frames / len(outputs), pooled / len(outputs)


@torch.no_grad()
def watch(network: SmallCampplusEncoder, held: dict[str, Shard]) -> str:
    """Mean cosine to the teacher's vectors and EER, for crops of speakers not trained on."""
    words = []
    for name, shard in held.items():
        pieces = torch.split(centered(shard["banks"].float()), 64)
        vectors = functional.normalize(
            torch.cat(
                [
                    network.embed_features(piece, torch.full((len(piece),), piece.shape[1]))
                    for piece in pieces
                ]
            )
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
    """A training, and the file of its state."""

    def __init__(
        self,
        student: Student,
        output: Path,
        seconds: float,
        examples: list[Tensor],
        rate: float = RATE,
    ) -> None:
        self.student, self.output, self.seconds, self.rate = student, output, seconds, rate
        self.averaged = copy.deepcopy(student.network)
        self.learned = [p for p in student.network.parameters() if p.requires_grad]
        self.optimizer = WhitenedAdam(
            student.network,
            lambda: [student(front_output(student.network, piece)) for piece in examples].clear(),
            1.0,
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

    def take(
        self, batch: Batch, features: Tensor | None, in_bits: bool, with_blocks: bool = True
    ) -> dict[str, float]:
        """One step; the losses by name, without those of the blocks for crops that were cut."""
        fraction = min(self.spent / self.seconds, 1.0)
        rate = learning_rate(self.rate, LEAST_RATE, fraction, self.step, WARM_STEPS)
        self.optimizer.zero_grad()
        with rounded_weights(self.student.network) if in_bits else nullcontext():
            vectors, outputs = self.student(self.student.front(batch, features))
            cosine = self.loss.taught(vectors, torch.zeros(len(vectors)), batch.values["vectors"])
            losses, total = {"loss": cosine}, cosine
            if with_blocks:
                frames, pooled = self.student.block_losses(outputs, batch.values)
                losses |= {"frames": frames, "pooled": pooled}
                total = cosine + FRAMES * frames + POOLED * pooled
            torch.autograd.backward(total)
        self.optimizer.step(rate)
        self.step += 1
        # a mean of weights, rounded, is worse than weights that learned to be rounded
        kept = 0.0 if in_bits else min(AVERAGED, 1 - 1 / (1 + self.step / 10))
        with torch.no_grad():
            for mean, now in zip(self.averaged.parameters(), self.learned, strict=True):
                mean.lerp_(now, 1 - kept)
        return {name: float(value.detach()) for name, value in losses.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("shards", type=Path)
    parser.add_argument("fitted", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, default=4500.0)
    parser.add_argument("--front-after", type=float, default=0.6, help="fraction of the time")
    parser.add_argument("--bits-after", type=float, default=0.75, help="fraction of the time")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seed = SEEDS_APART * options.seed
    torch.set_num_threads(1)
    fitted = torch.load(options.fitted, weights_only=True)
    network = SmallCampplusEncoder(SmallCampplusConfig())
    network.load_state_dict(fitted["weights"])
    conditions = Conditions.read(options.corpora, seed)
    drawn = islice(batches(options.shards, BATCH, seed), EXAMPLES)
    examples = [conditions.apply(batch.banks) for batch in drawn]
    student = Student(network, fitted["channels"])
    run = Run(student, options.output, options.seconds, examples)
    conditions = Conditions.read(options.corpora, seed + run.step)
    held = held_shards(options.shards)
    means: dict[str, float] = {}
    for batch in batches(options.shards, BATCH, seed + run.step):
        began = time.monotonic()
        student.front_learns = run.spent >= options.front_after * options.seconds
        in_bits = run.spent >= options.bits_after * options.seconds
        degraded = run.step % DEGRADED == 0
        for name, value in run.take(
            batch, conditions.apply(batch.banks) if degraded else None, in_bits
        ).items():
            means[name] = 0.98 * means.get(name, value) + 0.02 * value
        run.spent += time.monotonic() - began
        if run.step % WATCH_STEPS == 0:
            run.save()
            told = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
            with rounded_weights(run.averaged) if in_bits else nullcontext():
                of_held = watch(run.averaged, held)
            print(f"{run.step} ({run.spent:.0f} s): {told}; {of_held}", flush=True)
        if run.spent >= options.seconds:
            break
    run.save()


if __name__ == "__main__":
    main()
