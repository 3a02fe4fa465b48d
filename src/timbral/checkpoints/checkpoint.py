"""The format of a checkpoint folder: safetensors and JSON, never a pickle.

RUN/checkpoints/
  step-1000/model.safetensors        encoder.*, loss.* and, if kept, average.* tensors
  step-1000/optimizer.safetensors    optimizer state by parameter
  step-1000/checkpoint.json          step, config, preprocessing, provenance
  averaged/                          with `keep_old`: the average that was chosen
  last, best, chosen                 files that name one of these folders
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.checkpoint_fields import FORMAT, CheckpointFields
from timbral.checkpoints.known_files import METADATA_FILE, OPTIMIZER_FILE, WEIGHTS_FILE
from timbral.checkpoints.packed_weights import pack
from timbral.config.schema import TrainConfig
from timbral.config.yaml import to_mapping
from timbral.errors import CheckpointError, DataError
from timbral.io.files import (
    atomic_folder,
    atomic_write,
    file_sha256,
    other_content,
    read_json,
    usual_mode,
    visible_names,
    write_json,
)
from timbral.io.outputs import TRAINING_LIST
from timbral.version import __version__

__all__ = [
    "Checkpoint",
    "find_checkpoint",
    "is_checkpoint",
    "point_to",
    "pointed_to",
    "refuse_other_origin",
    "save_checkpoint",
    "uninitialized_message",
]

TRAINED = ("best", "last")
POINTERS = ("chosen", *TRAINED)
"""files that name a checkpoint of a run; the first existing one is used"""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder and the content of its checkpoint.json."""

    folder: Path
    step: int
    config: TrainConfig
    preprocessing: Preprocessing
    training_state: dict[str, Any] = field(default_factory=dict)
    """further numbers that a resumed run needs, besides weights and optimizer state"""
    name: str = ""
    """name of the published weights; empty for checkpoints of a run"""
    license: str = ""
    """license of the published weights"""
    uninitialized_prefixes: tuple[str, ...] = ()
    """prefixes of names of encoder tensors that are random until they are trained"""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """for converted weights: `files` with the SHA-256 of each; for published ones also `source` and
    its `version`; for an average: `average`, the SHA-256 of each encoder's weights, and its
    weight"""
    recorded_sha256: str = ""
    """SHA-256 of the weights file when it was written; empty in checkpoints of older versions"""
    training_data: Mapping[str, Any] = field(default_factory=dict)
    """what it was trained on, from `summarize_data`, or `description` in words; empty: unknown"""

    @classmethod
    def read(cls, folder: Path) -> Checkpoint:
        """Read a checkpoint folder; CheckpointError if it is not one."""
        path = folder / METADATA_FILE
        try:
            content = read_json(path)
        except DataError as error:
            raise CheckpointError(f"{folder} is not a checkpoint: {error}") from None
        fields = CheckpointFields(content, path)
        fields.check_format()
        return cls(
            folder,
            fields.count("step"),
            fields.train_config(),
            fields.preprocessing(),
            dict(fields.required("training_state", dict)),
            fields.optional("name", str, ""),
            fields.optional("license", str, ""),
            fields.words("uninitialized_prefixes"),
            fields.optional("origin", dict, {}),
            fields.optional("weights_sha256", str, ""),
            fields.optional("training_data", dict, {}),
        )

    @property
    def weights_path(self) -> Path:
        """The file of weights."""
        return self.folder / WEIGHTS_FILE

    @property
    def optimizer_path(self) -> Path:
        """The file of the optimizer's state; absent if only weights were saved."""
        return self.folder / OPTIMIZER_FILE

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the weights file, which identifies the encoder in everything made with it."""
        return self.recorded_sha256 or file_sha256(self.weights_path)

    def check_weights(self) -> None:
        """Raise CheckpointError if the weights file has changed since it was written."""
        try:
            digest = file_sha256(self.weights_path)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise CheckpointError(f"{self.weights_path}: cannot be read ({reason})") from None
        if self.recorded_sha256 not in ("", digest):
            raise CheckpointError(
                f"{self.weights_path}: is damaged: its SHA-256 is {digest[:12]}…, but "
                f"{self.recorded_sha256[:12]}… was recorded. Copy, download or convert it again; "
                "if it was changed on purpose, delete weights_sha256 in checkpoint.json"
            )

    @property
    def training_list(self) -> Path | None:
        """The file of utterances that its run trained on; None if unknown."""
        checkpoints = self.folder.absolute().parent
        path = checkpoints.parent / TRAINING_LIST
        return path if checkpoints.name == "checkpoints" and path.exists() else None

    @property
    def validation_threshold(self) -> float | None:
        """Cosine at which misses and false alarms were equally frequent on the validation speakers.

        None when the run did not validate.
        """
        threshold = self.training_state.get("val_threshold")
        return float(threshold) if isinstance(threshold, int | float) else None

    @property
    def validation_eer(self) -> float | None:
        """Lowest EER on the validation speakers, in [0, 1]; None when the run did not validate."""
        score = self.training_state.get("best_score")
        return float(score) if isinstance(score, int | float) else None


def save_checkpoint(
    checkpoint: Checkpoint,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer | None = None,
    *,
    bits: int | None = None,
    replace: bool = True,
) -> None:
    """Write a checkpoint folder, completely or not at all; without an optimizer, weights only.

    Args:
        bits: store weights in this many bits (`packed_weights`), for shipped encoders; None, as in
            training: as they are
        replace: whether a folder with other content is replaced; if not, it is a DataError
    """
    metadata: dict[str, Any] = {
        "format": FORMAT,
        "step": checkpoint.step,
        "config": to_mapping(checkpoint.config),
        "preprocessing": checkpoint.preprocessing.as_dict(),
        "training_state": checkpoint.training_state,
        "name": checkpoint.name,
        "license": checkpoint.license,
        "uninitialized_prefixes": checkpoint.uninitialized_prefixes,
        "origin": checkpoint.origin,
        "training_data": checkpoint.training_data,
        "made_with": {
            "timbral": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    weights = {
        f"{prefix}.{name}": tensor.detach().cpu().contiguous()
        for prefix, module in modules.items()
        for name, tensor in module.state_dict().items()
    }
    with atomic_folder(checkpoint.folder, replace=replace) as temporary:
        _save_tensors(weights if bits is None else pack(weights, bits), temporary / WEIGHTS_FILE)
        if optimizer is not None:
            _save_tensors(_optimizer_tensors(optimizer, modules), temporary / OPTIMIZER_FILE)
        metadata["weights_sha256"] = file_sha256(temporary / WEIGHTS_FILE)
        write_json(temporary / METADATA_FILE, metadata)
        for file in temporary.iterdir():
            with open(file, "rb") as opened:
                os.fsync(opened.fileno())


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        with usual_mode(path):
            safetensors.torch.save_file(tensors, path)
    except safetensors.SafetensorError as error:  # for example, the disk is full
        raise CheckpointError(f"{path.parent}: {path.name} cannot be written ({error})") from None


def _optimizer_tensors(
    optimizer: torch.optim.Optimizer, modules: Mapping[str, nn.Module]
) -> dict[str, Tensor]:
    """The optimizer's state by parameter, named ``MODULE.PARAMETER:KEY``."""
    return {
        f"{prefix}.{name}:{key}": value.detach().cpu().contiguous()
        for prefix, module in modules.items()
        for name, parameter in module.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def refuse_other_origin(folder: Path, origin: Mapping[str, Any]) -> None:
    """Raise DataError if a folder holds anything but a checkpoint of this origin.

    Hidden files do not count. So a job that must not replace anything ends before it begins.
    """
    names = visible_names(folder)
    if not names:
        return
    is_plain = set(names) == {METADATA_FILE, WEIGHTS_FILE}
    if not is_plain or Checkpoint.read(folder).origin != origin:
        raise other_content(folder)


def is_checkpoint(path: Path) -> bool:
    """Whether a path is a run folder with a checkpoint, or a checkpoint folder."""
    return _checkpoint_folder(path) is not None


def find_checkpoint(path: Path, *, trained: bool = False) -> Checkpoint:
    """The checkpoint of a run folder, or in a checkpoint folder.

    A run's is the chosen one, else the best, else the last. With `trained` it is the best or last,
    which training wrote with its optimizer. Raises CheckpointError if there is none, or, with
    `trained`, for an encoder without the state of its training.
    """
    folder = _checkpoint_folder(path, TRAINED if trained else POINTERS)
    if folder is None:
        what = "holds no checkpoint" if path.exists() else "no such folder"
        raise CheckpointError(
            f"{path}: {what}; a run folder (made by `timbral train`) or a checkpoint folder "
            "(RUN/checkpoints/step-N) is needed"
        )
    checkpoint = Checkpoint.read(folder)
    if trained and not checkpoint.optimizer_path.exists():
        name = f", {checkpoint.name}," if checkpoint.name else ""
        raise CheckpointError(
            f"{path}: is an encoder{name} without the state of its training ({OPTIMIZER_FILE}), so "
            "there is no training to resume; `init` begins a new one with its weights"
        )
    return checkpoint


def _checkpoint_folder(path: Path, pointers: Sequence[str] = POINTERS) -> Path | None:
    if (path / METADATA_FILE).exists():
        return path
    if path.name == WEIGHTS_FILE and path.with_name(METADATA_FILE).exists():
        return path.parent
    checkpoints = path / "checkpoints"
    pointed = (pointed_to(checkpoints, name) for name in pointers)
    return next((folder for folder in pointed if folder is not None), None)


def point_to(folder: Path, name: str) -> None:
    """Write the pointer file `name` next to a checkpoint folder, with that folder's name."""
    with atomic_write(folder.parent / name) as temporary:
        temporary.write_text(folder.name + "\n", "utf-8")


def pointed_to(checkpoints: Path, name: str) -> Path | None:
    """The folder that a pointer file names; None unless both exist."""
    try:
        folder = checkpoints / (checkpoints / name).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return folder if (folder / METADATA_FILE).exists() else None


def uninitialized_message(checkpoint: Checkpoint) -> str:
    """The warning for users of a checkpoint with `uninitialized_prefixes`."""
    modules = ", ".join(prefix.rstrip(".") for prefix in checkpoint.uninitialized_prefixes)
    return (
        f"{checkpoint.name or checkpoint.folder}: its {modules} is random, so its vectors mean "
        "nothing until it is trained"
    )
