"""What a form in 8 bits is made of, kept in the cache folder: finding it takes seconds."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from timbral.checkpoints.weights import hash_weights
from timbral.encoders.base import SpeakerEncoder
from timbral.errors import TimbralError
from timbral.inference.optimized import byte_ranges
from timbral.io.cache import cache_folder
from timbral.io.files import atomic_write
from timbral.version import __version__

__all__ = ["ByteNumbers", "in_one_thread"]

MOST_FILES = 8
"""that are kept, the newest: 6 MB each of CAM++, 20 of ECAPA-TDNN"""
Made = TypeVar("Made")
Seen = TypeVar("Seen")

log = logging.getLogger("timbral.int8")


class ByteNumbers(Generic[Seen]):
    """Dataclasses of numbers, one after another: made once for weights, a version and a torch."""

    def __init__(self, encoder: SpeakerEncoder, see: Callable[[], Seen]) -> None:
        """`see` runs shipped voices through the encoder, if anything is to be made."""
        self._see = see
        self._identity = _identity(encoder)
        self._stored = _read(self._identity)
        if self._stored is None:
            log.info("preparing these weights for int8; this takes seconds …")
        self._made: dict[str, Tensor] = {}
        self._count = 0

    @cached_property
    def seen(self) -> Seen:
        return self._see()

    def next(self, kind: type[Made], make: Callable[[], Made]) -> Made:
        """The next one, stored or made. They are asked for in the same order every time."""
        names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
        keys = [f"{self._count}.{name}" for name in names]
        self._count += 1
        if self._stored is not None:
            return kind(*(_plain(self._stored[key]) for key in keys))
        made = make()
        values = (torch.as_tensor(getattr(made, name)) for name in names)
        self._made.update(zip(keys, values, strict=True))
        return made

    def keep(self) -> None:
        """Write what was made. Where that is not possible it will be made again."""
        if self._stored is not None:
            return
        try:
            _write(self._identity, self._made)
        except (OSError, TimbralError, SafetensorError) as error:
            log.info(
                "they cannot be kept (%s), so every start prepares them; set the environment "
                "variable TIMBRAL_CACHE to a folder that can be written",
                error,
            )


@contextmanager
def in_one_thread() -> Iterator[None]:
    """Numbers made here are the same however many threads compute: a sum's last bit, which depends
    on these, decides how a weight is rounded, and with it how all behind it are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _identity(encoder: SpeakerEncoder) -> str:
    digest = hashlib.sha256()
    voices = (byte_ranges.EVERY, byte_ranges.SECONDS)
    facts = (__version__, torch.__version__, encoder.config, *voices)
    digest.update(f"{hash_weights(encoder)} {facts}".encode())
    for path in sorted(Path(__file__).parent.glob("*byte*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _file(identity: str) -> Path:
    return cache_folder() / "int8" / f"{identity}.safetensors"


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key, tensor in sorted(tensors.items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read(identity: str) -> dict[str, Tensor] | None:
    """None where there is no whole file."""
    try:
        with safe_open(_file(identity), framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            digest = (file.metadata() or {}).get("sha256")
    except (OSError, TimbralError, SafetensorError):
        return None
    return tensors if digest == _digest(tensors) else None


def _write(identity: str, tensors: dict[str, Tensor]) -> None:
    path = _file(identity)
    tensors = {key: tensor.clone().contiguous() for key, tensor in tensors.items()}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, {"sha256": _digest(tensors)})
    files = sorted(path.parent.glob("*.safetensors"), key=lambda each: each.stat().st_mtime)
    for old in files[:-MOST_FILES]:
        old.unlink(missing_ok=True)


def _plain(value: Tensor) -> Any:
    return value if value.dim() else value.item()
