"""Everything that a training step changes."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from timbral.config.schema import TrainConfig
from timbral.encoders.base import SpeakerEncoder
from timbral.losses.base import SpeakerLoss
from timbral.training.optim import Plateau, build_optimizer, freeze

__all__ = ["TrainState", "new_state"]

NUMBERS = ("seconds", "best_score", "val_threshold", "skipped", "skipped_in_a_row")


@dataclass
class TrainState:
    """The networks, the optimizer and the numbers that a run goes on from."""

    encoder: SpeakerEncoder
    loss_fn: SpeakerLoss
    optimizer: torch.optim.Optimizer
    average: SpeakerEncoder | None = None
    """moving average of the encoder's weights, if one is kept"""
    step: int = 0
    seconds: float = 0.0
    """time spent training, resumed time included, validation not"""
    best_score: float | None = None
    val_threshold: float | None = None
    """cosine at which the last validation's misses and false alarms were equally frequent"""
    skipped: int = 0
    """steps whose loss or gradient was not finite"""
    skipped_in_a_row: int = 0
    plateau: Plateau = field(default_factory=Plateau)

    @property
    def judged(self) -> SpeakerEncoder:
        """The encoder to validate: the average where there is one."""
        return self.encoder if self.average is None else self.average

    def note_validation(self, eer: float, threshold: float) -> bool:
        """Keep a validation's outcome; True when its EER is the lowest so far."""
        self.val_threshold = threshold
        better = self.best_score is None or eer < self.best_score
        self.best_score = eer if better else self.best_score
        return better

    def modules(self) -> dict[str, torch.nn.Module]:
        found: dict[str, torch.nn.Module] = {"encoder": self.encoder, "loss": self.loss_fn}
        return found if self.average is None else {**found, "average": self.average}

    def progress(self) -> dict[str, Any]:
        """The numbers as JSON values."""
        return {name: getattr(self, name) for name in NUMBERS} | {"plateau": asdict(self.plateau)}

    def take_progress(self, step: int, progress: dict[str, Any]) -> None:
        """Go on from a checkpoint's step and numbers."""
        self.step = step
        for name in NUMBERS:
            setattr(self, name, progress.get(name, getattr(self, name)))
        self.plateau = Plateau(**progress.get("plateau", {}))


def new_state(encoder: SpeakerEncoder, loss_fn: SpeakerLoss, config: TrainConfig) -> TrainState:
    """The state before the first step. Raises ConfigError for parts that cannot be frozen."""
    freeze(encoder, config.optimizer)
    optimizer = build_optimizer(encoder, loss_fn, config.optimizer)
    average = copy.deepcopy(encoder).eval() if config.optimizer.ema else None
    return TrainState(encoder, loss_fn, optimizer, average)
