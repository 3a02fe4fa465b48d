"""One encoder from the weights of several: a fine-tuned one and the one it came from.

Weights on the way from one to the other often serve both kinds of voices better than either end
(Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022, equation 1). It costs
nothing when embedding, unlike the mean of several encoders' scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from timbral.checkpoints.checkpoint import Checkpoint, load_network, save_checkpoint
from timbral.config.schema import TrainConfig
from timbral.config.yaml import name_of
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.registry import ENCODERS
from timbral.errors import ConfigError

__all__ = ["average"]


def average(checkpoints: Sequence[Checkpoint], shares: Sequence[float], output: Path) -> Checkpoint:
    """Write the mean of encoders' weights, in these shares, as a checkpoint folder.

    All must be one architecture of one size. Preprocessing, windows and counters (batch norm's)
    are the first's. Raises ConfigError when they cannot be averaged.
    """
    if len(checkpoints) < 2 or len(shares) != len(checkpoints):
        raise ConfigError(
            f"two encoders or more and a share of each are needed, got {len(checkpoints)} encoders "
            f"and {len(shares)} shares"
        )
    if min(shares) < 0 or not 0 < sum(shares) < float("inf"):
        raise ConfigError(f"shares must be 0 or more, and not all 0: {list(shares)}")
    first = checkpoints[0]
    encoders = [load_network(checkpoint) for checkpoint in checkpoints]
    for other, encoder in zip(checkpoints, encoders, strict=True):
        if _shapes(encoder) != _shapes(encoders[0]):
            raise ConfigError(
                f"{_called(other)} is another encoder than {_called(first)}: "
                f"{_architecture(other)}, not {_architecture(first)}"
            )
    encoders[0].load_state_dict(_mean([encoder.state_dict() for encoder in encoders], shares))
    made = Checkpoint(
        output,
        first.step,
        TrainConfig(encoder=first.config.encoder),
        first.preprocessing,
        license=" and ".join(sorted({one.license for one in checkpoints if one.license})),
        fresh=tuple(sorted({start for one in checkpoints for start in one.fresh})),
    )
    save_checkpoint(made, {"encoder": encoders[0]})
    return Checkpoint.read(output)


def _mean(states: Sequence[dict[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    total = sum(shares)
    mean: dict[str, Tensor] = {}
    for name, tensor in states[0].items():
        if not tensor.is_floating_point():
            mean[name] = tensor
            continue
        wide = torch.zeros_like(tensor, dtype=torch.float64)
        for state, share in zip(states, shares, strict=True):
            wide += state[name].double() * (share / total)
        mean[name] = wide.to(tensor.dtype)
    return mean


def _shapes(encoder: SpeakerEncoder) -> tuple[str, dict[str, torch.Size]]:
    """What must be alike: the architecture and its tensors, but not how long its windows are."""
    return encoder.name, {name: tensor.shape for name, tensor in encoder.state_dict().items()}


def _called(checkpoint: Checkpoint) -> str:
    return checkpoint.name or str(checkpoint.folder)


def _architecture(checkpoint: Checkpoint) -> str:
    config = checkpoint.config.encoder
    sizes = str(config).partition("(")[2].rstrip(")")
    return f"{name_of(ENCODERS, config)} ({sizes})"
