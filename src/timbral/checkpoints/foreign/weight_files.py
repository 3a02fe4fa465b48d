"""Find files of weights and read their content, without running any of it."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from timbral.checkpoints.foreign.base import Container, Content
from timbral.checkpoints.foreign.file_kinds import (
    is_onnx,
    is_safetensors,
    is_text,
    missing_bytes,
    why_no_weights,
)
from timbral.checkpoints.foreign.onnx_layers import read_onnx_layers
from timbral.checkpoints.known_files import CONFIG_FILES, RECIPE_FILES, WEIGHT_FILES
from timbral.checkpoints.known_names import PUBLISHED_NAMES
from timbral.errors import CheckpointError, first_line
from timbral.io.json_parsing import parse_json
from timbral.io.pickles import UnknownNameError, names_in_pickles, read_pickle

__all__ = ["find_weights", "holds_weights", "read_content"]

TORCH_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""the first object in files of torch before 1.6"""
LONGEST_REASON = 200
"""longest reason in characters, as a reader's error may quote the whole file"""
LEGACY_PICKLES = 4
"""pickles at the beginning of such a file: that number, a version, sizes of numbers, the content"""
SAVE_TENSORS = (
    "save only the state_dict, in the project that the file comes from: "
    "torch.save(model.state_dict(), FILE)"
)

NOTES = (
    "pyannote.audio.core.model.Introspection",
    "pyannote.audio.core.task.Problem",
    "pyannote.audio.core.task.Resolution",
    "pyannote.audio.core.task.Specifications",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "torch.torch_version.TorchVersion",
)
"""classes of metadata that projects store with their weights"""


class Unread:
    """Replaces an object of such a class: it stores nothing and does nothing.

    The classes themselves are neither imported nor called.
    """

    def __new__(cls, *arguments: object) -> Unread:
        return super().__new__(cls)

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def find_weights(source: Path) -> Path:
    """The file of weights: the path itself, or a file in its folder; else CheckpointError."""
    if source.is_file():
        return source
    paddle = Path(f"{source}.pdparams")  # PaddleSpeech leaves the suffix out
    if paddle.is_file():
        return paddle
    for name in WEIGHT_FILES:
        if (source / name).is_file():
            return source / name
    if str(source) in PUBLISHED_NAMES:
        raise CheckpointError(
            f"{source}: is not a file but an encoder that every command takes by this name; it "
            "needs no conversion"
        )
    known = ", ".join(WEIGHT_FILES)
    what = f"contains none of {known}" if source.is_dir() else "no such file or folder"
    raise CheckpointError(f"{source}: {what}")


def holds_weights(source: Path) -> bool:
    """Whether a path is another project's file of weights, or a folder with one."""
    if (source / "checkpoint.json").exists():
        return False
    try:
        return find_weights(source).is_file()
    except CheckpointError:
        return False


def read_content(path: Path) -> Content:
    """The content of a file of weights, and of the configs next to it.

    Reads torch's files, safetensors, ONNX models (only their weights), and pickles of arrays as
    Paddle writes them; each is recognized by its content, not its name. Raises CheckpointError for
    any other file, and for a pickle with anything but tensors and plain values; MissingExtraError
    if an ONNX model cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        values, container = _read(content)
    except _RefusedError as error:
        raise CheckpointError(f"{path} cannot be read as weights ({error})") from None
    folder = path.parent
    hyperparams, recipe = (_read_text(folder / name) for name in RECIPE_FILES)
    return Content(values, container, _read_configs(folder), hyperparams, recipe)


class _RefusedError(Exception):
    """Why a file cannot be read as weights."""


def _read(content: bytes) -> tuple[Mapping[Any, Any], Container]:
    if is_safetensors(content):
        return _read_safetensors(content), "safetensors"
    if is_onnx(content):
        return _read_onnx(content), "onnx"
    if reason := why_no_weights(content):
        raise _RefusedError(reason)
    try:
        values, container = _read_pickled(content)
    except Exception as error:  # a broken file raises anything
        raise _RefusedError(_reason(error, content)) from None
    if not isinstance(values, Mapping):
        raise _RefusedError(f"a dictionary of tensors is needed, got {type(values).__name__}")
    return values, container


def _read_safetensors(content: bytes) -> dict[str, Tensor]:
    if missing := missing_bytes(content):
        raise _RefusedError(f"it is cut short: {missing:,} bytes are missing; download it again")
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(content)
    except Exception as error:  # such as KeyError for number types that torch lacks
        raise _RefusedError(_first_line(error)) from None
    return tensors


def _read_onnx(content: bytes) -> dict[str, Tensor]:
    try:
        return read_onnx_layers(content)
    except CheckpointError as error:
        raise _RefusedError(f"it is an ONNX model; {error}") from None


def _read_pickled(content: bytes) -> tuple[Any, Container]:
    memory = io.BytesIO(content)
    if not content.startswith(b"PK"):
        # A file of torch before 1.6 also begins with a pickle, of this number.
        values = read_pickle(content)
        if not isinstance(values, int) or values != TORCH_MAGIC_NUMBER:
            return values, "arrays"
    with torch.serialization.safe_globals([(Unread, name) for name in NOTES]):
        return torch.load(memory, map_location="cpu", weights_only=True), "torch"


def _reason(error: Exception, content: bytes) -> str:
    """Why a file was refused, in one line, without torch's advice to load it unsafely."""
    names = _unknown_names(error, content)
    if names:
        return f"{UnknownNameError(', '.join(names[:3]))}; {SAVE_TENSORS}"
    if is_text(content):
        return f"it is text that begins with {content[:40].decode('ascii')!r}"
    if content.startswith(b"PK") or content.endswith(b"."):  # the last instruction of a pickle
        return _first_line(error) if str(error).count("\n") == 0 else "it is damaged"
    if isinstance(error, pickle.UnpicklingError) and "\n" in str(error):
        return "it is damaged or cut short, or contains more than tensors and plain values"
    return f"it is damaged or cut short ({_first_line(error)}); download it again"


def _unknown_names(error: Exception, content: bytes) -> list[str]:
    """Names that a pickle refers to, except those of tensors and plain values."""
    if isinstance(error, UnknownNameError):
        return [error.name]
    try:
        if content.startswith(b"PK"):
            memory = io.BytesIO(content)
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(memory))
        names = names_in_pickles(content, LEGACY_PICKLES)
    except Exception:  # it is damaged
        return []
    return sorted(name for name in names if name.partition(".")[0] not in ("torch", "collections"))


def _first_line(error: Exception) -> str:
    return first_line(error)[:LONGEST_REASON]


def _read_text(path: Path) -> str:
    """The text of a file; empty if it does not exist or is not text, as few formats need it."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _read_configs(folder: Path) -> dict[str, Any] | None:
    """config.json and preprocessor_config.json, merged; None without a config.json."""
    if not (folder / "config.json").is_file():
        return None
    config: dict[str, Any] = {}
    for name in CONFIG_FILES:
        try:
            content = parse_json((folder / name).read_text("utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{folder / name}: is not JSON ({error})") from None
        if not isinstance(content, dict):
            raise CheckpointError(f"{folder / name}: a JSON object is needed, got {content!r:.60}")
        config.update(content)
    return config
