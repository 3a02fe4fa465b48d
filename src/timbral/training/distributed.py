"""Train one model in several processes.

The loss is that of one global batch for any number of processes (ranks): each embeds its own
speakers, all get all embeddings, and each computes the same loss. Its gradient with respect to the
embeddings is then already complete; the gradients from each rank's own rows are summed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from timbral.encoders.layers.norm import BatchNorm
from timbral.errors import ConfigError, TrainingError

__all__ = ["RankRows", "Ranks", "joined", "own_rank", "sync_batch_norm"]

T = TypeVar("T")

TIMEOUT = timedelta(hours=2)
"""longest wait for another process: the others wait while the first one validates"""


def own_rank() -> int:
    """The number of this process among those of torchrun or `launch`; 0 if it is the only one."""
    return int(os.environ.get("RANK", "0"))


@dataclass(frozen=True)
class RankRows:
    """The rows of the global batch of B utterances that this rank embeds: whole speakers."""

    rows: slice
    batch_size: int
    """B"""
    largest: int
    """rows of the rank with most"""
    smallest: int
    """rows of the rank with fewest"""

    def num_micro_batches(self, size: int | None) -> int:
        """Number of micro-batches of at most `size` rows, none empty; the same on every rank."""
        return 1 if size is None else min(-(-self.largest // size), self.smallest)


@dataclass
class Ranks:
    """The processes of a run. A single process exchanges nothing."""

    rank: int = 0
    count: int = 1
    seconds: float = field(default=0.0, init=False)
    """seconds spent on communication, including waiting"""

    @property
    def is_first(self) -> bool:
        """Whether this process writes checkpoints and metrics, and validates."""
        return self.rank == 0

    def rows(self, speakers: int, utterances: int) -> RankRows:
        """This rank's rows of an S × U batch: whole speakers; ConfigError if S is too small.

        With S = 5, U = 3 and two ranks: rows 0 to 5 (two speakers) and 6 to 14 (three).
        """
        if speakers < self.count:
            raise ConfigError(
                f"data.speakers_per_batch is {speakers}, but training uses {self.count} "
                "processes, and each needs at least one speaker; raise it, or start fewer "
                "processes"
            )
        first, end = (speakers * rank // self.count for rank in (self.rank, self.rank + 1))
        return RankRows(
            rows=slice(first * utterances, end * utterances),
            batch_size=speakers * utterances,
            largest=-(-speakers // self.count) * utterances,
            smallest=speakers // self.count * utterances,
        )

    def gather(self, own: Tensor, rows: RankRows) -> Tensor:
        """Own rows (B', …) -> the rows of all ranks (B, …).

        The gradient of `own` is that of its rows: every rank computes the same loss of all rows, so
        the backward pass needs no communication.
        """
        if self.count == 1:
            return own
        gathered: Tensor = _GatherRows.apply(own, self, rows)  # type: ignore[no-untyped-call]
        return gathered

    def all_reduce_sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the ranks, bit-identical on each."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with self._timed():
            distributed.all_reduce(flat)
        sizes = [tensor.numel() for tensor in tensors]
        for tensor, summed in zip(tensors, torch.split(flat, sizes), strict=True):
            tensor.copy_(summed.view_as(tensor))

    def all_reduce_max(self, number: float) -> float:
        """The largest of the ranks' numbers."""
        if self.count == 1:
            return number
        value = torch.tensor([number], dtype=torch.float64, device=self._device())
        with self._timed():
            distributed.all_reduce(value, distributed.ReduceOp.MAX)
        return float(value)

    def wait_for_all(self) -> None:
        """A barrier: return when every rank has called this."""
        self.all_reduce_max(0.0)

    def broadcast(self, modules: Sequence[nn.Module]) -> None:
        """Copy the first rank's parameters and buffers to every rank."""
        if self.count > 1:
            for module in modules:
                for tensor in (*module.parameters(), *module.buffers()):
                    distributed.broadcast(tensor.data, src=0)

    def broadcast_object(self, value: T | None) -> T:
        """The first rank's value, which must not be None; the others wait for it."""
        values = [value]
        if self.count > 1:
            distributed.broadcast_object_list(values, src=0, device=self._device())
        assert values[0] is not None, "the first rank has a value to give"
        return values[0]

    def sum_rows(self, own: Tensor, rows: RankRows) -> Tensor:
        """Own rows (B', …) -> the rows of all ranks (B, …), without gradient.

        Each rank's rows are padded with zeros and summed, as ranks may have different numbers of
        rows.
        """
        everyone = own.new_zeros(rows.batch_size, *own.shape[1:])
        everyone[rows.rows] = own.detach()
        with self._timed():
            distributed.all_reduce(everyone)
        return everyone

    def _device(self) -> torch.device:
        on_gpu = distributed.get_backend() == "nccl"
        return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds += time.monotonic() - started


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, ranks: Ranks, rows: RankRows) -> Tensor:
        ctx.own_rows = rows.rows
        return ranks.sum_rows(own, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[ctx.own_rows], None, None


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """The processes started by torchrun or `launch`, connected; otherwise only this one."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield Ranks()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=TIMEOUT)
    yield Ranks(distributed.get_rank(), distributed.get_world_size())
    distributed.destroy_process_group()  # not after an error: it would wait for the others


def sync_batch_norm(encoder: nn.Module, ranks: Ranks) -> None:
    """Let batch norm use the statistics of all ranks' utterances.

    Raises TrainingError for an encoder with another kind of batch norm.
    """
    for name, module in encoder.named_modules():
        if isinstance(module, BatchNorm):
            module.across_processes = ranks.count > 1
        elif isinstance(module, _BatchNorm) and ranks.count > 1:
            raise TrainingError(
                f"{type(encoder).__name__}.{name} is torch's {type(module).__name__}, whose "
                "statistics cover only one process; use timbral.encoders.layers.norm.BatchNorm "
                "instead"
            )
