"""TrainConfig: all settings of a training run, in sections."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from timbral.data.augment.augment_config import AugmentConfig
from timbral.data.batches.data_config import DataConfig
from timbral.encoders.base import EncoderConfig
from timbral.encoders.lstm import LstmConfig
from timbral.errors import check_choice, check_ranges
from timbral.losses.base import LossConfig
from timbral.losses.ge2e import GE2EConfig

__all__ = [
    "PLATEAU_METRICS",
    "OptimizerConfig",
    "ScheduleConfig",
    "TrackingConfig",
    "TrainConfig",
    "TrainerConfig",
]

PLATEAU_METRICS = ("loss", "batch_eer", "val_loss", "val_eer")


@dataclass(frozen=True)
class OptimizerConfig:
    """How Adam updates the parameters, and which of them."""

    learning_rate: float = 1e-4
    """the highest; `schedule` sets how it rises and falls"""
    weight_decay: float = 0.0
    """Adam's L2 penalty: this times a weight is added to its gradient"""
    max_grad_norm: float = 3.0
    """longer gradients are scaled down to this norm"""
    head_lr_scale: float = 1.0
    """the learning rate of the encoder's layer group `head` is multiplied by this"""
    loss_lr_scale: float = 1.0
    """the same for the loss's own parameters: w and b, class weights"""
    layer_decay: float = 1.0
    """the learning rate of each layer before the head is that of the next one times this"""
    freeze: tuple[str, ...] = ()
    """layer groups of the encoder that are not trained, such as body or head"""
    frozen_batch_norm: bool = False
    """batch norm uses, and does not update, the encoder's running statistics"""
    ema: float = 0.0
    """decay of the moving average of the weights, such as 0.999, which is then validated and saved
    as the encoder; 0: no average"""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            "optimizer",
            learning_rate=(1e-12, 1e30),
            weight_decay=(0.0, 1e9),
            max_grad_norm=(1e-9, 1e30),
            head_lr_scale=(0.0, 1e6),
            loss_lr_scale=(0.0, 1e6),
            layer_decay=(1e-6, 1.0),
            ema=(0.0, 1.0 - 1e-9),
        )


@dataclass(frozen=True)
class ScheduleConfig:
    """How long a run takes, and how its learning rate changes."""

    steps: int = 100_000
    """optimizer steps; after the last one, the run validates and saves"""
    max_minutes: float | None = None
    """stop, with a checkpoint, after this much training; validation is not counted"""
    warmup_steps: int = 0
    """the learning rate rises to its value over this many steps"""
    decay: str = "constant"
    """constant | cosine (to zero at the last step) | plateau"""
    plateau_metric: str = "val_eer"
    """which value has to fall: loss | batch_eer (of training batches) | val_loss | val_eer"""
    plateau_every: int = 100
    """steps per round, over which loss and batch_eer are averaged; for val_*, a round is a
    validation"""
    plateau_patience: int = 3
    """number of rounds in a row that may pass without a fall"""
    plateau_factor: float = 0.6
    """after one more round without a fall, the learning rate is multiplied by this"""

    def __post_init__(self) -> None:
        check_choice("schedule.decay", self.decay, ("constant", "cosine", "plateau"))
        check_choice("schedule.plateau_metric", self.plateau_metric, PLATEAU_METRICS)
        check_ranges(
            self,
            "schedule",
            steps=(1, math.inf),
            max_minutes=(1e-9, 1e9),
            warmup_steps=(0, math.inf),
            plateau_every=(1, math.inf),
            plateau_patience=(0, math.inf),
            plateau_factor=(1e-6, 1.0),
        )


@dataclass(frozen=True)
class TrainerConfig:
    """How a step is computed, and when a run validates and saves."""

    seed: int = 0
    """determines the initial weights, batches, augmentation and dropout"""
    precision: str = "fp32"
    """fp32 | tf32 (CUDA) | bf16 | auto (bf16 if the hardware computes in it, else fp32)"""
    compile: bool = False
    """torch.compile the encoder: faster steps after a slow first one; needs a C++ compiler"""
    micro_batch_size: int | None = None
    """utterances that pass through the encoder at once; the gradient is still that of the whole
    batch (GradCache)"""
    gradient_accumulation_steps: int = 1
    """batches whose gradients are averaged for one step; a loss compares within each of them"""
    log_every: int = 10
    """steps between two lines of the log"""
    validate_every: int = 1000
    """steps between two validations; the best checkpoint is the one with the lowest EER"""
    save_every: int = 1000
    """steps between two checkpoints"""
    keep_last_n: int = 3
    """how many checkpoints are kept; older ones are deleted, except the best one"""

    def __post_init__(self) -> None:
        check_choice("trainer.precision", self.precision, ("fp32", "tf32", "bf16", "auto"))
        counts = ("log_every", "validate_every", "save_every", "keep_last_n")
        check_ranges(self, "trainer", **dict.fromkeys(counts, (1, math.inf)))
        check_ranges(
            self,
            "trainer",
            seed=(0, 2**63),
            micro_batch_size=(1, math.inf),
            gradient_accumulation_steps=(1, math.inf),
        )


@dataclass(frozen=True)
class TrackingConfig:
    """What trackers get besides scalars. It does not affect the result, so it may change when a
    run is resumed.
    """

    plot_every: int | None = None
    """steps between two plots of a training batch"""
    validation_plot_every: int | None = None
    """steps between two plots of the validation utterances, drawn when the run validates"""
    audio_every: int | None = None
    """steps between two batches whose audio is sent, so that it can be listened to"""
    label_points: bool = False
    """write the recording's name next to each point"""

    def __post_init__(self) -> None:
        every = ("plot_every", "validation_plot_every", "audio_every")
        check_ranges(self, "tracking", **dict.fromkeys(every, (1, math.inf)))

    @property
    def draws(self) -> bool:
        """Whether any plot is asked for."""
        return self.plot_every is not None or self.validation_plot_every is not None


@dataclass(frozen=True)
class TrainConfig:
    """All settings of a training run. `encoder` and `loss` are configs of classes in `ENCODERS`
    and `LOSSES`.
    """

    encoder: EncoderConfig = field(default_factory=LstmConfig)
    loss: LossConfig = field(default_factory=GE2EConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
