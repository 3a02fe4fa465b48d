"""Average the weights of several encoders, such as a fine-tuned one and its origin.

Weights between the two often serve both domains better than either end (Wortsman et al., Robust
fine-tuning of zero-shot models, CVPR 2022, equation 1). Embedding costs no more, unlike with the
mean of several encoders' scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from timbral.checkpoints.checkpoint import Checkpoint, refuse_other_origin, save_checkpoint
from timbral.checkpoints.resolve import resolve
from timbral.checkpoints.weights import load_network
from timbral.config.schema import TrainConfig
from timbral.config.yaml import name_of
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.registry import ENCODERS
from timbral.errors import ConfigError
from timbral.io.outputs import CHECKPOINT, claim_folder

__all__ = ["average", "weighted_mean"]


def average(
    encoders: Sequence[str | Path], output: str | Path, weights: Sequence[float] = ()
) -> Checkpoint:
    """Average the weights of encoders and write the result as a checkpoint folder.

    Args:
        encoders: two or more encoders as for `load_encoder`, of one architecture and size
        output: the folder to write
        weights: one for each encoder, 0 or more, normalized to sum 1; none: equal

    Returns:
        the new checkpoint; preprocessing, windows and counters (batch norm's) are the first
        encoder's

    Raises ConfigError if they cannot be averaged, DataError if `output` is one of them or holds
    anything but this average.
    """
    output = Path(output)
    claim_folder(output, CHECKPOINT)
    weights = weights or [1.0] * len(encoders)
    if len(encoders) < 2:
        raise ConfigError(f"an average needs two encoders or more; got {len(encoders)}")
    if len(weights) != len(encoders):
        raise ConfigError(
            f"`weights` should be one for each of the {len(encoders)} encoders; got {len(weights)}"
        )
    if min(weights) < 0 or not 0 < sum(weights) < float("inf"):
        raise ConfigError(f"weights must be 0 or more, and not all 0: {list(weights)}")
    checkpoints = [resolve(encoder) for encoder in encoders]
    claim_folder(output, CHECKPOINT, [checkpoint.folder for checkpoint in checkpoints])
    total = sum(weights)
    origin = {
        "average": [
            {"weights_sha256": checkpoint.weights_sha256, "weight": weight / total}
            for checkpoint, weight in zip(checkpoints, weights, strict=True)
        ]
    }
    refuse_other_origin(output, origin)
    first = checkpoints[0]
    networks = [load_network(checkpoint) for checkpoint in checkpoints]
    for other, network in zip(checkpoints, networks, strict=True):
        if _shapes(network) != _shapes(networks[0]):
            raise ConfigError(
                f"{_title(other)} cannot be averaged with {_title(first)}, because it has another "
                f"architecture: {_architecture(other)}, not {_architecture(first)}"
            )
    states = [network.state_dict() for network in networks]
    networks[0].load_state_dict(weighted_mean(states, weights))
    prefixes = {start for one in checkpoints for start in one.uninitialized_prefixes}
    averaged = Checkpoint(
        output,
        first.step,
        TrainConfig(encoder=first.config.encoder),
        first.preprocessing,
        license=" and ".join(sorted({one.license for one in checkpoints if one.license})),
        uninitialized_prefixes=tuple(sorted(prefixes)),
        origin=origin,
    )
    save_checkpoint(averaged, {"encoder": networks[0]}, replace=False)
    return Checkpoint.read(output)


def weighted_mean(
    states: Sequence[Mapping[str, Tensor]], weights: Sequence[float]
) -> dict[str, Tensor]:
    """The average of weights of one architecture; integer tensors (counters) are the first one's.

    It is computed in float64, so that tensors that are equal in all states do not change at all.
    """
    total = sum(weights)
    mean: dict[str, Tensor] = {}
    for name, tensor in states[0].items():
        if not tensor.is_floating_point():
            mean[name] = tensor
            continue
        wide = torch.zeros_like(tensor, dtype=torch.float64)
        for state, weight in zip(states, weights, strict=True):
            wide += state[name].double() * (weight / total)
        mean[name] = wide.to(tensor.dtype)
    return mean


def _shapes(encoder: SpeakerEncoder) -> tuple[str, dict[str, torch.Size]]:
    """What must be equal to average: the architecture and its tensors' shapes, not the windows."""
    return encoder.name, {name: tensor.shape for name, tensor in encoder.state_dict().items()}


def _title(checkpoint: Checkpoint) -> str:
    return checkpoint.name or str(checkpoint.folder)


def _architecture(checkpoint: Checkpoint) -> str:
    config = checkpoint.config.encoder
    sizes = str(config).partition("(")[2].rstrip(")")
    return f"{name_of(ENCODERS, config)} ({sizes})"
