"""CAM++ of CosyVoice: ``campplus.onnx``, 3D-Speaker's network as torch exports it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from timbral.checkpoints.foreign.base import Content, ConvertedWeights, WeightsFormat, only_tensors
from timbral.checkpoints.foreign.onnx_layers import OnnxLayer, layers_of
from timbral.encoders.campplus import CampplusConfig
from timbral.errors import CheckpointError

__all__ = ["COSYVOICE"]

NORM_EPSILON = 1e-5
MARKS = ("onnx.0.Conv.0",)


def convert(content: Content) -> ConvertedWeights:
    """Convert layers, which are in the order in which CAM++ computes them.

    A batch norm that torch folded into the preceding convolution becomes one that only adds the
    bias.
    """
    layers = layers_of(only_tensors(content.values))
    config = _config(layers)
    reader = _LayerReader(layers)
    for name, norm in _convolutions(config):
        if name.startswith("norm:"):
            reader.take_norm(name.removeprefix("norm:"))
        else:
            reader.take_convolution(name, norm)
    reader.check_end()
    return ConvertedWeights(config, reader.tensors)


def _config(layers: list[OnnxLayer]) -> CampplusConfig:
    """The published sizes of CAM++, with the embedding dimension of the last matrix."""
    matrices = [each.tensors[0] for each in layers if each.operation != "BatchNormalization"]
    if not matrices:
        raise CheckpointError("this ONNX model is not a CAM++: it has no layers with weights")
    return CampplusConfig(embedding_dim=len(matrices[-1]))


def _convolutions(config: CampplusConfig) -> Iterator[tuple[str, str]]:
    """Layers in the order of computing, each with the name of the norm after it, or ""."""
    yield "front.conv1", "front.norm1"
    for index in range(4):
        block = f"front.blocks.{index}"
        yield f"{block}.conv1", f"{block}.norm1"
        yield f"{block}.conv2", f"{block}.norm2"
        if index % 2 == 0:
            yield f"{block}.shortcut", f"{block}.shortcut_norm"
    yield "front.conv2", "front.norm2"
    yield "tdnn", "tdnn_norm"
    for number, count in enumerate(config.block_layers):
        for index in range(count):
            layer = f"blocks.{number}.layers.{index}"
            yield f"norm:{layer}.norm1", ""
            yield f"{layer}.bottleneck", f"{layer}.norm2"
            yield f"{layer}.masking.local", ""
            yield f"{layer}.masking.squeeze", ""
            yield f"{layer}.masking.gate", ""
        yield f"norm:blocks.{number}.norm", ""
        is_last = number == len(config.block_layers) - 1
        yield f"blocks.{number}.transition", "norm" if is_last else ""
    yield "linear", "linear_norm"


class _LayerReader:
    """Takes layers from a list, in order, and stores their tensors under timbral's names."""

    def __init__(self, layers: list[OnnxLayer]) -> None:
        self._layers = layers
        self._taken = 0
        self.tensors: dict[str, Tensor] = {}

    def take_convolution(self, name: str, norm: str) -> None:
        """Take a convolution and its norm, which may be folded into it."""
        layer = self._next(name, ("Conv", "Gemm", "MatMul"))
        weight, *bias = layer.tensors
        if layer.operation == "MatMul":
            weight = weight.T
        self.tensors[f"encoder.{name}.weight"] = (
            weight[:, :, 0] if name == "linear" and weight.ndim == 3 else weight
        )
        if not norm:
            if bias:
                self.tensors[f"encoder.{name}.bias"] = bias[0]
            return
        if bias:  # convolutions before a norm have no bias: it is the norm's
            self._add_bias_norm(norm, bias[0])
        else:
            self.take_norm(norm)

    def take_norm(self, name: str) -> None:
        """Take a batch norm: scale, offset, mean, variance."""
        layer = self._next(name, ("BatchNormalization",))
        if len(layer.tensors) != 4:
            raise CheckpointError(
                f"this ONNX model is not a CAM++: {name} is not a batch norm with four tensors"
            )
        scale, offset, mean, variance = layer.tensors
        if name == "linear_norm":  # timbral's has neither scale nor offset
            deviation = (variance + NORM_EPSILON).sqrt() / scale
            mean, variance = mean - offset * deviation, deviation.square() - NORM_EPSILON
        else:
            self.tensors[f"encoder.{name}.weight"] = scale
            self.tensors[f"encoder.{name}.bias"] = offset
        self._add_statistics(name, mean, variance)

    def _add_bias_norm(self, name: str, bias: Tensor) -> None:
        """Add a norm that only adds a bias."""
        ones = torch.ones_like(bias)
        mean = torch.zeros_like(bias)
        if name == "linear_norm":
            mean = -bias
        else:
            self.tensors[f"encoder.{name}.weight"] = ones
            self.tensors[f"encoder.{name}.bias"] = bias
        self._add_statistics(name, mean, ones - NORM_EPSILON)

    def _add_statistics(self, name: str, mean: Tensor, variance: Tensor) -> None:
        self.tensors[f"encoder.{name}.running_mean"] = mean.clone()
        self.tensors[f"encoder.{name}.running_var"] = variance

    def _next(self, name: str, operations: tuple[str, ...]) -> OnnxLayer:
        if self._taken == len(self._layers):
            raise CheckpointError(f"this ONNX model is not a CAM++: it ends before {name}")
        layer = self._layers[self._taken]
        self._taken += 1
        if layer.operation not in operations:
            raise CheckpointError(
                f"this ONNX model is not a CAM++: {layer.operation} was found instead of {name}"
            )
        return layer

    def check_end(self) -> None:
        """Raise CheckpointError if layers are left."""
        if left := len(self._layers) - self._taken:
            raise CheckpointError(
                f"this ONNX model is not a CAM++: {left} layers follow its last one"
            )


COSYVOICE = WeightsFormat(
    "CAM++ of CosyVoice, campplus.onnx",
    (MARKS,),
    convert,
    fits=lambda content: content.container == "onnx",
)
