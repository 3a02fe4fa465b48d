"""From names and paths to encoders ready for use."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch

from timbral.checkpoints import averaging
from timbral.checkpoints.checkpoint import Checkpoint, build_encoder, find_checkpoint
from timbral.checkpoints.foreign.registry import convert as read_foreign
from timbral.checkpoints.foreign.registry import holds_weights
from timbral.checkpoints.pretrained import PRETRAINED, adopt, cached, write_checkpoint
from timbral.checkpoints.pretrained import download as fetch
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.registry import ENCODERS
from timbral.errors import CheckpointError, ConfigError, did_you_mean

__all__ = [
    "ModelInfo",
    "average",
    "convert",
    "download",
    "models",
    "register_encoder",
    "resolve",
    "untrained",
    "validation_threshold",
]


def untrained(checkpoint: Checkpoint) -> str:
    """What a user of weights with random parts has to know."""
    parts = ", ".join(start.rstrip(".") for start in checkpoint.fresh)
    return (
        f"{checkpoint.name or checkpoint.folder}: its {parts} is random, so its vectors mean "
        "nothing until it is trained"
    )


def resolve(encoder: str | Path) -> Checkpoint:
    """The checkpoint that a name, a folder or a foreign file of weights stands for."""
    name = str(encoder)
    if name in PRETRAINED and not Path(name).exists():
        folder = cached(name)
        if folder is None:
            raise CheckpointError(
                f"{name} is not on this machine yet; get it: timbral download {name}"
            )
        return Checkpoint.read(folder)
    if holds_weights(Path(name)):
        return Checkpoint.read(adopt(Path(name)))
    if not Path(name).exists() and Path(name).name == name:
        raise CheckpointError(
            f"{name!r} is neither a run folder nor a known encoder{did_you_mean(name, PRETRAINED)}"
        )
    return find_checkpoint(Path(encoder))


def validation_threshold(encoder: str | Path) -> float | None:
    """Cosine where the checkpoint's misses and false alarms were equally frequent, if known."""
    threshold = resolve(encoder).progress.get("val_threshold")
    return None if threshold is None else float(threshold)


def register_encoder(source: str) -> str:
    """Make a class of one's own known, from ``path.py:Class``; returns its name for configs.

    The file is run, so it comes from the user and never from a checkpoint. In Python,
    ``timbral.encoders.registry.ENCODERS[MyEncoder.name] = MyEncoder`` does the same.
    """
    path, _, name = source.rpartition(":")
    if not path.endswith(".py") or not name:
        raise ConfigError(f"an encoder of one's own is given as path.py:Class, got {source!r}")
    cls = getattr(_run(path), name, None)
    if not (isinstance(cls, type) and issubclass(cls, SpeakerEncoder)):
        raise ConfigError(f"{path} has no class {name} that derives from SpeakerEncoder")
    if not dataclasses.is_dataclass(getattr(cls, "config_type", None)) or not hasattr(cls, "name"):
        raise ConfigError(f"{source}: the class needs `name` and `config_type`, a dataclass")
    known = ENCODERS.get(cls.name)
    if known is not None and known.__module__.startswith("timbral."):
        raise ConfigError(f"{source}: the name {cls.name!r} is taken by an encoder of timbral")
    ENCODERS[cls.name] = cls
    return cls.name


def _run(path: str) -> ModuleType:
    """A Python file as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:
        raise ConfigError(f"{path}: cannot be run ({type(error).__name__}: {error})") from None
    return module


@dataclass(frozen=True)
class ModelInfo:
    """One row of `timbral models`."""

    name: str
    about: str
    embedding_dim: int
    parameters: int
    sample_rate: int
    weights: str
    """where they come from, or ``to train``"""
    license: str
    here: bool
    """ready to use on this machine"""
    extra: str = ""
    """what has to be installed to fetch it, as in ``timbral[extra]``"""


def models() -> list[ModelInfo]:
    """Encoders to train, at their default sizes, then published weights."""
    rows = []
    for name, cls in ENCODERS.items():
        about = (cls.__doc__ or "").partition("\n")[0].rstrip(".")
        with torch.device("meta"):
            encoder = cls(cls.config_type())
        rows.append(_describe(name, about, encoder, "to train", "", True))
    for name, entry in PRETRAINED.items():
        with torch.device("meta"):  # shapes only: some are large
            encoder = build_encoder(entry.encoder)
        origin, here = str(entry.source), cached(name) is not None
        row = _describe(name, entry.about, encoder, origin, entry.license, here)
        rows.append(dataclasses.replace(row, extra=entry.extra))
    return rows


def _describe(
    name: str, about: str, encoder: SpeakerEncoder, weights: str, license: str, here: bool
) -> ModelInfo:
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    dim, rate = encoder.embedding_dim, encoder.sample_rate
    return ModelInfo(name, about, dim, parameters, rate, weights, license, here)


def download(name: str, folder: Path | None = None) -> Path:
    """Fetch published weights, or take them from a copy in a folder; returns their checkpoint
    folder. ConfigError for other names."""
    if name not in PRETRAINED:
        raise ConfigError(f"unknown weights {name!r}{did_you_mean(name, PRETRAINED)}")
    return fetch(name, folder)


def convert(source: Path, output: Path, format: str | None = None) -> Checkpoint:
    """Write a foreign file of weights as a checkpoint folder that every verb takes."""
    _check_free(output)
    write_checkpoint(read_foreign(source, format), output)
    return Checkpoint.read(output)


def average(
    encoders: Sequence[str | Path], output: Path, shares: Sequence[float] = ()
) -> Checkpoint:
    """Write an encoder whose weights are the mean of others', in these shares or equal ones.

    For a fine-tuned encoder and the one it came from (`timbral.checkpoints.averaging`).
    """
    _check_free(output)
    found = [resolve(encoder) for encoder in encoders]
    return averaging.average(found, shares or [1.0] * len(found), output)


def _check_free(output: Path) -> None:
    """ConfigError when a checkpoint folder would replace anything but another one."""
    if output.exists() and not (output / "checkpoint.json").exists() and any(output.iterdir()):
        raise ConfigError(f"{output} holds other files; name a new folder for the checkpoint")
