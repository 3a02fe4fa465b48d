"""Choose the runtime for an encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from timbral.inference.runtime import Runtime

if TYPE_CHECKING:
    import torch

    from timbral.encoders.base import SpeakerEncoder

__all__ = ["runtime_of"]


def runtime_of(
    network: SpeakerEncoder | Runtime, device: str | torch.device, precision: str, compile: bool
) -> Runtime:
    """torch's runtime of a network; a runtime of an exported model is returned unchanged."""
    if hasattr(network, "embed_waves"):
        return cast(Runtime, network)
    from timbral.inference.torch_runtime import TorchRuntime

    return TorchRuntime(cast("SpeakerEncoder", network), device, precision, compile)
