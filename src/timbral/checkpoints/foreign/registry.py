"""Weights of other projects in our terms. A new format is a `Format` and a line in `FORMATS`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from timbral.checkpoints.foreign.base import Format, Weights
from timbral.checkpoints.foreign.ddvc import DDVC
from timbral.checkpoints.foreign.files import read_weights
from timbral.checkpoints.foreign.lstm import PADDLE, REAL_TIME_VOICE_CLONING, RESEMBLYZER
from timbral.checkpoints.foreign.speakerlab import SPEAKER_3D
from timbral.checkpoints.foreign.speechbrain import SPEECHBRAIN
from timbral.checkpoints.foreign.transformers import TRANSFORMERS
from timbral.errors import CheckpointError, did_you_mean

__all__ = [
    "CONFIGS",
    "FORMATS",
    "Format",
    "Weights",
    "convert",
    "find_weights",
    "holds_weights",
    "sha256_of",
]

FORMATS: dict[str, Format] = {
    "resemblyzer": RESEMBLYZER,
    "real-time-voice-cloning": REAL_TIME_VOICE_CLONING,
    "ddvc": DDVC,
    "paddlespeech": PADDLE,
    "speechbrain": SPEECHBRAIN,
    "3d-speaker": SPEAKER_3D,
    "transformers": TRANSFORMERS,
}
"""the first that recognizes a file reads it, unless one is named"""

CONFIGS = ("preprocessor_config.json", "config.json")
"""what transformers keeps beside weights"""
IN_FOLDERS = ("model.safetensors", "pytorch_model.bin", "embedding_model.ckpt")
"""weights in folders of transformers and SpeechBrain, the safer ones first"""


def find_weights(source: Path) -> Path:
    """The file of weights that a path stands for: itself, or one in its folder."""
    if source.is_file():
        return source
    paddle = source.with_name(f"{source.name}.pdparams")  # PaddleSpeech leaves the suffix out
    if paddle.is_file():
        return paddle
    for name in IN_FOLDERS:
        if (source / name).is_file():
            return source / name
    what = "holds none of " + ", ".join(IN_FOLDERS) if source.is_dir() else "no such file or folder"
    raise CheckpointError(f"{source}: {what}")


def holds_weights(source: Path) -> bool:
    """Whether a path is a foreign file of weights, or a folder that has one."""
    if (source / "checkpoint.json").exists():
        return False
    try:
        return find_weights(source).is_file()
    except CheckpointError:
        return False


def sha256_of(source: Path) -> str:
    """Hash of the file of weights that a path stands for."""
    with open(find_weights(source), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def convert(source: Path, format: str | None = None) -> Weights:
    """Read foreign weights; nothing in them is ever run.

    Raises CheckpointError when they cannot be read, or are of no known `format`.
    """
    if format is not None and format not in FORMATS:
        raise CheckpointError(f"unknown format {format!r}{did_you_mean(format, FORMATS)}")
    content = _read(find_weights(source))
    for name, known in FORMATS.items():
        if name == format or (format is None and known.recognizes(content)):
            try:
                return known.convert(content)
            except CheckpointError as error:
                raise CheckpointError(f"{source}: {error}") from None
    kinds = "".join(f"\n  {name}: {known.about}" for name, known in FORMATS.items())
    raise CheckpointError(f"{source}: weights of no known kind. Known are:{kinds}")


def _read(path: Path) -> Any:
    """Content of a file; beside a config.json both together."""
    try:
        content = read_weights(path.read_bytes(), path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    if not (path.parent / "config.json").is_file():
        return content
    config: dict[str, Any] = {}
    for name in CONFIGS:
        try:
            config.update(json.loads((path.parent / name).read_text("utf-8")))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path.parent / name}: is not JSON ({error})") from None
    return {"config": config, "weights": content} if "model_type" in config else content
