"""CosyVoice's campplus.onnx: weights are read off the order of a graph's layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import timbral
from timbral.checkpoints.foreign import cosyvoice_onnx
from timbral.checkpoints.foreign.onnx_layers import layers_of, read_onnx_layers
from timbral.checkpoints.foreign.registry import read_foreign
from timbral.encoders.campplus import CampplusConfig, CampplusEncoder
from timbral.encoders.layers.norm import BatchNorm
from timbral.errors import CheckpointError

onnx = pytest.importorskip("onnx")
SMALL = CampplusConfig((1, 2, 1), 4, 8, 4, 8, 16)


def trained(seed: int = 0) -> CampplusEncoder:
    """A small CAM++ whose norms have statistics."""
    torch.manual_seed(seed)
    network = CampplusEncoder(SMALL).eval()
    for module in network.modules():
        if isinstance(module, BatchNorm):
            nn.init.normal_(module.running_mean, 0.0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0.0, 0.1)
    return network


def exported(network: CampplusEncoder, folded: bool, path: Path) -> Path:
    """The layers of a network as torch exports 3D-Speaker's: only their weights and their order."""
    modules = dict(network.named_modules())
    nodes, weights = [], []

    def add(operation: str, tensors: list[Any]) -> None:
        names = [f"onnx::{operation}_{len(weights) + index}" for index in range(len(tensors))]
        for name, tensor in zip(names, tensors, strict=True):
            weights.append(onnx.numpy_helper.from_array(tensor.detach().float().numpy(), name))
        output = f"out{len(nodes)}"
        nodes.append(onnx.helper.make_node(operation, ["x", *names], [output]))
        nodes.append(onnx.helper.make_node("Relu", [output], [f"relu{len(nodes)}"]))

    def add_norm(name: str) -> None:
        norm = modules[name]
        ones = torch.ones_like(norm.running_mean)
        scale, offset = (norm.weight, norm.bias) if norm.affine else (ones, 0 * ones)
        add("BatchNormalization", [scale, offset, norm.running_mean, norm.running_var])

    for name, norm in cosyvoice_onnx._convolutions(network.config):
        if name.startswith("norm:"):
            add_norm(name.removeprefix("norm:"))
            continue
        layer = modules[name]
        weight, bias = layer.weight, getattr(layer, "bias", None)
        weight = weight[:, :, None] if name == "linear" else weight
        if norm and folded:
            scale, offset = (each.float() for each in modules[norm].scale_and_offset())
            add("Conv", [weight * scale.view(-1, *[1] * (weight.ndim - 1)), offset])
            continue
        add("Conv", [weight] if bias is None else [weight, bias])
        if norm:
            add_norm(norm)
    graph = onnx.helper.make_graph(nodes, "campplus", [], [], weights)
    onnx.save(onnx.helper.make_model(graph), path)
    return path


@pytest.mark.parametrize("folded", [True, False])
def test_the_network_is_the_one_that_was_exported(
    folded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cosyvoice_onnx, "_config", lambda layers: SMALL)
    network = trained()
    path = exported(network, folded, tmp_path / "campplus.onnx")
    timbral.convert(path, tmp_path / "converted")
    encoder = timbral.load_encoder(tmp_path / "converted", device="cpu")
    waves = torch.randn(2, 16_000)
    with torch.no_grad():
        vectors = network(waves, torch.tensor([16_000, 16_000])).numpy()
    expected = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder.encode(list(waves.numpy())), expected, atol=1e-4)


def test_the_size_of_the_vectors_is_the_last_layers() -> None:
    layers = layers_of({"onnx.0.Conv.0": torch.zeros(5, 3, 1), "onnx.1.Conv.0": torch.zeros(7, 5)})
    assert cosyvoice_onnx._config(layers) == CampplusConfig(embedding_dim=7)


def test_other_graphs_and_damage_are_told(tmp_path: Path) -> None:
    path = exported(trained(), True, tmp_path / "small.onnx")
    with pytest.raises(CheckpointError):  # of another size than the published one
        read_foreign(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:2000] + b"\xff" * 500 + whole[2500:]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            timbral.convert(path, tmp_path / "out")
    weight = onnx.numpy_helper.from_array(np.zeros((2, 3), np.float32), "w")
    weight.dims[0] = 2**40
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [], [], [weight])
    with pytest.raises(CheckpointError, match="another number of values"):
        read_onnx_layers(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(CheckpointError, match="no layers with weights"):
        path.write_bytes(b"\x08\x08\x12\x07pytorch")
        timbral.convert(path, tmp_path / "out")
