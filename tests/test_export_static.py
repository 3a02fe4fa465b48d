"""Exported models that compute in 8 bits: ranges from a corpus, which products, and refusals."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch
from onnx import TensorProto, helper, numpy_helper

from conftest import SMALL, Ask
from timbral import api
from timbral.data.sources import find_utterances
from timbral.encoders.registry import ENCODERS
from timbral.errors import CheckpointError, ConfigError, DataError
from timbral.exporting import byte_activations
from timbral.exporting.byte_activations import quantize_activations
from timbral.exporting.export_encoder import export
from timbral.exporting.shipped_trials import trial_recordings
from timbral.inference.embedder import Embedder


@pytest.fixture(autouse=True)
def quick(quick_parity: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured on few, short recordings; products of small encoders count."""
    monkeypatch.setattr(byte_activations, "LEAST_WEIGHTS", 256)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Nine recordings of a second and one that is no audio."""
    generator = np.random.default_rng(0)
    for number in range(9):
        path = tmp_path / "corpus" / f"speaker{number % 3}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * generator.standard_normal(16_000), 16_000)
    (path.parent / "broken.wav").write_text("no audio")
    return tmp_path / "corpus"


def made(name: str) -> Embedder:
    torch.manual_seed(3)
    return Embedder(ENCODERS[name](SMALL[name]).eval(), license="MIT")


def test_export_with_a_corpus_computes_products_in_8_bits(
    ask: Ask, corpus: Path, tmp_path: Path
) -> None:
    plain, model = made("tdnn"), tmp_path / "model.onnx"
    plain.save(tmp_path / "encoder")
    words = ["--output", model, "--precision", "int8", "--calibrate", corpus]
    done = ask("export", tmp_path / "encoder", *words)
    assert done.code == 0, done.err
    assert "products in 8 bits" in done.out
    assert "EER on 66 trials" in done.out
    proto = onnx.load(model)
    onnx.checker.check_model(proto)
    kinds = Counter(node.op_type for node in proto.graph.node)
    stated = json.loads({e.key: e.value for e in proto.metadata_props}["timbral"])
    assert (stated["precision"], kinds["QuantizeLinear"] > 0) == ("int8-static", True)
    assert kinds["QuantizeLinear"] <= stated["num_products"]
    loaded = api.load_encoder(model)
    assert loaded.precision == "int8-static"
    recordings = [str(path) for path in trial_recordings()[:2]]
    cosines = (loaded.encode(recordings) * plain.encode(recordings)).sum(1)
    assert 0.95 < cosines.min() < 1.0
    alone = [loaded.encode(each) for each in recordings]
    assert np.array_equal(loaded.encode(recordings), np.stack(alone))


def test_what_goes_with_a_corpus(ask: Ask, corpus: Path, tmp_path: Path) -> None:
    for words, said in (
        (("--output", "a.onnx"), "the precision is fp32; add precision int8"),
        (("--output", "a.onnx", "--precision", "fp16"), "the precision is fp16; add precision"),
        (("--web", "page", "--precision", "int8"), "--calibrate is only for --output"),
        (("--sherpa", "a.onnx", "--precision", "int8"), "--calibrate is only for --output"),
    ):
        answer = ask("export", "campplus-int8", *words, "--calibrate", corpus)
        assert (answer.code, said in answer.err) == (2, True), answer.err
    answer = ask("export", "campplus-int8", "--output", "a.onnx", "--layout", "tree")
    assert (answer.code, "--layout is only for the corpus" in answer.err) == (2, True)
    words = ["--output", tmp_path / "a.onnx", "--precision", "int8", "--calibrate"]
    answer = ask("export", "campplus-int8", *words, tmp_path / "nothing")
    assert answer.code == 2
    assert "nothing" in answer.err
    (tmp_path / "empty").mkdir()
    answer = ask("export", "campplus-int8", *words, tmp_path / "empty")
    assert (answer.code, "Traceback" in answer.err) == (2, False)


def test_too_few_recordings(corpus: Path, tmp_path: Path) -> None:
    rows = [row for row in find_utterances(corpus) if "speaker2" in row.path]
    with pytest.raises(DataError, match=r"only 3 of 4 recordings can be used; 8 are.*broken"):
        export(made("tdnn"), tmp_path / "a.onnx", precision="int8", calibrate=rows)
    with pytest.raises(DataError, match="the corpus: only 0 of 0 recordings"):
        export(made("tdnn"), tmp_path / "a.onnx", precision="int8", calibrate=[])
    with pytest.raises(ConfigError, match="the precision is fp32"):
        export(made("tdnn"), tmp_path / "a.onnx", calibrate=corpus)
    assert not (tmp_path / "a.onnx").exists()


def product(rows_per_second: int) -> onnx.ModelProto:
    """Waves in frames, of which a product makes as many outputs."""
    width = 16_000 // rows_per_second
    weights = np.random.default_rng(0).normal(size=(8, width)).astype(np.float32)
    nodes = [
        helper.make_node("Reshape", ["waves", "shape"], ["frames"]),
        helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["frames", "turned"], ["vectors"]),
        helper.make_node("Identity", ["lengths"], ["unused"]),
    ]
    given = [
        helper.make_tensor_value_info("waves", TensorProto.FLOAT, [1, "samples"]),
        helper.make_tensor_value_info("lengths", TensorProto.INT64, [1]),
    ]
    result = [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, None)]
    tensors = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.array([-1, width], np.int64), "shape"),
    ]
    graph = helper.make_graph(nodes, "g", given, result, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_product_is_off_by_its_steps() -> None:
    """On processors without VNNI, too, which add two products in 16 bits."""
    wave = np.random.default_rng(1).uniform(-1, 1, 16_000).astype(np.float32)
    given = {"waves": wave[None], "lengths": np.array([16_000])}
    plain, quantized = product(100), product(100)
    assert quantize_activations(quantized, [wave], 16_000, Path("a.onnx")) == 1
    assert {tensor.name for tensor in quantized.graph.initializer}.isdisjoint({"w"})
    expected, found = (
        onnxruntime.InferenceSession(each.SerializeToString()).run(["vectors"], given)[0]
        for each in (plain, quantized)
    )
    assert 0 < np.abs(found - expected).max() < 0.03 * np.abs(expected).max()


def test_products_of_segments_and_recurrent_layers_stay() -> None:
    wave = np.ones(16_000, np.float32)
    with pytest.raises(CheckpointError, match=r"a.onnx: .* no products over frames"):
        quantize_activations(product(10), [wave], 16_000, Path("a.onnx"))
    with pytest.raises(CheckpointError, match="no products over frames"):  # all that it saw is 0
        quantize_activations(product(100), [0 * wave], 16_000, Path("a.onnx"))
