"""Options of a run that are not in its config, declared once for Python, command line and files."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

from timbral.errors import ConfigError

__all__ = ["TrainOptions"]


@dataclass(frozen=True)
class TrainOptions:
    """Training and validation speakers, device, starting weights, trackers."""

    exclude_speakers: Path | None = None
    """speakers to leave out altogether: a file of ids, one per line"""
    validation_speakers: str = "auto"
    """speakers held out for validation: a file of ids, or a number; auto is a tenth of all, at most
    20"""
    validation_data: Path | None = None
    """prepared data for validation, instead of speakers held out from the training data"""
    device: str | None = None
    """auto (or best), cpu, cuda (or gpu) or cuda:N; default: auto, the GPU if there is one"""
    workers: int = 1
    """processes on this machine that split each batch; the result is the same"""
    init: str | None = None
    """an encoder (name, run or checkpoint folder) to initialize the weights from"""
    keep_classifier: bool = False
    """also initialize the loss from `init`: w and b, or class weights, for the same speakers"""
    keep_old: tuple[Path, ...] = ()
    """prepared data of other voices, which must not get worse than with `init`: validation monitors
    them, and at the end the trained weights are averaged with those of `init` as far as needed"""
    teacher: str | None = None
    """the teacher of a distillation loss: an encoder (name, run, checkpoint folder, exported
    file)"""
    checkpoint_path: Path | None = None
    """a checkpoint to resume from, with its step and optimizer, whatever is in the run folder; data
    may differ"""
    force_restart: bool = False
    """rename an existing run in the output folder (to OUTPUT.1) and train from the first step"""
    trackers: tuple[str, ...] = ()
    """any of comet, mlflow, tensorboard, visualdl, wandb; metrics.jsonl is always written"""
    project: str = "timbral"
    """the project name in the trackers"""

    def __post_init__(self) -> None:
        if self.checkpoint_path is not None and (self.force_restart or self.init is not None):
            raise ConfigError("`checkpoint_path` cannot be combined with `force_restart` or `init`")
        if self.keep_classifier and self.init is None:
            raise ConfigError("`keep_classifier` needs `init`, whose class weights it keeps")
        if self.keep_old and self.init is None:
            raise ConfigError("`keep_old` needs `init`, the encoder whose accuracy it keeps")
        if self.keep_old and self.validation_speakers == "0":
            raise ConfigError(
                "`keep_old` needs validation speakers, but `validation_speakers` is 0; hold out "
                "5 or more"
            )
        if self.validation_data is not None and self.validation_speakers != "auto":
            raise ConfigError("`validation_speakers` and `validation_data` cannot be combined")

    def with_defaults(self, defaults: TrainOptions) -> TrainOptions:
        """These options, where those with their default value are replaced by `defaults`."""
        chosen = {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        }
        return replace(defaults, **chosen)
