"""Sections of TrainConfig that choose no class: schedule, optimisation, tracking."""

from __future__ import annotations

import math
from dataclasses import dataclass

from timbral.errors import check_choice, check_ranges

__all__ = ["PLATEAU_METRICS", "OptimConfig", "ScheduleConfig", "TrackingConfig"]


@dataclass(frozen=True)
class ScheduleConfig:
    """How long a run goes, how it learns, and when it looks up."""

    steps: int = 100_000
    learning_rate: float = 1e-4
    warmup_steps: int = 0
    """the learning rate rises to its value over this many steps"""
    decay: str = "constant"
    """constant | cosine (to zero at the last step) | plateau (see the section optim)"""
    max_minutes: float | None = None
    """stop, with a checkpoint, after this much training; validation is not counted"""
    max_grad_norm: float = 3.0
    weight_decay: float = 0.0
    precision: str = "fp32"
    """fp32 | bf16 | auto (bf16 where the processor computes in it, else fp32)"""
    chunk: int | None = None
    """utterances that pass the encoder at once; gradients are those of the whole batch anyway"""
    accumulate: int = 1
    """batches whose gradients are averaged for one step; a loss compares within each of them"""
    compile: bool = False
    """torch.compile the encoder: faster steps after a slow first one; needs a C++ compiler"""
    seed: int = 0
    log_every: int = 10
    validate_every: int = 1000
    save_every: int = 1000
    keep_last_n: int = 3
    """older checkpoints than these go, except the best one"""

    def __post_init__(self) -> None:
        check_choice("schedule.decay", self.decay, ("constant", "cosine", "plateau"))
        check_choice("schedule.precision", self.precision, ("fp32", "bf16", "auto"))
        counts = ("steps", "accumulate", "log_every", "validate_every", "save_every", "keep_last_n")
        check_ranges(self, "schedule", **dict.fromkeys(counts, (1, math.inf)))
        check_ranges(
            self,
            "schedule",
            learning_rate=(1e-12, 1e30),
            warmup_steps=(0, math.inf),
            chunk=(1, math.inf),
            max_minutes=(1e-9, 1e9),
            max_grad_norm=(1e-9, 1e30),
            weight_decay=(0.0, 1e9),
            seed=(0, 2**63),
        )


PLATEAU_METRICS = ("loss", "batch_eer", "val_loss", "val_eer")


@dataclass(frozen=True)
class OptimConfig:
    """Which parameters learn, at which share of the learning rate, and what a plateau does."""

    head_rate: float = 1.0
    """of the encoder's part `head`"""
    loss_rate: float = 1.0
    """of what the loss learns itself: w and b, class weights"""
    layer_decay: float = 1.0
    """each layer before the head learns at this share of the rate of the one after it"""
    freeze: tuple[str, ...] = ()
    """parts of the encoder that stay as they are: body, head"""
    frozen_batch_norm: bool = False
    """batch norm uses, and keeps, the statistics that the encoder came with"""
    ema: float = 0.0
    """decay of the moving average of the weights, such as 0.999, which is then judged and saved
    as the encoder; 0: no average"""
    plateau_metric: str = "val_eer"
    """what has to fall: loss | batch_eer (of training batches) | val_loss | val_eer"""
    plateau_every: int = 100
    """steps over which loss and batch_eer are averaged; val_* count at each validation"""
    plateau_patience: int = 3
    """rounds without a fall that are borne"""
    plateau_factor: float = 0.6
    """the learning rate is multiplied by this after one round more"""

    def __post_init__(self) -> None:
        check_choice("optim.plateau_metric", self.plateau_metric, PLATEAU_METRICS)
        rates = ("head_rate", "loss_rate")
        check_ranges(self, "optim", **dict.fromkeys(rates, (0.0, 1e6)))
        check_ranges(
            self,
            "optim",
            layer_decay=(1e-6, 1.0),
            ema=(0.0, 1.0 - 1e-9),
            plateau_every=(1, math.inf),
            plateau_patience=(0, math.inf),
            plateau_factor=(1e-6, 1.0),
        )


@dataclass(frozen=True)
class TrackingConfig:
    """What trackers get besides numbers. It changes nothing of a run, so it may change."""

    pictures_every: int | None = None
    """steps between two pictures of a training batch on the plane (UMAP)"""
    validation_pictures_every: int | None = None
    """steps between two pictures of the validation's utterances, each drawn at a validation"""
    clips_every: int | None = None
    """steps between two batches whose audio is kept, to be listened to"""
    annotate: bool = False
    """write the name of its recording beside each point"""

    def __post_init__(self) -> None:
        every = ("pictures_every", "validation_pictures_every", "clips_every")
        check_ranges(self, "tracking", **dict.fromkeys(every, (1, math.inf)))

    @property
    def draws(self) -> bool:
        """Whether any picture is asked for."""
        return self.pictures_every is not None or self.validation_pictures_every is not None
