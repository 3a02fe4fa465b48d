"""Optimizer and learning rate."""

from __future__ import annotations

import math

import torch
from torch import nn

from timbral.config import ScheduleConfig

__all__ = ["build_optimizer", "lr_at"]


def lr_at(step: int, schedule: ScheduleConfig) -> float:
    """Learning rate of a step counted from 0."""
    rise = min(1.0, (step + 1) / (schedule.warmup_steps + 1))
    if schedule.decay == "constant":
        return schedule.learning_rate * rise
    share = min(1.0, step / schedule.steps)
    return schedule.learning_rate * rise * 0.5 * (1.0 + math.cos(math.pi * share))


def build_optimizer(modules: list[nn.Module], schedule: ScheduleConfig) -> torch.optim.Adam:
    """Adam over every trainable parameter of the modules."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    return torch.optim.Adam(
        parameters, lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
