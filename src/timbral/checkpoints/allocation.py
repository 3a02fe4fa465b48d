"""Limit what building a network may allocate, as its sizes may come from an untrusted file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from timbral.errors import ConfigError

__all__ = ["AllocationLimit"]

FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full}
"""torch functions with which layers allocate; their first arguments are sizes"""


class AllocationLimit(TorchFunctionMode):
    """Context in which allocating more than `most_numbers` numbers in total raises ConfigError.

    Otherwise a network of 10^12 weights would be allocated, or kill the process, before it turns
    out that the file contains ten thousand.
    """

    def __init__(self, most_numbers: int) -> None:
        super().__init__()
        self.most_numbers = most_numbers
        self.left = most_numbers

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in FACTORIES:
            self.left -= _count(args, (kwargs or {}).get("size"))
            if self.left < 0:
                raise ConfigError(
                    f"an encoder of these sizes would need more than {self.most_numbers:,} "
                    "weights, but the file contains fewer"
                )
        return func(*args, **(kwargs or {}))


def _count(args: Sequence[Any], size: Any) -> int:
    """Number of elements of a tensor, from arguments ``(2, 3)`` or ``((2, 3), …)``."""
    if size is None:
        size = args[0] if args and isinstance(args[0], Sequence) else args
    return math.prod(int(each) for each in size)
