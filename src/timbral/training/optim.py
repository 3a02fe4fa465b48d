"""Optimizer, learning rates, moving average, and which parameters learn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from timbral.config.schema import OptimizerConfig, ScheduleConfig
from timbral.encoders.base import SpeakerEncoder
from timbral.errors import ConfigError, did_you_mean

__all__ = [
    "Plateau",
    "average_weights",
    "build_optimizer",
    "freeze",
    "lr_at",
    "set_train_mode",
]


def lr_at(step: int, learning_rate: float, schedule: ScheduleConfig) -> float:
    """Learning rate of a step counted from 0, before what a plateau takes off."""
    rise = min(1.0, (step + 1) / (schedule.warmup_steps + 1))
    if schedule.decay != "cosine":
        return learning_rate * rise
    progress = min(1.0, step / schedule.steps)
    return learning_rate * rise * 0.5 * (1.0 + math.cos(math.pi * progress))


@dataclass
class Plateau:
    """Lowers the learning rate when a number stops falling; torch's ReduceLROnPlateau as data."""

    factor: float = 1.0
    """what the learning rate is multiplied by now"""
    best: float | None = None
    waited: int = 0
    pending: list[float] = field(default_factory=list)
    """values of this round"""

    def note(self, values: Mapping[str, float], schedule: ScheduleConfig) -> None:
        """Take in a step's numbers; act when a round of them is whole."""
        if schedule.plateau_metric not in values:
            return
        self.pending.append(values[schedule.plateau_metric])
        whole = 1 if schedule.plateau_metric.startswith("val_") else schedule.plateau_every
        if len(self.pending) < whole:
            return
        mean = sum(self.pending) / whole
        self.pending = []
        if self.best is None or mean < self.best * (1 - 1e-4):
            self.best, self.waited = mean, 0
            return
        self.waited += 1
        if self.waited > schedule.plateau_patience:
            self.factor, self.waited = self.factor * schedule.plateau_factor, 0


def build_optimizer(
    encoder: SpeakerEncoder, loss_fn: nn.Module, config: OptimizerConfig
) -> torch.optim.Adam:
    """Adam over what learns; each group's `share` of the learning rate is in the group."""
    _, shares = _parts_and_shares(encoder, config)
    shares |= dict.fromkeys(loss_fn.parameters(), config.loss_lr_scale)
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter, share in shares.items():
        if parameter.requires_grad:
            groups.setdefault(share, []).append(parameter)
    described: list[dict[str, Any]] = [
        {"params": parameters, "share": share} for share, parameters in groups.items()
    ]
    return torch.optim.Adam(described, lr=config.learning_rate, weight_decay=config.weight_decay)


def _parts_and_shares(
    encoder: SpeakerEncoder, config: OptimizerConfig
) -> tuple[dict[nn.Parameter, str], dict[nn.Parameter, float]]:
    """Each parameter's part, and its share of the learning rate."""
    named = encoder.layer_groups()
    layers = [(part, layer) for part, modules in named.items() for layer in modules]
    before_head = sum(part != "head" for part, _ in layers)
    part_of = dict.fromkeys(encoder.parameters(), layers[0][0])
    shares = dict.fromkeys(encoder.parameters(), config.layer_decay**before_head)
    for depth, (part, layer) in enumerate(layers):
        in_head = part == "head"
        share = config.head_lr_scale if in_head else config.layer_decay ** (before_head - depth)
        for parameter in layer.parameters():
            part_of[parameter], shares[parameter] = part, share
    return part_of, shares


def freeze(encoder: SpeakerEncoder, config: OptimizerConfig) -> None:
    """Let only those parts learn that `freeze` does not name; ConfigError for others."""
    for name in config.freeze:
        if name not in (groups := encoder.layer_groups()):
            near = did_you_mean(name, groups)
            raise ConfigError(f"optimizer.freeze: unknown layer group {name!r}{near}")
    part_of, _ = _parts_and_shares(encoder, config)
    for parameter, part in part_of.items():
        if part in config.freeze:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in part_of):
        raise ConfigError(
            f"optimizer.freeze: {', '.join(config.freeze)} is all that this encoder has; "
            "nothing would be left to learn"
        )


def set_train_mode(encoder: SpeakerEncoder, config: OptimizerConfig) -> None:
    """Training mode, but for frozen parts and, if asked for, batch norm's statistics."""
    encoder.train()
    for part, modules in encoder.layer_groups().items():
        for module in modules:
            module.train(part not in config.freeze)
    if config.frozen_batch_norm:
        for module in encoder.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


@torch.no_grad()
def average_weights(average: nn.Module, encoder: nn.Module, decay: float, step: int) -> None:
    """Move `average` toward `encoder` by 1 - decay, faster in the first steps."""
    weight = 1 - min(decay, (1 + step) / (10 + step))
    for moved, new in zip(average.parameters(), encoder.parameters(), strict=True):
        moved.lerp_(new, weight)
    for copied, buffer in zip(average.buffers(), encoder.buffers(), strict=True):
        copied.copy_(buffer)
