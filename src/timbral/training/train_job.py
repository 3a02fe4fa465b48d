"""A training job, as its processes get it, and its summary."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from timbral.config.schema import TrainConfig
from timbral.training.share_choice import ShareChoice
from timbral.training.train_options import TrainOptions

__all__ = ["TrainJob", "TrainSummary"]


@dataclass(frozen=True)
class TrainJob:
    """Everything that a process needs to train."""

    config: TrainConfig
    data: Path
    """a folder from `timbral prepare`, or precomputed mels"""
    output: Path
    """the run folder"""
    options: TrainOptions = field(default_factory=TrainOptions)
    comet_key: str = field(default="", repr=False)
    """a secret, which is passed to Comet and never written"""


@dataclass(frozen=True)
class TrainSummary:
    """The result of a training."""

    checkpoint: Path
    """the one with the lowest validation EER; without validation the last one; with `keep_old` the
    chosen weights"""
    step: int
    seconds: float
    """seconds of training, including earlier sessions but not validation"""
    validation_eer: float | None
    """EER of the best checkpoint on speakers not in training"""
    resumed_from: int
    """the step that training resumed from; 0 for a new run"""
    previous_run: Path | None
    """new name of an earlier run in the output folder"""
    num_too_short: int
    """utterances skipped because they are too short for the encoder"""
    num_skipped_steps: int
    """steps whose loss or gradient was not finite"""
    bottleneck: str
    """data, compute or communication: whichever took most of the time"""
    unreadable_augmentation: list[str]
    """recordings of noise, music and RIRs that were skipped, with the reason"""
    share_choice: ShareChoice | None = None
    """with `keep_old`, how much of the trained weights was kept, and why"""
