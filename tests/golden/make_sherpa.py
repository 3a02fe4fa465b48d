"""Filter banks as sherpa-onnx 2.0.1 gives them to its models of speakers.

    pip install sherpa-onnx==2.0.1 onnx==1.23.2 numpy
    python tests/golden/make_sherpa.py

A model whose vector is what it was given: the first frame, the mean of all, and the last one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import sherpa_onnx
from onnx import TensorProto, helper, numpy_helper

METADATA = {
    "framework": "3d-speaker",
    "language": "unknown",
    "output_dim": 240,
    "sample_rate": 16_000,
    "normalize_samples": 1,
}


def write_model(path: Path) -> None:
    bounds = {"zero": [0], "one": [1], "last": [-1], "end": [10**9], "shape": [1, 240]}
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Slice", ["x", "zero", "one", "one"], ["first"]),
        helper.make_node("Slice", ["x", "last", "end", "one"], ["final"]),
        helper.make_node("Concat", ["first", "mean", "final"], ["frames"], axis=1),
        helper.make_node("Reshape", ["frames", "shape"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "banks",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "T", 80])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 240])],
        [numpy_helper.from_array(np.array(value, np.int64), key) for key, value in bounds.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    for key, value in METADATA.items():
        model.metadata_props.add(key=key, value=str(value))
    onnx.save(model, path)


def main() -> None:
    random = np.random.default_rng(7)
    times = np.arange(5_000) / 16_000
    sweep = 0.1 * np.sin(2 * np.pi * (200 + 3_000 * times) * times)
    wave = (sweep + 0.02 * random.standard_normal(5_000)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "banks.onnx"
        write_model(path)
        config = sherpa_onnx.SpeakerEmbeddingExtractorConfig(model=str(path))
        extractor = sherpa_onnx.SpeakerEmbeddingExtractor(config)
        stream = extractor.create_stream()
        stream.accept_waveform(16_000, wave)
        stream.input_finished()
        banks = np.array(extractor.compute(stream), np.float32).reshape(3, 80)
    np.savez_compressed(Path(__file__).with_name("sherpa.npz"), wave=wave, banks=banks)


if __name__ == "__main__":
    main()
