"""Functions that use torch only if it is already imported, as importing takes seconds."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, TypeGuard

from timbral.errors import CheckpointError
from timbral.io.cores import usable_cores

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Device",
    "cpu_device",
    "cpu_threads",
    "is_tensor",
    "limit_threads",
    "refuse_without_torch",
    "set_torch_threads",
    "torch_is_installed",
    "torch_is_loaded",
]


class Device(Protocol):
    """A `torch.device`, or a substitute for the CPU if torch is not loaded."""

    @property
    def type(self) -> str: ...

    @property
    def index(self) -> int | None: ...


@dataclass(frozen=True)
class _Cpu:
    type: str = "cpu"
    index: int | None = None

    def __str__(self) -> str:
        return self.type


def cpu_device() -> Device:
    """The CPU: torch's device if torch is loaded, else a substitute."""
    torch = _loaded()
    return _Cpu() if torch is None else torch.device("cpu")


def is_tensor(value: object) -> TypeGuard[Tensor]:
    """Whether a value is a tensor; False if torch is not loaded."""
    torch = _loaded()
    return torch is not None and isinstance(value, torch.Tensor)


def torch_is_loaded() -> bool:
    """Whether torch has been imported."""
    return _loaded() is not None


def torch_is_installed() -> bool:
    """Whether torch can be imported."""
    try:
        return torch_is_loaded() or importlib.util.find_spec("torch") is not None
    except ImportError:  # an import hook may raise this
        return False


def refuse_without_torch(encoder: str) -> None:
    """Raise CheckpointError for an encoder that needs torch, if that is not installed."""
    if not torch_is_installed():
        raise CheckpointError(
            f"{encoder}: needs torch, which is not installed here; install it, or give a model "
            "written by `timbral export` (.onnx)"
        )


def cpu_threads() -> int:
    """The number of computing threads: torch's, or the one that torch would use."""
    if (torch := _loaded()) is not None:
        return int(torch.get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    return usable_cores()


def limit_threads(count: int) -> None:
    """Set the number of computing threads of this worker process, with or without torch."""
    os.environ["OMP_NUM_THREADS"] = str(count)
    set_torch_threads(count)


def set_torch_threads(count: int) -> None:
    """Set torch's number of threads, if torch is loaded."""
    if (torch := _loaded()) is not None:
        torch.set_num_threads(count)


def _loaded() -> ModuleType | None:
    return sys.modules.get("torch")
