"""Checkpoints: a folder of safetensors and JSON, never a pickle.

RUN/checkpoints/
  step-1000/model.safetensors        encoder.*, loss.* and, if kept, average.* tensors
  step-1000/optimizer.safetensors    optimizer state by parameter
  step-1000/checkpoint.json          step, config, preprocessing, provenance
  last, best                         files that name one of these folders
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from timbral.audio.preprocessing import Preprocessing
from timbral.config.schema import TrainConfig
from timbral.config.yaml import from_mapping, name_of, to_mapping
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.registry import ENCODERS
from timbral.errors import CheckpointError, DataError
from timbral.io.files import atomic_write, read_json, write_json
from timbral.version import __version__

__all__ = [
    "Checkpoint",
    "build_encoder",
    "find_checkpoint",
    "load_network",
    "load_optimizer",
    "load_strictly",
    "load_weights",
    "point_to",
    "pointed_to",
    "read_tensors",
    "save_checkpoint",
]

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """What checkpoint.json says."""

    folder: Path
    step: int
    config: TrainConfig
    preprocessing: Preprocessing
    progress: dict[str, Any] = field(default_factory=dict)
    """numbers that the training loop goes on from"""
    name: str = ""
    """of published weights; empty for a run of one's own"""
    license: str = ""
    """of published weights"""
    fresh: tuple[str, ...] = ()
    """starts of names of encoder tensors that are random: they mean nothing until trained"""

    @classmethod
    def read(cls, folder: Path) -> Checkpoint:
        """Read a checkpoint folder; CheckpointError when it is not one."""
        try:
            about = read_json(folder / "checkpoint.json")
        except DataError as error:
            raise CheckpointError(f"{folder} is not a checkpoint: {error}") from None
        if about.get("format") != FORMAT:
            raise CheckpointError(
                f"{folder}: has checkpoint format {about.get('format')}; "
                f"this timbral reads format {FORMAT}"
            )
        encoder = about["config"]["encoder"]["name"]
        if encoder not in ENCODERS:
            raise CheckpointError(
                f"{folder} holds the encoder {encoder!r}, which is none of timbral's; say where "
                "its class is: --encoder-class PATH.PY:CLASS"
            )
        return cls(
            folder,
            about["step"],
            from_mapping(TrainConfig, about["config"], str(folder / "checkpoint.json")),
            Preprocessing(**about["preprocessing"]),
            about["progress"],
            about.get("name", ""),
            about.get("license", ""),
            tuple(about.get("fresh", ())),
        )

    @property
    def weights_sha256(self) -> str:
        """Hash of the file of weights; names the encoder in everything made with it."""
        return hashlib.sha256((self.folder / "model.safetensors").read_bytes()).hexdigest()


