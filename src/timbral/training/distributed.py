"""Processes that train one model together.

The loss is that of the one global batch, whatever the number of processes: each embeds its own
speakers, all see all embeddings, and each computes the same loss. Its gradient by the embeddings
is then already whole; what every process makes of its own rows is added up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from timbral.encoders.layers.norm import BatchNorm
from timbral.errors import ConfigError, TrainingError

__all__ = ["Share", "Workers", "joined", "own_rank", "share_statistics"]

T = TypeVar("T")

TIMEOUT = timedelta(hours=2)  # while the first process validates, the others wait


def own_rank() -> int:
    """This process's number among those of torchrun or `launch`; 0 when it is alone."""
    return int(os.environ.get("RANK", "0"))


@dataclass(frozen=True)
class Share:
    """Which rows of the global batch of B utterances are this process's own."""

    rows: slice
    batch_size: int
    largest: int
    """rows of the process that has most"""
    smallest: int


@dataclass
class Workers:
    """The processes of a run. Alone, every method gives back what it gets."""

    rank: int = 0
    count: int = 1
    seconds: float = field(default=0.0, init=False)
    """time spent on exchange, waiting for the others included"""

    @property
    def is_first(self) -> bool:
        """Whether this process writes checkpoints and metrics, and validates."""
        return self.rank == 0

    def share(self, speakers: int, utterances: int) -> Share:
        """Whole speakers of an S × U batch, as evenly as they go; ConfigError if S is too small."""
        if speakers < self.count:
            raise ConfigError(
                f"data.speakers_per_batch is {speakers}, but {self.count} processes train: each "
                "needs a speaker or more; raise it, or start fewer processes"
            )
        first, last = (speakers * rank // self.count for rank in (self.rank, self.rank + 1))
        rows = slice(first * utterances, last * utterances)
        largest = -(-speakers // self.count) * utterances
        smallest = speakers // self.count * utterances
        return Share(rows, speakers * utterances, largest, smallest)

    def gather(self, own: Tensor, share: Share) -> Tensor:
        """Own rows (B', …) -> the rows of all processes (B, …), without gradient."""
        if self.count == 1:
            return own.detach()
        # The sum of each one's rows among zeros: shares of unequal size need no padding so.
        whole = own.new_zeros(share.batch_size, *own.shape[1:])
        whole[share.rows] = own.detach()
        with self._timed():
            distributed.all_reduce(whole)
        return whole

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, the same bits on each."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with self._timed():
            distributed.all_reduce(flat)
        sizes = [tensor.numel() for tensor in tensors]
        for tensor, piece in zip(tensors, torch.split(flat, sizes), strict=True):
            tensor.copy_(piece.view_as(tensor))

    def agree(self, modules: Sequence[nn.Module]) -> None:
        """Give every process the first one's parameters and buffers."""
        if self.count > 1:
            for module in modules:
                for tensor in (*module.parameters(), *module.buffers()):
                    distributed.broadcast(tensor.data, src=0)

    def longest(self, seconds: float) -> float:
        """The largest of a number of each process."""
        if self.count == 1:
            return seconds
        value = torch.tensor([seconds], dtype=torch.float64, device=self._device())
        with self._timed():
            distributed.all_reduce(value, distributed.ReduceOp.MAX)
        return float(value)

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives in the first process; the others wait for it."""
        if self.count == 1:
            return make()
        values = [make() if self.is_first else None]
        distributed.broadcast_object_list(values, src=0, device=self._device())
        value: T = values[0]  # type: ignore[assignment]
        return value

    def _device(self) -> torch.device:
        on_gpu = distributed.get_backend() == "nccl"
        return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds += time.monotonic() - started


@contextmanager
def joined(device: torch.device) -> Iterator[Workers]:
    """The processes that torchrun or `launch` has started, met; else this one alone."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield Workers()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=TIMEOUT)
    yield Workers(distributed.get_rank(), distributed.get_world_size())
    distributed.destroy_process_group()  # not after an error: it would wait for the others


def share_statistics(encoder: nn.Module, workers: Workers) -> None:
    """Let batch norm count the utterances of all processes.

    Raises TrainingError for an encoder with batch norm that cannot.
    """
    for name, module in encoder.named_modules():
        if isinstance(module, BatchNorm):
            module.across_processes = workers.count > 1
        elif isinstance(module, _BatchNorm) and workers.count > 1:
            raise TrainingError(
                f"{type(encoder).__name__}.{name} is torch's {type(module).__name__}, whose "
                "statistics are those of one process; "
                "use timbral.encoders.layers.norm.BatchNorm there"
            )
