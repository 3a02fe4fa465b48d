#!/usr/bin/env bash
# onnx2tf 2.6.9 (ai-edge-litert 2.1.2, onnx 1.20.1, onnxruntime 1.26.0, numpy 2.2.6); needs Python 3.12
#
# Guess, written down before: an ONNX d-vector (LSTM, last state) whose time is a free axis, as exporters write it, becomes a
# LiteRT file that gives onnxruntime's vectors for any length, or it is refused.
# Seen: with a fixed number of frames it does. With time free it converts, runs at any length, says nothing, and reads the first
# frame alone: the vector is that of the first 10 ms to the last digits (one layer as two, batch free or one). Bidirectional
# layers are right so, or refused. Random weights, made frames: cosines to the right vectors of -0.2 to 0.86, EER 25 to 30 %
# instead of 7 to 10 %, where a voice can be told from one frame better than in speech.
# Who is hurt: whoever takes a d-vector (GE2E) encoder to phones: the file is small and fast, and scores are above chance.
# What to do: convert it with a fixed number of frames (windows of 160, as d-vectors are made), or compare two lengths before.
set -euo pipefail
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' ||
  { echo 'Python 3.12 is needed: PYTHON=python3.12 bash ...' >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check onnx2tf==2.6.9 onnx==1.20.1 onnxruntime==1.26.0 numpy==2.2.6 \
  ai-edge-litert==2.1.2
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON' 2> >(grep -v -e XNNPACK -e '^WARNING' >&2)
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper, numpy_helper

BANDS, UNITS, VOICES, FRAMES = 24, 64, 60, 100
generator = np.random.default_rng(0)
voices = generator.standard_normal((VOICES, 1, BANDS))


def record(length: int) -> list[np.ndarray]:
    return [(voice + 1.5 * generator.standard_normal((length, BANDS)))[None].astype("float32") for voice in voices]


def write(path: str, layers: int, time: int | str) -> None:
    """An encoder of (1, time, bands), as torch's exporter writes it: the last of its last LSTM's outputs."""
    nodes = [helper.make_node("Transpose", ["frames"], ["layer0"], perm=[1, 0, 2])]
    values = {"one": np.array([1]), "zero": np.array([0]), "last": np.array(-1), "units": np.array([UNITS])}
    nodes += [
        helper.make_node("Shape", ["frames"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Concat", ["one", "batch", "units"], ["start shape"], axis=0),
        helper.make_node("ConstantOfShape", ["start shape"], ["start"]),
    ]
    for layer in range(layers):
        size = UNITS if layer else BANDS
        for name, shape in (("W", (1, 4 * UNITS, size)), ("R", (1, 4 * UNITS, UNITS)), ("B", (1, 8 * UNITS))):
            values[f"{name}{layer}"] = (UNITS**-0.5 * generator.uniform(-1, 1, shape)).astype("float32")
        names = [f"layer{layer}", f"W{layer}", f"R{layer}", f"B{layer}", "", "start", "start"]
        nodes.append(helper.make_node("LSTM", names, [f"all{layer}", f"state{layer}"], hidden_size=UNITS))
        nodes.append(helper.make_node("Squeeze", [f"all{layer}", "one"], [f"layer{layer + 1}"]))
    nodes.append(helper.make_node("Transpose", [f"layer{layers}"], ["states"], perm=[1, 0, 2]))
    nodes.append(helper.make_node("Gather", ["states", "last"], ["vector"], axis=1))
    graph = helper.make_graph(
        nodes, "encoder",
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, [1, time, BANDS])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, UNITS])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def convert(path: str) -> str:
    program = Path(sys.executable).parent / "onnx2tf"
    command = [program, "-i", path, "-o", "converted", "-v", "error"]
    subprocess.run(command, check=True, capture_output=True)
    return f"converted/{Path(path).stem}_float32.tflite"


def run(path: str, recordings: list[np.ndarray]) -> np.ndarray:
    interpreter = Interpreter(path)
    number = interpreter.get_input_details()[0]["index"]
    recordings = [frames.transpose(0, 2, 1) for frames in recordings]  # onnx2tf's files take them so
    interpreter.resize_tensor_input(number, recordings[0].shape)
    interpreter.allocate_tensors()
    vectors = []
    for frames in recordings:
        interpreter.set_tensor(number, frames)
        interpreter.invoke()
        vectors.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).copy())
    return np.concatenate(vectors)


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(one, axis=1)[:, None] * np.linalg.norm(other, axis=1)
    return one @ other.T / lengths


def equal_error_rate(enrolled: np.ndarray, tested: np.ndarray) -> float:
    center = enrolled.mean(0)
    scores = cosine(enrolled - center, tested - center)
    targets, others = np.sort(np.diag(scores)), np.sort(scores[~np.eye(VOICES, dtype=bool)])
    thresholds = np.concatenate([targets, others])
    missed = np.searchsorted(targets, thresholds) / len(targets)
    accepted = 1 - np.searchsorted(others, thresholds) / len(others)
    best = np.argmin(np.abs(missed - accepted))
    return 50 * (missed[best] + accepted[best])


ok = True
for layers in (1, 2):
    for time in (FRAMES, "time"):
        write("encoder.onnx", layers, time)
        session, converted = onnxruntime.InferenceSession("encoder.onnx"), convert("encoder.onnx")

        def right(recordings: list[np.ndarray]) -> np.ndarray:
            return np.concatenate([session.run(None, {"frames": frames})[0] for frames in recordings])

        for length in (FRAMES,) if time == FRAMES else (FRAMES, 30):
            recordings = record(length), record(length)
            truth, vectors = ([way(some) for some in recordings] for way in (right, lambda some: run(converted, some)))
            alike = np.diag(cosine(truth[0], vectors[0]))
            rates = equal_error_rate(*truth), equal_error_rate(*vectors)
            print(f"{layers} layers, time axis {time}, {length} frames: cosine to onnxruntime's vector {alike.min():.2f} to "
                  f"{alike.max():.2f}; EER {rates[1]:.1f} % instead of {rates[0]:.1f} %", end="")
            if time == FRAMES:
                print()
                ok &= alike.min() > 0.9999
            else:
                first = right([frames[:, :1] for frames in recordings[0]])
                to_first = np.diag(cosine(first, vectors[0])).min()
                print(f"; to that of the first frame alone {to_first:.4f} or more")
                ok &= np.median(alike) < 0.95 and rates[1] > rates[0] + 5
sys.exit(0 if ok else "the behavior has changed: all frames are read where time is a free axis")
PYTHON
