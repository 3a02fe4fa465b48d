"""The student's last product, fitted again on crops that the student has not been trained on.

    python recipes/distillation/cut_down/head.py CORPORA SHARDS STATE OUTPUT

For crops of the training, the outputs of the blocks are closer to the teacher's than for others, so
the last product has learned to rely on them too much. SHARDS is a folder of shards of voices.py
that learn.py did not read and of waves.py that harden.py did not read (another `--first`), with
those of held.py; STATE is the output of harden.py. Crops of waves.py are degraded as harden.py
degrades them. The result is a mean of what least squares give and what was learned, which corrects
the learned product less where the crops are few. The ridge and the share that are best for the held
speakers are used. OUTPUT becomes the encoder's folder, with its weights rounded to the few bits of
the shipped file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from banks import centered
from few_bits import BITS, round_weights
from harden import DegradedCrops
from least_squares import ridge
from shards import held_shards, read_shard
from torch import Tensor
from torch.nn import functional
from values import set_last
from wave_conditions import WaveConditions

from timbral.checkpoints.packed_weights import rounded
from timbral.encoders.campplus_small import SmallCampplusConfig, SmallCampplusEncoder
from timbral.inference.embedder import Embedder

PIECE = 64
"""number of crops that are computed at once"""
RIDGES = (3e-3, 1e-2, 3e-2, 1e-1)
LEARNED_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4)
"""shares of the product that was learned in the mean"""


@torch.no_grad()
def pooled(network: SmallCampplusEncoder, banks: Tensor) -> Tensor:
    """What the last product takes (N, 2 C), of log filter banks (N, F, M)."""
    taken: list[Tensor] = []
    hook = network.linear.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    for piece in torch.split(banks, PIECE):
        lengths = torch.full((len(piece),), piece.shape[1])
        network.embed_features(centered(piece.float()), lengths)
    hook.remove()
    return torch.cat(taken)


def learned_product(
    network: SmallCampplusEncoder, inputs: Tensor, vectors: Tensor
) -> tuple[Tensor, Tensor]:
    """The last product with the norm after it, as a matrix (E, 2 C) and a bias (E,).

    They are scaled to come closest to the teacher's unit vectors; the scale does not matter alone.
    """
    norm = network.linear_norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scales = (norm.running_var + norm.eps).rsqrt()
    matrix, bias = scales[:, None] * network.linear.weight, -scales * norm.running_mean
    outputs = inputs @ matrix.t() + bias
    scale = (outputs * vectors).sum() / outputs.square().sum()
    return scale * matrix, scale * bias


@torch.no_grad()
def fit_head(
    network: SmallCampplusEncoder,
    inputs: Tensor,
    vectors: Tensor,
    held: dict[str, tuple[Tensor, Tensor]],
) -> None:
    """For `pooled` inputs and the teacher's vectors; `held` are those of held crops, by corpus."""
    best = -1.0
    learned = learned_product(network, inputs, vectors)
    for fraction in RIDGES:
        fitted = ridge(inputs, vectors, fraction)
        for share in LEARNED_SHARES:
            exact, bias = (
                torch.lerp(of_fit, of_learning, share)
                for of_fit, of_learning in zip(fitted, learned, strict=True)
            )
            matrix = rounded(exact, BITS)
            bias += (exact - matrix) @ inputs.mean(0)
            cosines = [
                float((functional.normalize(rows @ matrix.t() + bias) * taught).sum(1).mean())
                for rows, taught in held.values()
            ]
            told = ", ".join(f"{cosine:.4f}" for cosine in cosines)
            print(f"ridge {fraction:g}, learned {share:.0%}: cosines {told}", flush=True)
            if sum(cosines) > best:
                best = sum(cosines)
                set_last(network, matrix, bias)


def inputs_and_vectors(
    network: SmallCampplusEncoder, folder: Path, degraded_crops: DegradedCrops
) -> tuple[Tensor, Tensor]:
    """The `pooled` inputs of all crops (N, 2 C), and the teacher's vectors (N, E)."""
    inputs, vectors = [], []
    for path in sorted(folder.glob("voices-*.pt")):
        shard = read_shard(path)
        inputs.append(pooled(network, shard["banks"]))
        vectors.append(shard["vectors"])
    for path in sorted(folder.glob("waves-*.pt")):
        shard = read_shard(path)
        inputs.append(pooled(network, degraded_crops.features(shard["waves"].float())[0]))
        vectors.append(shard["vectors"])
    return torch.cat(inputs), torch.cat(vectors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("shards", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = SmallCampplusEncoder(SmallCampplusConfig()).eval()
    network.load_state_dict(torch.load(options.state, weights_only=True)["averaged"])
    round_weights(network)
    held = {
        name: (pooled(network, shard["banks"]), shard["vectors"])
        for name, shard in held_shards(options.shards).items()
    }
    degraded_crops = DegradedCrops(WaveConditions.read(options.corpora), 0)
    fit_head(network, *inputs_and_vectors(network, options.shards, degraded_crops), held)
    Embedder(network).save(options.output, license="Apache-2.0")


if __name__ == "__main__":
    main()
