"""The optimizer, its learning rates, frozen layers, and the moving average of weights."""

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
    """Learning rate of a step, counted from 0, before reductions by a plateau."""
    rise = min(1.0, (step + 1) / (schedule.warmup_steps + 1))
    if schedule.decay != "cosine":
        return learning_rate * rise
    fraction = min(1.0, step / schedule.steps)
    return learning_rate * rise * 0.5 * (1.0 + math.cos(math.pi * fraction))


@dataclass
class Plateau:
    """Lowers the learning rate when a metric stops falling, like torch's ReduceLROnPlateau."""

    factor: float = 1.0
    """current factor of the learning rate"""
    best: float | None = None
    waited: int = 0
    pending: list[float] = field(default_factory=list)
    """values since the last comparison; their mean is compared"""

    def note(self, values: Mapping[str, float], schedule: ScheduleConfig) -> None:
        """Add a step's metrics; once there are enough, compare their mean and adjust the factor."""
        if schedule.plateau_metric not in values:
            return
        self.pending.append(values[schedule.plateau_metric])
        size = 1 if schedule.plateau_metric.startswith("val_") else schedule.plateau_every
        if len(self.pending) < size:
            return
        mean = sum(self.pending) / size
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
    """Adam over trainable parameters; each group's `lr_scale` multiplies the learning rate."""
    _, scales = _groups_and_scales(encoder, config)
    scales |= dict.fromkeys(loss_fn.parameters(), config.loss_lr_scale)
    by_scale: dict[float, list[nn.Parameter]] = {}
    for parameter, scale in scales.items():
        if parameter.requires_grad:
            by_scale.setdefault(scale, []).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": parameters, "lr_scale": scale} for scale, parameters in by_scale.items()
    ]
    return torch.optim.Adam(groups, lr=config.learning_rate, weight_decay=config.weight_decay)


def _groups_and_scales(
    encoder: SpeakerEncoder, config: OptimizerConfig
) -> tuple[dict[nn.Parameter, str], dict[nn.Parameter, float]]:
    """The layer group of each parameter, and its learning-rate scale.

    With layer_decay d and three layers before the head:

        layer    first   second   third   head
        scale    d³      d²       d       head_lr_scale
    """
    layers = [
        (group, layer) for group, inside in encoder.layer_groups().items() for layer in inside
    ]
    before_head = sum(group != "head" for group, _ in layers)
    # parameters outside of layers belong to the first one
    group_of = dict.fromkeys(encoder.parameters(), layers[0][0])
    scales = dict.fromkeys(encoder.parameters(), config.layer_decay**before_head)
    for depth, (group, layer) in enumerate(layers):
        decayed = config.layer_decay ** (before_head - depth)
        for parameter in layer.parameters():
            group_of[parameter] = group
            scales[parameter] = config.head_lr_scale if group == "head" else decayed
    return group_of, scales


def freeze(encoder: SpeakerEncoder, config: OptimizerConfig) -> None:
    """Freeze the layer groups that `freeze` names; ConfigError for unknown groups."""
    groups = encoder.layer_groups()
    for name in config.freeze:
        if name not in groups:
            hint = did_you_mean(name, groups)
            raise ConfigError(f"optimizer.freeze: unknown layer group {name!r}{hint}")
    group_of, _ = _groups_and_scales(encoder, config)
    for parameter, group in group_of.items():
        if group in config.freeze:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in group_of):
        raise ConfigError(
            f"optimizer.freeze: {', '.join(config.freeze)} are all layers of this encoder, so "
            "nothing would be left to train"
        )


def set_train_mode(encoder: SpeakerEncoder, config: OptimizerConfig) -> None:
    """Set training mode, except for frozen groups and, if configured, batch norm's statistics."""
    encoder.train()
    for group, layers in encoder.layer_groups().items():
        for layer in layers:
            layer.train(group not in config.freeze)
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
