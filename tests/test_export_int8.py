"""Exported models whose weights are of 8 bits: their size, vectors, error rates and refusals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from conftest import SMALL, Ask
from timbral import api
from timbral.audio.decode import Wave
from timbral.checkpoints.packed_weights import pack, unpack
from timbral.encoders.registry import ENCODERS
from timbral.errors import CheckpointError, ConfigError
from timbral.exporting import parity
from timbral.exporting.byte_weights import quantize_weights
from timbral.exporting.compact_graph import compact
from timbral.exporting.export_encoder import export
from timbral.exporting.shipped_trials import ShippedTrials, trial_recordings
from timbral.exporting.stored_constants import LEAST_NUMBERS
from timbral.inference.embedder import Embedder

FAST = ("lstm", "tdnn")


pytestmark = pytest.mark.usefixtures("quick_parity")


def made(name: str) -> Embedder:
    torch.manual_seed(3)
    return Embedder(ENCODERS[name](SMALL[name]).eval(), license="MIT")


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in SMALL]
)
def test_every_encoder_is_written_in_8_bits(
    name: str, waves: Sequence[Wave], tmp_path: Path
) -> None:
    plain, path = made(name), tmp_path / "model.onnx"
    summary = export(plain, path, precision="int8")
    proto = onnx.load(path)
    onnx.checker.check_model(proto)
    large = any(each.numel() >= LEAST_NUMBERS for each in plain.network.parameters())
    assert (TensorProto.INT8 in {each.data_type for each in proto.graph.initializer}) == large
    assert "DequantizeLinear" not in {node.op_type for node in proto.graph.node}
    matrices = [each for each in proto.graph.initializer if np.prod(each.dims) > 1e5]
    has_spectrum = not name.startswith("wavlm")  # which takes samples
    assert (TensorProto.FLOAT in {each.data_type for each in matrices}) == has_spectrum
    loaded = api.load_encoder(path)
    assert loaded.precision == "int8"
    assert loaded.weights_sha256 == plain.weights_identity()
    given = [waves[0][: max(16_000, plain.network.min_samples)], waves[1]]
    vectors, expected = (each.encode_preprocessed(given) for each in (loaded, plain))
    assert (vectors * expected).sum(1).min() > 0.99
    assert large == (np.abs(vectors - expected).max() > 1e-5)
    assert summary.parity.num_trials == 66
    assert summary.parity.eer is not None


def graph_of(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(each, name) for name, each in weights.items()]
    graph = helper.make_graph(nodes, "g", [given], [result], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def result(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    made: np.ndarray = session.run(None, {"x": x})[0]
    return made


@pytest.mark.parametrize("kind", ["MatMul", "Gemm", "GemmT", "Conv"])
def test_no_weight_is_off_by_more_than_half_a_step(kind: str) -> None:
    """Of its group: 32 numbers that belong to one output."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(48, 64)).astype(np.float32)  # (out, in)
    rows[5] = 0.0
    x = np.eye(64, dtype=np.float32)
    weight = {"MatMul": rows.T, "Gemm": rows.T, "GemmT": rows, "Conv": rows[:, :, None]}[kind]
    turned = {"transB": 1} if kind == "GemmT" else {}
    node = helper.make_node(kind.removesuffix("T"), ["x", "w"], ["y"], **turned)
    proto = graph_of([node], {"w": np.ascontiguousarray(weight)})
    quantize_weights(proto)
    (stored,) = (t for t in proto.graph.initializer if t.data_type == TensorProto.INT8)
    assert tuple(stored.dims) == (48, 2, 32)
    made = result(proto, x[:, :, None] if kind == "Conv" else x).reshape(64, 48).T
    steps = np.abs(rows.reshape(48, 2, 32)).max(2) / 127
    off = np.abs(made - rows).reshape(48, 2, 32).max(2)
    assert (off <= 0.502 * steps).all()
    assert off.max() > 0.4 * steps.max()


