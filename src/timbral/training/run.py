"""The folder of a run: its config, metrics and checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from timbral.audio import Preprocessing
from timbral.checkpoint import (
    Checkpoint,
    load_optimizer,
    load_strictly,
    point_to,
    pointed_to,
    read_tensors,
    save_checkpoint,
    with_prefix,
)
from timbral.config import TrainConfig, to_mapping
from timbral.encoders import SpeakerEncoder
from timbral.errors import TrainingError
from timbral.files import folder_lock, read_json, rename_aside, write_json, written_whole
from timbral.losses import GE2ELoss

__all__ = ["RunFolder", "TrainState", "move_aside"]

MAY_CHANGE = (
    "max_minutes",
    "log_every",
    "validate_every",
    "save_every",
    "keep_checkpoints",
)


@dataclass
class TrainState:
    """Everything that a training step changes."""

    encoder: SpeakerEncoder
    loss_fn: GE2ELoss
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    """time spent training, resumed time included, validation not"""
    best_score: float | None = None
    val_threshold: float | None = None
    """cosine at which the last validation's misses and false alarms were equally frequent"""

    PROGRESS = ("seconds", "best_score", "val_threshold")

    def note_validation(self, eer: float, threshold: float) -> bool:
        """Keep a validation's outcome; True when its EER is the lowest so far."""
        self.val_threshold = threshold
        better = self.best_score is None or eer < self.best_score
        self.best_score = eer if better else self.best_score
        return better

    def modules(self) -> dict[str, torch.nn.Module]:
        return {"encoder": self.encoder, "loss": self.loss_fn}


def move_aside(folder: Path) -> Path | None:
    """Rename a run folder to the first free ``FOLDER.1``, ``FOLDER.2``…; None if there is none.

    Raises TrainingError for a folder that holds no run, DataError when a process trains there.
    """
    if not folder.exists():
        return None
    if not (folder / "run.json").exists():
        raise TrainingError(f"{folder}: holds no run, so it is not moved aside; choose another")
    with folder_lock(folder):
        return rename_aside(folder)


class RunFolder:
    """RUN/{config.yaml, run.json, metrics.jsonl, checkpoints/}."""

    def __init__(self, folder: Path, config: TrainConfig, preprocessing: Preprocessing) -> None:
        self.folder = folder
        self.config = config
        self.preprocessing = preprocessing
        self.checkpoints = folder / "checkpoints"

    def claim(self, data: dict[str, Any]) -> None:
        """Write config and provenance, or check that the run that is here has the same.

        Raises TrainingError when a run of other settings or data is here.
        """
        path = self.folder / "run.json"
        mine = {"config": to_mapping(self.config), "data": data}
        if path.exists():
            difference = _differences(_fixed(read_json(path)), _fixed(mine))
            if difference:
                raise TrainingError(
                    f"{self.folder}: holds a run with other settings: {'; '.join(difference)}; "
                    "choose another --output, or --force-restart to move that run aside"
                )
        write_json(path, mine)
        with written_whole(self.folder / "config.yaml") as temporary:
            temporary.write_text(yaml.safe_dump(mine["config"], sort_keys=False), "utf-8")

    def resume(self, state: TrainState) -> None:
        """Load the last checkpoint, if there is one, into `state`."""
        for half_written in self.checkpoints.glob(".step-*.writing"):
            shutil.rmtree(half_written, ignore_errors=True)
        folder = pointed_to(self.checkpoints, "last") or self._newest()
        if folder is None:
            return
        checkpoint = Checkpoint.read(folder)
        tensors = read_tensors(folder / "model.safetensors")
        for name, module in state.modules().items():
            load_strictly(module, with_prefix(tensors, name), folder)
        load_optimizer(checkpoint, state.optimizer)
        state.step = checkpoint.step
        for name in state.PROGRESS:
            setattr(state, name, checkpoint.progress[name])

    def save(self, state: TrainState, *, best: bool = False) -> Path:
        """Write the checkpoint of this step, point `last` (and `best`) to it, drop old ones."""
        folder = self.checkpoints / f"step-{state.step}"
        progress = {name: getattr(state, name) for name in state.PROGRESS}
        checkpoint = Checkpoint(folder, state.step, self.config, self.preprocessing, progress)
        save_checkpoint(checkpoint, state.modules(), state.optimizer)
        if best:  # first: a kill in between then repeats these steps, to the same weights
            point_to(folder, "best")
        point_to(folder, "last")
        self._drop_old()
        return folder

    def best(self) -> Path | None:
        """The best checkpoint, else the last one."""
        return pointed_to(self.checkpoints, "best") or pointed_to(self.checkpoints, "last")

    def _folders(self) -> list[Path]:
        """Checkpoints, the oldest first."""
        return sorted(
            self.checkpoints.glob("step-*"), key=lambda item: int(item.name.removeprefix("step-"))
        )

    def _newest(self) -> Path | None:
        complete = [folder for folder in self._folders() if (folder / "checkpoint.json").exists()]
        return complete[-1] if complete else None

    def _drop_old(self) -> None:
        folders = self._folders()
        kept = {pointed_to(self.checkpoints, "best"), pointed_to(self.checkpoints, "last")}
        for folder in folders[: -self.config.schedule.keep_checkpoints]:
            if folder not in kept:
                shutil.rmtree(folder)


def _fixed(run: dict[str, Any]) -> dict[str, Any]:
    """What must stay the same for a run to go on exactly."""
    flat = {
        f"{section}.{key}": value
        for section, values in {**run["config"], "data source": run["data"]}.items()
        for key, value in values.items()
        if not (section == "tracking" or (section == "schedule" and key in MAY_CHANGE))
    }
    if flat.get("schedule.decay") == "constant":
        flat.pop("schedule.steps", None)  # a run at a constant rate may be prolonged
    return flat


def _differences(there: dict[str, Any], here: dict[str, Any]) -> Sequence[str]:
    return [
        f"{key} is {there.get(key)!r} there and {here.get(key)!r} here"
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key)
    ]
