"""The numbers of an encoder in 8 bits, stored in the cache folder: making them takes seconds."""

from __future__ import annotations

import ast
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
"""most files to keep, the newest: 6 MB each for CAM++, 20 for ECAPA-TDNN"""
Made = TypeVar("Made")
Seen = TypeVar("Seen")

log = logging.getLogger("timbral.int8")


class ByteNumbers(Generic[Seen]):
    """Dataclasses of tensors, in order: computed once per weights, code and version of torch."""

    def __init__(self, encoder: SpeakerEncoder, see: Callable[[], Seen]) -> None:
        """`see` runs shipped voices through the encoder; it is called only if nothing is stored."""
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
        """The next dataclass, stored or made; calls must come in the same order every time."""
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
        """Store what was made; if that is not possible, every start makes it again."""
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
    """Context in which torch computes in one thread, so that numbers are the same on any machine.

    The last bit of a sum, which depends on the number of threads, may decide how a weight is
    rounded, and with it the rounding of all later weights.
    """
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
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(_code(path.read_text("utf-8")).encode())
    return digest.hexdigest()


def _code(source: str) -> str:
    """What a module computes: its syntax tree, without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [statement for statement in node.body if not _is_text(statement)]
    return ast.dump(tree)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _file(identity: str) -> Path:
    return cache_folder() / "int8" / f"{identity}.safetensors"


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key, tensor in sorted(tensors.items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read(identity: str) -> dict[str, Tensor] | None:
    """The stored tensors; None if the file is missing or damaged."""
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