def test_weights_that_were_packed_stay_what_they_are(tmp_path: Path) -> None:
    """The encoder that comes with timbral loses nothing more."""
    torch.manual_seed(0)
    state = unpack(pack({"w": torch.randn(64, 96)}), tmp_path)
    proto = graph_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": state["w"].T.numpy()})
    quantize_weights(proto)
    assert np.array_equal(result(proto, np.eye(96, dtype=np.float32)), state["w"].T.numpy())


@pytest.mark.parametrize("size", [1e-6, 1e7])
def test_very_small_and_very_large_weights(size: float) -> None:
    weights = np.full((64, 32), size, np.float32)
    proto = graph_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weights})
    quantize_weights(proto)
    assert np.allclose(result(proto, np.eye(64, dtype=np.float32)), weights, rtol=1e-3)


def test_weights_that_are_not_numbers_stay() -> None:
    weights = np.full((64, 32), np.nan, np.float32)
    proto = graph_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weights})
    quantize_weights(proto)
    assert [tensor.name for tensor in proto.graph.initializer] == ["w"]


def test_equal_constants_are_kept_once() -> None:
    nodes = [
        helper.make_node("Mul", ["x", "one"], ["a_long_name"], name="another_long_name"),
        helper.make_node("Clip", ["a_long_name", "", "two"], ["y"]),
    ]
    constants = {name: np.array(2.0, np.float32) for name in ("one", "two")}
    proto = graph_of(nodes, {**constants, "same number": np.array(2.0)})
    before = result(proto, np.ones(2, np.float32))
    compact(proto)
    assert len(proto.graph.initializer) == 2  # one of each type
    assert b"long_name" not in proto.SerializeToString()
    assert np.array_equal(result(proto, np.ones(2, np.float32)), before)


def test_graphs_within_graphs_keep_their_names() -> None:
    inner = helper.make_graph(
        [helper.make_node("Identity", ["outer"], ["z"])],
        "inner",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("Relu", ["x"], ["outer"]),
        helper.make_node("If", ["yes"], ["y"], then_branch=inner, else_branch=inner),
    ]
    proto = graph_of(nodes, {"yes": np.array(True)})
    content = proto.SerializeToString()
    compact(proto)
    assert proto.SerializeToString() == content


def test_trials_are_within_a_gender() -> None:
    trials = ShippedTrials([np.zeros(1, np.float32)] * 4, ["af_a", "af_a", "bf_b", "am_c"])
    labels, one, other = trials.labels
    assert (labels.tolist(), one.tolist(), other.tolist()) == ([1, 0, 0], [0, 0, 1], [1, 2, 2])


def test_an_encoder_that_errs_more_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "LARGEST_EER_RISE", -1.0)
    with pytest.raises(CheckpointError, match=r"more errors: EER .* 66 trials .* in fp16$"):
        export(made("tdnn"), tmp_path / "model.onnx", precision="int8")
    assert not list(tmp_path.iterdir())


def test_export_in_int8_measures_the_eer(ask: Ask, tmp_path: Path) -> None:
    made("tdnn").save(tmp_path / "encoder")
    model = tmp_path / "model.onnx"
    done = ask("export", tmp_path / "encoder", "--output", model, "--precision", "int8")
    assert done.code == 0, done.err
    assert "EER on 66 trials of the shipped voices" in done.out
    entries = {each.key: each.value for each in onnx.load(model).metadata_props}
    stated = json.loads(entries["timbral"])
    assert stated["precision"] == "int8"
    assert 0 <= stated["parity"]["eer"] <= 1
    first, second = trial_recordings()[:2]
    answer = ask("verify", model, first, second, "--json")
    assert answer.code == 0, answer.err


@pytest.mark.parametrize("precision", ["int4", "INT8", ""])
def test_other_precisions_are_refused(precision: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not supported; allowed: fp32, fp16 or int8"):
        export("campplus-int8", tmp_path / "model.onnx", precision=precision)
