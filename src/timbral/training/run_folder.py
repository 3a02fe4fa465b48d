"""The folder of a run: its identity, its config and its checkpoints.

RUN/
  run.json, config.yaml     its identity, and its resolved config
  README.md                 its model card
  checkpoints/              step-N, last, best (see `timbral.checkpoints.checkpoint`)
  metrics.jsonl, worker_N.log, plots/, …     what `Run` records
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.checkpoint import Checkpoint, point_to, pointed_to, save_checkpoint
from timbral.checkpoints.run_card import write_run_card
from timbral.checkpoints.weights import load_optimizer, load_strictly, read_tensors, with_prefix
from timbral.config.schema import TrainConfig
from timbral.encoders.base import SpeakerEncoder
from timbral.errors import CheckpointError, TrainingError
from timbral.io.files import atomic_write, rename_aside
from timbral.io.locks import folder_lock
from timbral.training.identity import DataIdentity, RunIdentity
from timbral.training.optim import Plateau
from timbral.training.state import TrainState

__all__ = ["RunFolder", "load_state", "rename_run"]

STEP_FOLDER = re.compile(r"step-(\d+)")


def rename_run(folder: Path) -> Path | None:
    """Rename a run folder to the first free ``FOLDER.1``, ``FOLDER.2``…; None if there is none.

    Raises TrainingError for a folder without a run, DataError if a process trains there.
    """
    if not folder.exists():
        return None
    if not (folder / "run.json").exists():
        raise TrainingError(
            f"{folder}: does not contain a run, so it is not renamed; choose another output"
        )
    with folder_lock(folder):
        return rename_aside(folder)


class RunFolder:
    """The files of a run that are needed to resume it."""

    def __init__(
        self,
        folder: Path,
        config: TrainConfig,
        preprocessing: Preprocessing,
        training_data: Mapping[str, Any],
    ) -> None:
        self.folder = folder
        self.config = config
        self.preprocessing = preprocessing
        self.training_data = training_data
        self.checkpoints = folder / "checkpoints"

    def claim(self, data: DataIdentity, *, replace: bool = False) -> None:
        """Write config and identity, or check that a run in the folder has the same.

        Raises TrainingError for a run with other settings or data, unless `replace`.
        """
        path = self.folder / "run.json"
        identity = RunIdentity.of(self.config, data)
        if path.exists() and not replace:
            has_checkpoint = pointed_to(self.checkpoints, "last") is not None
            RunIdentity.read(path).check_same(identity, self.folder, has_checkpoint=has_checkpoint)
        identity.write(path)
        with atomic_write(self.folder / "config.yaml") as temporary:
            temporary.write_text(yaml.safe_dump(identity.config, sort_keys=False), "utf-8")

    def load_last(self, state: TrainState) -> list[str]:
        """Load the last readable checkpoint, if there is one; returns warnings.

        Raises CheckpointError if there are checkpoints but none can be read.
        """
        warnings = []
        for half_written in self.checkpoints.glob(".step-*.writing"):
            warnings.append(
                f"{half_written.name} was left incomplete by a killed run and is ignored"
            )
            shutil.rmtree(half_written, ignore_errors=True)
        last = pointed_to(self.checkpoints, "last")
        candidates = [last] if last else []
        candidates += [folder for folder in reversed(self._folders()) if folder != last]
        for folder in candidates:
            try:
                load_state(Checkpoint.read(folder), state)
            except CheckpointError as error:
                warnings.append(f"checkpoint {folder.name} is ignored: {error}")
            else:
                return warnings
        if candidates:
            raise CheckpointError(
                f"{self.checkpoints}: none of {len(candidates)} checkpoints can be read; the "
                f"newest: {warnings[-len(candidates)]}; `force_restart` trains from the first step"
            )
        return warnings

    def supersede(self, step: int) -> None:
        """Rename checkpoints of later steps to ``superseded-step-N``."""
        for folder in self._folders():
            if _step(folder) > step:
                renamed = folder.with_name(f"superseded-{folder.name}")
                shutil.rmtree(renamed, ignore_errors=True)
                folder.rename(renamed)

    def forget_missing_best(self, state: TrainState) -> None:
        """Forget a best score whose checkpoint is missing; the next validation sets it."""
        if pointed_to(self.checkpoints, "best") is None:
            state.best_score = None

    def save(self, state: TrainState, *, best: bool = False) -> Path:
        """Write the checkpoint of this step, point `last` (and `best`) to it, delete old ones.

        The run's README.md then describes the best one.
        """
        folder = self.checkpoints / f"step-{state.step}"
        (self.checkpoints / "chosen").unlink(missing_ok=True)  # it was chosen after fewer steps
        checkpoint = Checkpoint(
            folder,
            state.step,
            self.config,
            self.preprocessing,
            state.numbers(),
            training_data=self.training_data,
        )
        save_checkpoint(checkpoint, state.modules(), state.optimizer)
        if best:  # first, so that after a kill in between these steps are repeated
            point_to(folder, "best")
        point_to(folder, "last")
        self._delete_old()
        write_run_card(self.folder, state.encoder)
        return folder

    def save_chosen(
        self, network: SpeakerEncoder, best: Checkpoint, figures: Mapping[str, Any]
    ) -> Path:
        """Write the chosen weights, which become the run's result.

        Args:
            network: with the chosen weights
            best: the checkpoint from which they were made
            figures: `val_threshold` and `best_score` of the chosen weights, and `keep_old`: the
                figures of the choice, for the card
        """
        folder = self.checkpoints / "averaged"
        numbers = {key: figures[key] for key in ("val_threshold", "best_score")}
        data = {**best.training_data, "keep_old": figures["keep_old"]}
        checkpoint = Checkpoint(
            folder, best.step, self.config, self.preprocessing, numbers, training_data=data
        )
        save_checkpoint(checkpoint, {"encoder": network})
        point_to(folder, "chosen")
        write_run_card(self.folder, network)
        return folder

    def best(self) -> Path | None:
        """The best checkpoint, else the last one."""
        return pointed_to(self.checkpoints, "best") or pointed_to(self.checkpoints, "last")

    def chosen(self) -> Path | None:
        """The weights chosen with `keep_old`, else the best checkpoint."""
        return pointed_to(self.checkpoints, "chosen") or self.best()

    def _folders(self) -> list[Path]:
        """Checkpoints, the oldest first, without folders of other names, such as copies."""
        folders = self.checkpoints.glob("step-*")
        return sorted((path for path in folders if STEP_FOLDER.fullmatch(path.name)), key=_step)

    def _delete_old(self) -> None:
        kept = {pointed_to(self.checkpoints, "best"), pointed_to(self.checkpoints, "last")}
        for folder in self._folders()[: -self.config.trainer.keep_last_n]:
            if folder not in kept:
                shutil.rmtree(folder)


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def load_state(checkpoint: Checkpoint, state: TrainState, *, same_data: bool = True) -> None:
    """Load a checkpoint's weights, optimizer, step and numbers into `state`.

    With other data (`same_data` false) class weights of a loss stay new, and the best score and the
    plateau are reset, because they are not comparable.
    """
    tensors = read_tensors(checkpoint.weights_path)
    replaced = {"loss"} if state.loss_fn.has_class_weights and not same_data else set()
    for name, module in state.modules().items():
        if name in replaced:
            continue
        weights = with_prefix(tensors, name)
        if name == "average" and not weights:  # the checkpoint's run kept none
            weights = with_prefix(tensors, "encoder")
        load_strictly(module, weights, checkpoint.folder)
    checkpoint.check_weights()
    load_optimizer(checkpoint, state.optimizer, state.modules(), except_modules=replaced)
    state.load_numbers(checkpoint.step, checkpoint.training_state)
    if not same_data:
        state.best_score, state.val_threshold, state.plateau = None, None, Plateau()
