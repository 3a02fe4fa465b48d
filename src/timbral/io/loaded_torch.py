"""What concerns torch only where somebody has imported it, which takes seconds."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["cpu_threads", "is_tensor"]


def is_tensor(value: object) -> TypeGuard[Tensor]:
    """Whether a value is a tensor: without torch there is none."""
    torch = _loaded()
    return torch is not None and isinstance(value, torch.Tensor)


def cpu_threads() -> int:
    """How many threads compute: torch's number, or the one that it would take."""
    if (torch := _loaded()) is not None:
        return int(torch.get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _loaded() -> ModuleType | None:
    return sys.modules.get("torch")
