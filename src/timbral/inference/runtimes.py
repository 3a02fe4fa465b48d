"""Which runtime computes an encoder's vectors."""

from __future__ import annotations

import torch

from timbral.encoders.base import SpeakerEncoder
from timbral.inference.runtime import Runtime
from timbral.inference.torch_runtime import TorchRuntime

__all__ = ["runtime_of"]


def runtime_of(
    network: SpeakerEncoder | Runtime, device: str | torch.device, precision: str, compile: bool
) -> Runtime:
    """torch's runtime of a network; a runtime as it is, whose file decided how it computes."""
    if isinstance(network, SpeakerEncoder):
        return TorchRuntime(network, device, precision, compile)
    return network
