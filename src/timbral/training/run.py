"""The folder of a run: its config, metrics and checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.checkpoint import Checkpoint, point_to, pointed_to, save_checkpoint
from timbral.checkpoints.weights import load_optimizer, load_strictly, read_tensors, with_prefix
from timbral.config.schema import TrainConfig
from timbral.config.yaml import to_mapping
from timbral.errors import CheckpointError, TrainingError
from timbral.io.files import atomic_write, folder_lock, read_json, rename_aside, write_json
from timbral.training.optim import Plateau
from timbral.training.state import TrainState

__all__ = ["RunFolder", "load_state", "move_aside"]

MAY_CHANGE = (
    "schedule.max_minutes",
    "trainer.log_every",
    "trainer.validate_every",
    "trainer.save_every",
    "trainer.keep_last_n",
)


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

    def claim(self, data: dict[str, Any], *, replace: bool = False) -> None:
        """Write config and provenance, or check that the run that is here has the same.

        Raises TrainingError when a run of other settings or data is here, unless `replace`.
        """
        path = self.folder / "run.json"
        mine = {"config": to_mapping(self.config), "data": data}
        if path.exists() and not replace:
            difference = _differences(_fixed(read_json(path)), _fixed(mine))
            if difference:
                raise TrainingError(
                    f"{self.folder}: holds a run with other settings: {'; '.join(difference)}; "
                    "choose another --output, or --force-restart to move that run aside"
                )
        write_json(path, mine)
        with atomic_write(self.folder / "config.yaml") as temporary:
            temporary.write_text(yaml.safe_dump(mine["config"], sort_keys=False), "utf-8")

    def resume(self, state: TrainState) -> list[str]:
        """Load the last readable checkpoint, if there is one; returns what there is to warn of.

        Raises CheckpointError when there are checkpoints and none can be read.
        """
        warnings = []
        for half_written in self.checkpoints.glob(".step-*.writing"):
            warnings.append(f"{half_written.name} was left half written by a killed run: ignored")
            shutil.rmtree(half_written, ignore_errors=True)
        last = pointed_to(self.checkpoints, "last")
        found = [last] if last else []
        found += [folder for folder in reversed(self._folders()) if folder != last]
        for folder in found:
            try:
                load_state(Checkpoint.read(folder), state)
            except CheckpointError as error:
                warnings.append(f"checkpoint {folder.name} is ignored: {error}")
            else:
                return warnings
        if found:
            raise CheckpointError(
                f"{self.checkpoints}: none of {len(found)} checkpoints can be read; the newest: "
                f"{warnings[-len(found)]}; --force-restart begins anew"
            )
        return warnings

    def supersede(self, step: int) -> None:
        """Rename checkpoints of later steps to ``superseded-step-N``."""
        for folder in self._folders():
            if _step(folder) > step:
                aside = folder.with_name(f"superseded-{folder.name}")
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)

    def forget_missing_best(self, state: TrainState) -> None:
        """Without its checkpoint a best score means nothing: the next validation sets it."""
        if pointed_to(self.checkpoints, "best") is None:
            state.best_score = None

    def save(self, state: TrainState, *, best: bool = False) -> Path:
        """Write the checkpoint of this step, point `last` (and `best`) to it, drop old ones."""
        folder = self.checkpoints / f"step-{state.step}"
        checkpoint = Checkpoint(
            folder, state.step, self.config, self.preprocessing, state.progress()
        )
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
        return sorted(self.checkpoints.glob("step-*"), key=_step)

    def _drop_old(self) -> None:
        folders = self._folders()
        kept = {pointed_to(self.checkpoints, "best"), pointed_to(self.checkpoints, "last")}
        for folder in folders[: -self.config.trainer.keep_last_n]:
            if folder not in kept:
                shutil.rmtree(folder)


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def load_state(checkpoint: Checkpoint, state: TrainState, *, same_data: bool = True) -> None:
    """Give `state` a checkpoint's weights, optimizer, step and numbers.

    With other data (`same_data` false) a loss that knows its speakers begins anew, and so do
    the best score and the plateau, which nothing can be compared with.
    """
    folder = checkpoint.folder
    tensors = read_tensors(folder / "model.safetensors")
    anew = {"loss"} if state.loss_fn.has_class_weights and not same_data else set()
    for name, module in state.modules().items():
        if name in anew:
            continue
        own = with_prefix(tensors, name)
        if name == "average" and not own:  # the checkpoint's run kept none
            own = with_prefix(tensors, "encoder")
        load_strictly(module, own, folder)
    load_optimizer(checkpoint, state.optimizer, state.modules(), except_modules=anew)
    state.take_progress(checkpoint.step, checkpoint.training_state)
    if not same_data:
        state.best_score, state.val_threshold, state.plateau = None, None, Plateau()


def _fixed(run: dict[str, Any]) -> dict[str, Any]:
    """What must stay the same for a run to go on exactly."""
    flat = {
        f"{section}.{key}": value
        for section, values in {**run["config"], "data source": run["data"]}.items()
        for key, value in values.items()
        if section != "tracking" and f"{section}.{key}" not in MAY_CHANGE
    }
    if flat.get("schedule.decay") != "cosine":
        flat.pop("schedule.steps", None)  # a run at a constant rate or a plateau's may be prolonged
    return flat


def _differences(there: dict[str, Any], here: dict[str, Any]) -> Sequence[str]:
    return [
        f"{key} is {there.get(key)!r} there and {here.get(key)!r} here"
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key)
    ]
