"""Optimize networks for inference: the same vectors in less time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.campplus import CampplusEncoder
from timbral.encoders.campplus_small import SmallCampplusEncoder
from timbral.encoders.ecapa import EcapaEncoder
from timbral.encoders.layers.packing import pack_weights
from timbral.errors import ConfigError
from timbral.inference.optimized.byte_products import CAN_MULTIPLY_BYTES
from timbral.inference.optimized.campplus_bytes import ByteCampplus
from timbral.inference.optimized.campplus_folded import FoldedCampplus
from timbral.inference.optimized.ecapa_bytes import ByteEcapa
from timbral.inference.optimized.ecapa_folded import FoldedEcapa
from timbral.inference.optimized.products import CAN_FUSE
from timbral.inference.optimized.snapshot import WeightsSnapshot

__all__ = ["InferenceNetwork", "check_8_bits", "optimize", "optimize_in_8_bits"]


class InferenceNetwork(Protocol):
    """Computes embeddings from features, as every `SpeakerEncoder` does."""

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        """Features (B, F, M), frame lengths (B,) -> embeddings (B, E)."""


FOLDED: dict[type[SpeakerEncoder], Callable[[Any, torch.dtype], InferenceNetwork]] = {
    CampplusEncoder: FoldedCampplus,
    SmallCampplusEncoder: FoldedCampplus,
    EcapaEncoder: FoldedEcapa,
}
"""how networks of exactly these classes are folded; those of other classes are not"""
IN_8_BITS: dict[type[SpeakerEncoder], Callable[[Any], InferenceNetwork]] = {
    CampplusEncoder: ByteCampplus,
    SmallCampplusEncoder: ByteCampplus,
    EcapaEncoder: ByteEcapa,
}


def optimize(network: SpeakerEncoder, dtype: torch.dtype = torch.float32) -> InferenceNetwork:
    """The network for inference in `dtype` (float32 or bfloat16): the same vectors in less time.

    On a CPU, batch norms are folded into adjacent products (CAM++ and ECAPA-TDNN), and matrices of
    other networks are packed for oneDNN. In float32 unit vectors differ by about 1e-6. Changed
    weights of `network` are detected at every call and folded again; in training mode `network`
    itself computes. Writes through `weight.data` cannot be detected: call `optimize` again after
    them.

    The network itself is returned if there is nothing to gain: on a GPU, for weights that are not
    float32, and if this torch lacks the required operators, which are not public.
    """
    if type(network) in FOLDED and _can_fold(network):
        return _UpToDate(network, lambda: FOLDED[type(network)](network, dtype))
    pack_weights(network, dtype)
    return network


def check_8_bits(encoder: type[SpeakerEncoder]) -> None:
    """Raise ConfigError if this machine cannot compute encoders of exactly this class in 8 bits."""
    if encoder not in IN_8_BITS:
        raise ConfigError(
            f"precision int8 is offered for {', '.join(each.name for each in IN_8_BITS)}, not for "
            f"{encoder.name}; take precision fp32, or an exported model (timbral export "
            "--precision int8)"
        )
    if not CAN_MULTIPLY_BYTES:
        raise ConfigError(
            "precision int8 needs a processor that multiplies bytes (AVX-512 with VNNI) and oneDNN "
            "in torch; take precision fp32"
        )


def optimize_in_8_bits(network: SpeakerEncoder) -> InferenceNetwork:
    """The network with products and convolutions over frames in 8 bits: other vectors, much faster.

    It runs some of the shipped voices through the network to measure the ranges of its numbers,
    which takes seconds the first time for given weights. Raises ConfigError if 8 bits are not
    supported: for encoders not in `IN_8_BITS`, processors without VNNI, and where `optimize`
    returns the network itself.
    """
    check_8_bits(type(network))
    if network.training or not _can_fold(network):
        raise ConfigError(
            "precision int8 needs weights in float32 on the CPU, layers without hooks, and "
            "evaluation mode; take precision fp32"
        )
    return _UpToDate(network, lambda: IN_8_BITS[type(network)](network))


def _can_fold(network: SpeakerEncoder) -> bool:
    tensors = [*network.parameters(), *network.buffers()]
    return (
        CAN_FUSE
        and all(tensor.device.type == "cpu" for tensor in tensors)
        # an inference tensor has no version, so changes could not be detected
        and not any(tensor.is_inference() for tensor in tensors)
        and all(tensor.dtype == torch.float32 for tensor in network.parameters())
        and not any(_has_hooks(module) for module in network.modules())
    )


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


class _UpToDate:
    """A folded network that follows changes of its original's weights at every call."""

    def __init__(self, network: SpeakerEncoder, folded: Callable[[], InferenceNetwork]) -> None:
        self._network, self._make = network, folded
        self._fold()

    def _fold(self) -> None:
        self._snapshot = WeightsSnapshot(self._network)
        self._folded: InferenceNetwork = self._network
        if _can_fold(self._network):
            self._folded = self._make()

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        if self._network.training:
            return self._network.embed_features(features, frame_lengths)
        if not self._snapshot.is_current():
            self._fold()
        return self._folded.embed_features(features, frame_lengths)
