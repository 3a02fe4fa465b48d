"""Everything that a training step changes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from timbral.config.schema import TrainConfig
from timbral.data.batches.batch import Batch
from timbral.encoders.base import SpeakerEncoder
from timbral.errors import CheckpointError
from timbral.io.devices import resolve_precision
from timbral.losses.base import SpeakerLoss
from timbral.training.optim import Plateau, build_optimizer, freeze, lr_at

__all__ = ["TrainState"]

NUMBERS: dict[str, tuple[type, ...]] = {
    "seconds": (int, float),
    "best_score": (int, float, type(None)),
    "val_threshold": (int, float, type(None)),
    "skipped": (int,),
    "skipped_in_a_row": (int,),
}
"""numbers of a `TrainState` that a checkpoint keeps, with their types"""
PLATEAU_NUMBERS: dict[str, tuple[type, ...]] = {
    "factor": (int, float),
    "best": (int, float, type(None)),
    "waited": (int,),
}
"""likewise of a `Plateau`"""


@dataclass
class TrainState:
    """The networks, the optimizer, and the numbers that a resumed run needs."""

    config: TrainConfig
    encoder: SpeakerEncoder
    loss_fn: SpeakerLoss
    optimizer: torch.optim.Optimizer
    backbone: Callable[[Tensor, Tensor], Tensor]
    """the encoder's `embed_features`, compiled if the config says so"""
    bf16: bool = False
    """whether the forward pass uses autocast to bfloat16"""
    average: SpeakerEncoder | None = None
    """moving average of the encoder's weights; None without one"""
    step: int = 0
    """number of steps taken"""
    seconds: float = 0.0
    """seconds of training, including earlier sessions but not validation"""
    best_score: float | None = None
    """lowest validation EER"""
    val_threshold: float | None = None
    """cosine at which the last validation's misses and false alarms were equally frequent"""
    skipped: int = 0
    """steps whose loss or gradient was not finite"""
    skipped_in_a_row: int = 0
    plateau: Plateau = field(default_factory=Plateau)

    @classmethod
    def new(
        cls,
        config: TrainConfig,
        encoder: SpeakerEncoder,
        loss_fn: SpeakerLoss,
        device: torch.device | None = None,
    ) -> TrainState:
        """The state before the first step. Raises ConfigError for layers that cannot be frozen."""
        if device is not None:
            encoder, loss_fn = encoder.to(device), loss_fn.to(device)
        freeze(encoder, config.optimizer)
        backbone = encoder.embed_features
        device = next(encoder.parameters()).device
        return cls(
            config,
            encoder,
            loss_fn,
            build_optimizer(encoder, loss_fn, config.optimizer),
            torch.compile(backbone) if config.trainer.compile else backbone,
            bf16=resolve_precision(config.trainer.precision, device) == "bf16",
            average=copy.deepcopy(encoder).eval() if config.optimizer.ema else None,
        )

    @property
    def device(self) -> torch.device:
        return next(self.encoder.parameters()).device

    @property
    def eval_encoder(self) -> SpeakerEncoder:
        """The encoder to validate: the moving average, if there is one."""
        return self.encoder if self.average is None else self.average

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """All parameters that the optimizer changes."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    @property
    def is_finished(self) -> bool:
        """Whether all steps were taken, or the time limit is reached."""
        schedule = self.config.schedule
        limit = math.inf if schedule.max_minutes is None else 60 * schedule.max_minutes
        return self.step >= schedule.steps or self.seconds >= limit

    def embed(self, batch: Batch) -> Tensor:
        """The forward pass: embeddings (B', E) of a batch's utterances, at the run's precision."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            features, frame_lengths = batch.features(self.encoder)  # (B', F, M), (B',)
            return self.backbone(features, frame_lengths)

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0: the schedule's, reduced by the plateau."""
        rate = lr_at(step, self.config.optimizer.learning_rate, self.config.schedule)
        return rate * self.plateau.factor

    def note_validation(self, eer: float, threshold: float) -> bool:
        """Record a validation's outcome; True if its EER is the lowest so far."""
        self.val_threshold = threshold
        better = self.best_score is None or eer < self.best_score
        self.best_score = eer if better else self.best_score
        return better

    def modules(self) -> dict[str, torch.nn.Module]:
        """The modules that a checkpoint contains, by name."""
        modules: dict[str, torch.nn.Module] = {"encoder": self.encoder, "loss": self.loss_fn}
        return modules if self.average is None else {**modules, "average": self.average}

    def numbers(self) -> dict[str, Any]:
        """The numbers as JSON values."""
        return {name: getattr(self, name) for name in NUMBERS} | {"plateau": asdict(self.plateau)}

    def load_numbers(self, step: int, numbers: Mapping[str, Any]) -> None:
        """Load a checkpoint's step and numbers; CheckpointError for invalid values."""
        self.step = step
        for name, types in NUMBERS.items():
            setattr(self, name, _known_number(numbers, name, types, getattr(self, name)))
        plateau = numbers.get("plateau", {})
        if not isinstance(plateau, dict):
            raise CheckpointError(f"training_state: plateau should be an object, got {plateau!r}")
        self.plateau = Plateau()
        for name, types in PLATEAU_NUMBERS.items():
            value = _known_number(plateau, name, types, getattr(self.plateau, name))
            setattr(self.plateau, name, value)
        pending = plateau.get("pending", [])
        if not isinstance(pending, list) or not all(type(item) in (int, float) for item in pending):
            raise CheckpointError("training_state: plateau.pending should be a list of numbers")
        self.plateau.pending = list(pending)


def _known_number(
    numbers: Mapping[str, Any], name: str, types: tuple[type, ...], default: float | None
) -> float | None:
    """A number of a checkpoint; the default if it is missing."""
    value: float | None = numbers.get(name, default)
    if type(value) not in types or not (value is None or abs(value) < 2**63):  # false for NaN
        raise CheckpointError(f"training_state: {name} cannot be {value!r:.40}")
    return value
