#!/usr/bin/env bash
# MNN 3.6.1, onnx 1.23.2, numpy 2.4.6
#
# Guess, written down before: [module.forward(x).read() for x in recordings] holds each recording's own vector.
# Seen: all are the last recording's. read() of an output and getNumpyData() of a session's output hand out views of memory
# that MNN fills again in the next run, and that nobody keeps for the array (its base is None); their help says "read
# data(numpy)" and "get tensor data (numpy)". So one = net.forward(x).read(), two = net.forward(y).read() have a cosine of 1,
# whoever speaks. Recordings of one or of several lengths, no difference. Each vector is right until the next run, so
# that printing them finds nothing. getData() of a session's output (a tuple) is a copy.
# Who is hurt: whoever enrolls, collects or compares vectors with MNN from Python: all trials score 1 (an EER of 50 %), a
# gallery holds one voice under all names.
# What to do: module.forward(x).read().copy(), at once; or keep the outputs (Var) as long as their arrays.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check MNN==3.6.1 onnx==1.23.2 numpy==2.4.6
cd "$folder"
cat > model.py <<'PYTHON'
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BANDS, SIZE = 40, 64
weights = np.random.default_rng(0).standard_normal((BANDS, SIZE)).astype("float32")
graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "weights"], ["layer"]), helper.make_node("Tanh", ["layer"], ["bounded"]),
     helper.make_node("ReduceMean", ["bounded"], ["y"], axes=[1], keepdims=0)],
    "encoder",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "frames", BANDS])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, SIZE])],
    [numpy_helper.from_array(weights, "weights")],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), "encoder.onnx")
np.save("weights.npy", weights)
PYTHON
"$folder/venv/bin/python" model.py
"$folder/venv/bin/python" -m MNN.tools.mnnconvert -f ONNX --modelFile encoder.onnx --MNNModel encoder.mnn \
  --bizCode encoder > convert.txt 2>&1 || { cat convert.txt; exit 1; }
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import MNN
import numpy as np
from MNN import expr, nn

generator = np.random.default_rng(1)
weights = np.load("weights.npy")
RECORDINGS = 20


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def whose(vector: np.ndarray, expected: list[np.ndarray]) -> int | None:
    """The recording that a vector is of."""
    return next((number for number, right in enumerate(expected) if np.allclose(vector, right, atol=1e-3)), None)


net = nn.load_module_from_file("encoder.mnn", ["x"], ["y"])
interpreter = MNN.Interpreter("encoder.mnn")
session = interpreter.createSession()
given = interpreter.getSessionInput(session)


def forward(recording: np.ndarray) -> expr.Var:
    return net.forward(expr.const(recording, list(recording.shape), expr.NCHW))


def run(recording: np.ndarray) -> MNN.Tensor:
    data = (recording.shape, MNN.Halide_Type_Float, recording, MNN.Tensor_DimensionType_Caffe)
    given.copyFrom(MNN.Tensor(*data))
    interpreter.runSession(session)
    return interpreter.getSessionOutput(session)


ok, last = True, RECORDINGS - 1
for title, lengths in (("one length", [200] * RECORDINGS), ("several lengths", range(100, 100 + 10 * RECORDINGS, 10))):
    recordings = [generator.standard_normal((1, frames, 40)).astype("float32") for frames in lengths]
    expected = [np.tanh(recording[0] @ weights).mean(0) for recording in recordings]
    outputs = [forward(recording) for recording in recordings]
    vectors = {
        "read() of outputs that are kept": [output.read()[0] for output in outputs],
        "forward(x).read().copy()": [forward(recording).read().copy()[0] for recording in recordings],
        "forward(x).read()": [forward(recording).read()[0] for recording in recordings],
    }
    if title == "one length":
        interpreter.resizeTensor(given, recordings[0].shape)
        interpreter.resizeSession(session)
        vectors["session, getData()"] = [np.array(run(recording).getData()) for recording in recordings]
        vectors["session, getNumpyData()"] = [run(recording).getNumpyData()[0] for recording in recordings]
    for way, found in vectors.items():
        names = [whose(vector, expected) for vector in found]
        print(f"{title}, {way}: vectors of {len(set(names))} recordings; first and second have a cosine of "
              f"{cosine(found[0], found[1]):+.2f}, truly {cosine(expected[0], expected[1]):+.2f}")
        view = way in ("forward(x).read()", "session, getNumpyData()")
        ok &= names == ([last] * RECORDINGS if view else list(range(RECORDINGS)))
sys.exit(0 if ok else "the behavior has changed: a vector that was read stays its recording's")
PYTHON
