"""Files of weights: where they are, and what they hold, read without running anything in them."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from timbral.checkpoints.foreign.base import Container, Content
from timbral.checkpoints.foreign.pickles import read_pickle
from timbral.errors import CheckpointError

__all__ = ["CONFIG_FILES", "WEIGHT_FILES", "find_weights", "holds_weights", "read_content"]

CONFIG_FILES = ("preprocessor_config.json", "config.json")
"""what transformers keeps beside weights"""
TORCH_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""the first object in files of torch before 1.6"""
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "embedding_model.ckpt")
"""weights in folders of transformers and SpeechBrain, the safer ones first"""


def find_weights(source: Path) -> Path:
    """The file of weights that a path stands for: itself, or one in its folder."""
    if source.is_file():
        return source
    paddle = source.with_name(f"{source.name}.pdparams")  # PaddleSpeech leaves the suffix out
    if paddle.is_file():
        return paddle
    for name in WEIGHT_FILES:
        if (source / name).is_file():
            return source / name
    what = (
        f"holds none of {', '.join(WEIGHT_FILES)}" if source.is_dir() else "no such file or folder"
    )
    raise CheckpointError(f"{source}: {what}")


def holds_weights(source: Path) -> bool:
    """Whether a path is a foreign file of weights, or a folder that has one."""
    if (source / "checkpoint.json").exists():
        return False
    try:
        return find_weights(source).is_file()
    except CheckpointError:
        return False


def read_content(path: Path) -> Content:
    """What a file of weights holds, and the configs beside it.

    Takes torch's files, safetensors, and pickles of arrays as Paddle writes them. Raises
    CheckpointError when it is none of these, or asks for anything but tensors and plain values.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    if path.suffix == ".safetensors":
        values, container = _read_safetensors(content, path)
    else:
        values, container = _read_pickled(content, path)
    if not isinstance(values, Mapping):
        raise CheckpointError(
            f"{path} cannot be read as weights (a dictionary of tensors is needed, got "
            f"{type(values).__name__})"
        )
    return Content(values, container, _read_configs(path.parent))


def _read_safetensors(content: bytes, path: Path) -> tuple[Any, Container]:
    try:
        return safetensors.torch.load(content), "safetensors"
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path} cannot be read as weights ({error})") from None


def _read_pickled(content: bytes, path: Path) -> tuple[Any, Container]:
    memory = io.BytesIO(content)
    try:
        if not zipfile.is_zipfile(memory):
            # A file of torch before its archives begins with a pickle, too: of this number.
            values = read_pickle(content)
            if not isinstance(values, int) or values != TORCH_MAGIC_NUMBER:
                return values, "arrays"
        memory.seek(0)
        return torch.load(memory, map_location="cpu", weights_only=True), "torch"
    except Exception as error:  # a broken file raises anything
        raise CheckpointError(
            f"{path} cannot be read as weights ({_reason(error, memory)})"
        ) from None


def _reason(error: Exception, memory: io.BytesIO) -> str:
    """Why a file was refused, in one line, without torch's advice to read it all the same."""
    try:
        memory.seek(0)
        names = torch.serialization.get_unsafe_globals_in_checkpoint(memory)
    except Exception:  # it is no archive of torch
        names = []
    if names:
        return (
            f"it asks for {', '.join(sorted(names)[:3])}; only tensors and plain values are read, "
            "for a pickle could run anything"
        )
    if isinstance(error, pickle.UnpicklingError) and "\n" in str(error):
        return "it holds more than tensors and plain values"
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _read_configs(folder: Path) -> dict[str, Any] | None:
    """config.json and preprocessor_config.json in one; None where there is no config.json."""
    if not (folder / "config.json").is_file():
        return None
    config: dict[str, Any] = {}
    for name in CONFIG_FILES:
        try:
            content = json.loads((folder / name).read_text("utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{folder / name}: is not JSON ({error})") from None
        if not isinstance(content, dict):
            raise CheckpointError(f"{folder / name}: an object is needed, got {content!r:.60}")
        config.update(content)
    return config
