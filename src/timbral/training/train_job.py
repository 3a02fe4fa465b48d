"""One training: what a process needs to know to do it, and what it ended with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from timbral.config.schema import TrainConfig
from timbral.training.fraction_choice import FractionChoice
from timbral.training.train_options import TrainOptions

__all__ = ["TrainJob", "TrainSummary"]


@dataclass(frozen=True)
class TrainJob:
    """All that a process needs to know to train."""

    config: TrainConfig
    data: Path
    """a folder that `timbral prepare` made, or precomputed mels"""
    output: Path
    """the run folder"""
    options: TrainOptions = field(default_factory=TrainOptions)
    comet_key: str = field(default="", repr=False)
    """a secret: it is handed to Comet and written nowhere"""


@dataclass(frozen=True)
class TrainSummary:
    """What a training ended with."""

    checkpoint: Path
    """of the lowest validation EER; without validation the last one; with `keep_old` the weights
    that were chosen"""
    step: int
    seconds: float
    """spent training, resumed time included, validation not"""
    validation_eer: float | None
    """of the best checkpoint, over speakers that training never saw"""
    resumed_from: int
    """the step that training resumed from; 0 when it began"""
    previous_run: Path | None
    """what an earlier run in the output folder was renamed to"""
    num_too_short: int
    """utterances left out because the encoder needs longer ones"""
    num_skipped_steps: int
    """steps whose loss or gradient was not finite"""
    bottleneck: str
    """data, compute or communication: whichever took most of the time"""
    unreadable_augmentation: list[str]
    """recordings of noise, music and RIRs that were passed over, with the reason"""
    fraction_choice: FractionChoice | None = None
    """with `keep_old`, how much of the trained weights was kept, and why"""
