"""Settings of the process that training changes and restores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from timbral.io.devices import float32_products

__all__ = ["process_left_as_found"]


@contextmanager
def process_left_as_found(device: torch.device, precision: str) -> Iterator[None]:
    """Context that restores torch's random generators and numerical settings afterwards.

    Inside it denormal numbers, such as tiny gradients of a new LSTM, are flushed to zero, because
    they are slow.
    """
    uses_cuda = device.type == "cuda" or torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = list(range(torch.cuda.device_count())) if uses_cuda else []
    was_flushing = bool(torch.tensor(1e-40) * 1 == 0)
    with torch.random.fork_rng(devices=devices), float32_products(precision, device):
        torch.set_flush_denormal(True)
        try:
            yield
        finally:
            torch.set_flush_denormal(was_flushing)
