#!/usr/bin/env bash
# onnxruntime 1.31.1, onnx 1.23.2, numpy 2.4.6
#
# Guess, written down before: a graph of ten thousand small operators opens slowly because of the optimizations; with
# ORT_DISABLE_ALL, or saved after optimization, it opens in a fraction of the time.
# Seen: neither helps. Which tensors may share memory is planned before the first run, and where sizes come from the
# data (B, T) that search takes quadratic time: four times the operators, more than eight times the processor time, 3 s
# for 3,000 and 50 s for 12,000 on a 2.5 GHz core. SessionOptions.enable_mem_reuse = False opens the same graph eight
# or more times faster and gives the same output.
# Who is hurt: whoever exports an encoder that masks padding (CAM++ with its masks and front-end: 10,600 operators)
# and starts a process a request, or scales out: each start takes 6 s more, and profiles blame "loading the model".
# What to do: enable_mem_reuse = enable_mem_pattern = False, or 1.32.0, which opens it in linear time; 1.20.1, 1.24.4,
# 1.28.0, 1.30.0 and 1.31.0 are as 1.31.1. Measure opening, not only runs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import time

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

LENGTH_AXIS = 2


def masked_layers(count: int) -> bytes:
    """Layers that read the length, drop the last frame and go on: six operators each."""
    names = {"one": 1, "axis": LENGTH_AXIS, "zero": 0}
    constants = [numpy_helper.from_array(np.array([v], np.int64), n) for n, v in names.items()]
    nodes, current = [], "waves"
    for layer in range(count):
        shape, length, end, cut, positive, following = (f"{part}{layer}" for part in "abcdef")
        nodes += [
            helper.make_node("Shape", [current], [shape]),
            helper.make_node("Gather", [shape, "axis"], [length]),
            helper.make_node("Sub", [length, "one"], [end]),
            helper.make_node("Slice", [current, "zero", end, "axis"], [cut]),
            helper.make_node("Relu", [cut], [positive]),
            helper.make_node("Neg", [positive], [following]),
        ]
        current = following
    waves = helper.make_tensor_value_info("waves", TensorProto.FLOAT, ["batch", 4, "frames"])
    output = helper.make_tensor_value_info(current, TensorProto.FLOAT, ["batch", 4, None])
    graph = helper.make_graph(nodes, "layers", [waves], [output], constants)
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def open_and_run(model: bytes, reuse: bool, optimize: bool = True) -> tuple[float, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_mem_reuse = reuse
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    started = time.process_time()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    seconds = time.process_time() - started
    waves = np.random.default_rng(0).standard_normal((1, 4, 2000)).astype(np.float32)
    return seconds, session.run(None, {"waves": waves})[0]


small, large = masked_layers(250), masked_layers(1000)
few, _ = open_and_run(small, reuse=True)
many, with_reuse = open_and_run(large, reuse=True)
plain, _ = open_and_run(large, reuse=True, optimize=False)
without, output = open_and_run(large, reuse=False)
print(f"1,500 operators: opened in {few:.2f} s")
print(f"6,000 operators: {many:.2f} s; without optimization {plain:.2f} s")
print(f"6,000 operators, enable_mem_reuse = False: {without:.2f} s, same output: {np.array_equal(with_reuse, output)}")
assert many > 8 * few, "opening is not quadratic any more"
assert plain > 4 * without, "the optimizations are what takes the time"
assert many > 8 * without, "planning the reuse of memory is not what takes the time any more"
assert np.array_equal(with_reuse, output)
PYTHON
