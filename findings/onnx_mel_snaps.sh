#!/usr/bin/env bash
# onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6
#
# Guess, written down before: ONNX's own operator MelWeightMatrix makes the usual triangles of the HTK mel scale, as
# librosa (htk=True) and TensorFlow do, to 1e-3.
# Seen: it rounds each triangle's three corners down to FFT bins. With 80 bands over 512 points at 16 kHz some bands
# are exact copies of their neighbors, weights differ by up to 1.0, and mean log energies of white noise differ by
# up to 0.4 (natural log) in the lowest 20 bands. onnx's reference evaluator does the same, so comparing the two
# engines finds nothing.
# Who is hurt: whoever exports an encoder with its front-end in standard operators. The network gets other low bands
# than it was trained on, where the pitch is, and nothing raises.
# What to do: put the filter bank of the training front-end into the graph as a constant and multiply by it; compare
# features, not only the network.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

BANDS, POINTS, RATE, LOW, HIGH = 80, 512, 16000, 20.0, 7600.0

values = {
    "bands": np.array(BANDS, np.int64),
    "points": np.array(POINTS, np.int64),
    "rate": np.array(RATE, np.int64),
    "low": np.array(LOW, np.float32),
    "high": np.array(HIGH, np.float32),
}
graph = helper.make_graph(
    [helper.make_node("MelWeightMatrix", list(values), ["weights"])],
    "mel",
    [],
    [helper.make_tensor_value_info("weights", TensorProto.FLOAT, None)],
    [numpy_helper.from_array(value, name) for name, value in values.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
weights = session.run(None, {})[0]
reference = ReferenceEvaluator(model).run(None, {})[0]

edges = np.linspace(2595 * np.log10(1 + LOW / 700), 2595 * np.log10(1 + HIGH / 700), BANDS + 2)
edges = 700 * (10 ** (edges / 2595) - 1)
hertz = np.arange(POINTS // 2 + 1)[:, None] * RATE / POINTS
rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
triangles = np.maximum(0, np.minimum(rising, falling))

generator = np.random.default_rng(0)
frames = generator.standard_normal((2000, 400)) * np.hanning(400)
power = np.abs(np.fft.rfft(frames, POINTS)) ** 2
difference = np.abs(np.log(power @ weights).mean(0) - np.log(power @ triangles).mean(0))
copies = [band for band in range(1, BANDS) if np.array_equal(weights[:, band], weights[:, band - 1])]

print(f"bands that are copies of the one below: {copies}; among the triangles: "
      f"{[b for b in range(1, BANDS) if np.array_equal(triangles[:, b], triangles[:, b - 1])]}")
print(f"largest difference of a weight: {np.abs(weights - triangles).max():.3f}")
print(f"log energy of white noise, difference: bands 0-19 mean {difference[:20].mean():.2f} max {difference[:20].max():.2f}, "
      f"bands 60-79 mean {difference[60:].mean():.2f}")
print(f"onnxruntime against onnx's reference evaluator: {np.abs(weights - reference).max():.1e}")
ok = copies and difference[:20].max() > 0.2 and np.abs(weights - reference).max() < 1e-6
sys.exit(0 if ok else "the behavior has changed: the weights are near the triangles now")
PYTHON