def save_checkpoint(
    checkpoint: Checkpoint,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Write a checkpoint folder, whole or not at all; without an optimizer, weights only."""
    folder = checkpoint.folder
    temporary = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    weights = {
        f"{prefix}.{name}": tensor.detach().cpu().contiguous()
        for prefix, module in modules.items()
        for name, tensor in module.state_dict().items()
    }
    safetensors.torch.save_file(weights, temporary / "model.safetensors")
    about = {
        "format": FORMAT,
        "step": checkpoint.step,
        "config": to_mapping(checkpoint.config),
        "preprocessing": checkpoint.preprocessing.as_dict(),
        "progress": checkpoint.progress,
        "name": checkpoint.name,
        "license": checkpoint.license,
        "fresh": checkpoint.fresh,
        "made_with": {
            "timbral": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    if optimizer is not None:
        _save_optimizer(temporary, optimizer, modules)
    write_json(temporary / "checkpoint.json", about)
    for file in temporary.iterdir():
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def _save_optimizer(
    folder: Path, optimizer: torch.optim.Optimizer, modules: Mapping[str, nn.Module]
) -> None:
    """Write what the optimizer knows of each parameter, under the parameter's name."""
    tensors = {
        f"{name}:{key}": value.detach().cpu().contiguous()
        for name, parameter in _parameters(modules).items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }
    safetensors.torch.save_file(tensors, folder / "optimizer.safetensors")


def load_optimizer(
    checkpoint: Checkpoint,
    optimizer: torch.optim.Optimizer,
    modules: Mapping[str, nn.Module],
    but: Collection[str] = (),
) -> None:
    """Give the optimizer what the checkpoint holds; of the modules `but` nothing.

    Parameters that did not learn there, such as frozen ones, begin anew.
    """
    path = checkpoint.folder / "optimizer.safetensors"
    tensors = read_tensors(path)
    if any(":" not in key for key in tensors):
        raise CheckpointError(f"{path}: is of an older timbral; only the weights can be used")
    learning = {p for group in optimizer.param_groups for p in group["params"]}
    named = _parameters({name: module for name, module in modules.items() if name not in but})
    optimizer.state.clear()
    for full_name, tensor in tensors.items():
        name, _, key = full_name.rpartition(":")
        parameter = named.get(name)
        if parameter is not None and parameter in learning:
            # Adam keeps its step count on the CPU
            value = tensor if key == "step" else tensor.to(parameter.device)
            optimizer.state[parameter][key] = value


def _parameters(modules: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    return {
        f"{prefix}.{name}": parameter
        for prefix, module in modules.items()
        for name, parameter in module.named_parameters()
    }


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; CheckpointError when it is missing or broken."""
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read as safetensors ({error})") from None
    return tensors


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], where: Path | str) -> None:
    """Load every tensor into `module`; CheckpointError names the first keys that don't fit."""
    wanted = module.state_dict()
    problems = [f"{key} is missing" for key in wanted if key not in tensors]
    problems += [f"{key} is not part of the model" for key in tensors if key not in wanted]
    problems += [
        f"{key} has shape {tuple(tensors[key].shape)}, the model {tuple(wanted[key].shape)}"
        for key in wanted
        if key in tensors and tensors[key].shape != wanted[key].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError(
            f"{where}: these weights are of another {type(module).__name__}: "
            f"{'; '.join(problems[:3])}{more}"
        )
    module.load_state_dict(dict(tensors))


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors of one module of a checkpoint, under the module's own names."""
    start = f"{prefix}."
    return {key[len(start) :]: value for key, value in tensors.items() if key.startswith(start)}


def build_encoder(config: Any) -> SpeakerEncoder:
    """The encoder of a config such as LstmConfig, newly initialized from torch's random state."""
    return ENCODERS[name_of(ENCODERS, config)](config)


def load_network(checkpoint: Checkpoint) -> SpeakerEncoder:
    """The encoder of a checkpoint, in evaluation mode on the CPU: the average, if one was kept."""
    encoder = build_encoder(checkpoint.config.encoder)
    load_weights(encoder, replace(checkpoint, fresh=()))
    return encoder.eval()


def load_weights(encoder: SpeakerEncoder, checkpoint: Checkpoint) -> None:
    """Give `encoder` a checkpoint's weights; CheckpointError when they are of another one.

    It keeps its own where the checkpoint's are random, and its low-rank updates.
    """
    path = checkpoint.folder / "model.safetensors"
    tensors = read_tensors(path)
    tensors = with_prefix(tensors, "average") or with_prefix(tensors, "encoder")
    for key, own in encoder.state_dict().items():
        plain = key.replace(".base_layer.", ".")  # peft's name for what it updates
        if plain != key and plain in tensors:
            tensors[key] = tensors.pop(plain)
        elif (".lora_" in key and key not in tensors) or key.startswith(checkpoint.fresh or "-"):
            tensors[key] = own
    load_strictly(encoder, tensors, path)


def find_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint that a run folder (best, else last) or a checkpoint folder stands for."""
    if (path / "checkpoint.json").exists():
        return Checkpoint.read(path)
    for name in ("best", "last"):
        if folder := pointed_to(path / "checkpoints", name):
            return Checkpoint.read(folder)
    what = "holds no checkpoint" if path.exists() else "no such folder"
    raise CheckpointError(
        f"{path}: {what}; a run folder (made by `timbral train --output`) or a checkpoint folder "
        "(RUN/checkpoints/step-N) is needed"
    )


def point_to(folder: Path, name: str) -> None:
    """Make the pointer file `name` beside a checkpoint folder name that folder."""
    with atomic_write(folder.parent / name) as temporary:
        temporary.write_text(folder.name + "\n", "utf-8")


def pointed_to(checkpoints: Path, name: str) -> Path | None:
    """The folder that a pointer file names, when both are there."""
    try:
        folder = checkpoints / (checkpoints / name).read_text("utf-8").strip()
    except OSError:
        return None
    return folder if (folder / "checkpoint.json").exists() else None
