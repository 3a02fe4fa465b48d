"""What a run is made of besides its config: one declaration for Python, command line and files."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

from timbral.errors import ConfigError

__all__ = ["TrainOptions"]


@dataclass(frozen=True)
class TrainOptions:
    """Who is trained and validated on, where it runs, what it starts from, who is told."""

    exclude_speakers: Path | None = None
    """a file of speaker ids, one a line, that are never read"""
    validation_speakers: str = "auto"
    """speakers kept from training to validate on: a file of ids, or how many; auto is a tenth of
    them, 20 at most"""
    validation_data: Path | None = None
    """other prepared data to validate on, instead of speakers of the training data"""
    device: str | None = None
    """auto (or best), cpu, cuda (or gpu) or cuda:N; default auto, the GPU where there is one"""
    workers: int = 1
    """processes of this machine that share each batch, to the same result"""
    init: str | None = None
    """an encoder (name, run or checkpoint folder) whose weights training begins with"""
    keep_classifier: bool = False
    """begin with the loss of `init` too: w and b, or class weights, of the same speakers"""
    keep_old: tuple[Path, ...] = ()
    """prepared data of other voices, which must not get worse than with `init`: validation watches
    them, and at the end decides how much of the trained weights is kept"""
    teacher: str | None = None
    """an encoder (name, run, checkpoint folder or exported file) whose vectors a loss that needs a
    teacher compares with"""
    checkpoint_path: Path | None = None
    """a checkpoint to resume from, step and optimizer included, maybe with other data, whatever the
    run folder holds"""
    force_restart: bool = False
    """rename a run that is in the output folder (to OUTPUT.1) and train from the first step"""
    trackers: tuple[str, ...] = ()
    """any of comet, mlflow, tensorboard, visualdl, wandb; metrics.jsonl is always written"""
    project: str = "timbral"
    """the run's project in its trackers"""

    def __post_init__(self) -> None:
        if self.checkpoint_path is not None and (self.force_restart or self.init is not None):
            raise ConfigError("`checkpoint_path` goes with neither `force_restart` nor `init`")
        if self.keep_classifier and self.init is None:
            raise ConfigError("`keep_classifier` needs `init`: whose class weights are kept")
        if self.keep_old and self.init is None:
            raise ConfigError("`keep_old` needs `init`: the encoder that training may not worsen")
        if self.keep_old and self.validation_speakers == "0":
            raise ConfigError(
                "`keep_old` chooses on validation speakers, and `validation_speakers` 0 keeps none "
                "from training: keep 5 or more"
            )
        if self.validation_data is not None and self.validation_speakers != "auto":
            raise ConfigError("`validation_speakers` and `validation_data` exclude each other")

    def with_defaults(self, defaults: TrainOptions) -> TrainOptions:
        """These options; those that were left as they are here become what `defaults` says."""
        said = {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        }
        return replace(defaults, **said)
