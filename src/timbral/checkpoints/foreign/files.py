"""Reading files of weights without running anything that is in them."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import safetensors.torch
import torch

from timbral.errors import CheckpointError

__all__ = ["read_weights"]


def read_weights(content: bytes, where: str | Path) -> Any:
    """What a file of weights holds: torch's, safetensors, or Paddle's (arrays become tensors).

    Raises CheckpointError when it is none of these, or asks for anything but plain values.
    """
    if Path(where).suffix == ".safetensors":
        return _safetensors(content, where)
    memory = io.BytesIO(content)
    try:
        if not zipfile.is_zipfile(memory):
            memory.seek(0)
            plain = ArrayUnpickler(memory).load()
            if isinstance(plain, dict):
                return _tensors(plain)
        memory.seek(0)  # torch's archive, or its older file, which begins with a number
        return torch.load(memory, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle raises anything
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{where} cannot be read as weights ({reason})") from None


def _safetensors(content: bytes, where: str | Path) -> Any:
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{where} cannot be read as weights ({error})") from None


class ArrayUnpickler(pickle.Unpickler):
    """Reads pickles of plain values and NumPy arrays; refuses every other class by name."""

    ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("collections", "OrderedDict"): dict,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        **{
            (f"{package}.multiarray", "_reconstruct"): np.ndarray.__reduce__(np.empty(0))[0]
            for package in ("numpy.core", "numpy._core")
        },
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):  # how old protocols spell bytes
            return _encode
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}; only plain values and arrays are read, for a "
                "pickle could run anything"
            )
        return self.ALLOWED[module, name]


def _encode(text: str, encoding: str) -> bytes:
    return text.encode(encoding)


def _tensors(content: Any) -> Any:
    """Arrays in nested dictionaries as tensors."""
    if isinstance(content, dict):
        return {key: _tensors(value) for key, value in content.items()}
    if isinstance(content, np.ndarray) and content.dtype != object:
        return torch.from_numpy(np.array(content))
    return content
