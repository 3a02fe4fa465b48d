#!/usr/bin/env bash
# openvino 2026.4.1, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6
#
# Guess, written down before: OpenVINO computes an ONNX LSTM that is told the length of each sequence (sequence_lens), in
# a batch of recordings of different lengths, as onnxruntime does, to 1e-4. Written down later: onnx's own
# ReferenceEvaluator does so too, or raises.
# Seen: OpenVINO, on a CPU, where time or batch is a free axis of the model, as exporters write it, passes over the lengths:
# every recording is read to the end of the longest, padding included, and the state handed out is the one after the
# padding. LSTM, GRU and RNN alike, in both directions; nothing is said. With both axes fixed (model.reshape) the
# lengths count. One recording alone is right, so that a comparison with one recording finds nothing.
# The reference evaluator of onnx passes over them always, so that the two agree with each other to the last digits
# and only onnxruntime, which is right, differs.
# Who is hurt: whoever serves a d-vector (GE2E) encoder in batches with OpenVINO: a short recording's vector depends
# on the longest one beside it, and scores with them. Whoever checks it against the reference finds no fault.
# What to do: one recording at a time, batches of one length, or model.reshape to each batch's shape; or let the encoder
# gather its state from all frames' outputs, which for a forward LSTM are right up to the length. Compare with onnxruntime.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 \
  numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

MELS, UNITS, LENGTHS = 40, 256, np.array([400, 160, 80, 40], dtype=np.int32)
generator = np.random.default_rng(0)
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def write(path: str, kind: str, direction: str, time: int | str, batch: int | str) -> None:
    """An encoder of one recurrent layer: its output is the state after the last frame."""
    ways, rows = 1 + (direction == "bidirectional"), GATES[kind] * UNITS
    shapes = {"W": (ways, rows, MELS), "R": (ways, rows, UNITS), "B": (ways, 2 * rows)}
    weights = [
        numpy_helper.from_array((UNITS**-0.5 * generator.uniform(-1, 1, shape)).astype("float32"), name)
        for name, shape in shapes.items()
    ]
    names = ["frames", "W", "R", "B", "lengths"]
    node = helper.make_node(kind, names, ["", "state"], hidden_size=UNITS, direction=direction)
    inputs = [
        helper.make_tensor_value_info("frames", TensorProto.FLOAT, [time, batch, MELS]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, [batch]),
    ]
    outputs = [helper.make_tensor_value_info("state", TensorProto.FLOAT, [ways, batch, UNITS])]
    model = helper.make_model(helper.make_graph([node], "encoder", inputs, outputs, weights),
                              opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def vectors(state: np.ndarray) -> np.ndarray:
    flat = state.transpose(1, 0, 2).reshape(state.shape[1], -1)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


frames = generator.standard_normal((LENGTHS.max(), len(LENGTHS), MELS)).astype("float32") + 1
for number, length in enumerate(LENGTHS):
    frames[length:, number] = 0  # padding
given = {"frames": frames, "lengths": LENGTHS}
ok = True
for kind in GATES:
    for direction in ("forward", "bidirectional"):
        for time, batch in (("time", "batch"), ("time", 4), (400, "batch"), (400, 4)):
            write("encoder.onnx", kind, direction, time, batch)
            right = vectors(onnxruntime.InferenceSession("encoder.onnx").run(None, given)[0])
            model = openvino.Core().read_model("encoder.onnx")
            free = openvino.compile_model(model, "CPU")
            seen = np.sum(right * vectors(free(given)[0]), axis=1)
            is_free = isinstance(time, str) or isinstance(batch, str)
            print(f"{kind}, {direction}, axes {time} and {batch}: cosine to onnxruntime of the recordings of "
                  + ", ".join(f"{length / 100} s {cosine:.2f}" for length, cosine in zip(LENGTHS, seen)))
            ok &= seen[0] > 0.9999 and (seen[1:].max() < 0.99 if is_free else seen.min() > 0.9999)
            reference = vectors(ReferenceEvaluator("encoder.onnx").run(None, given)[0])
            alike = np.sum(right * reference, axis=1)
            print("  onnx's reference: " + ", ".join(f"{cosine:.2f}" for cosine in alike))
            ok &= alike[0] > 0.9999 and alike[1:].max() < 0.99
            if isinstance(time, str) and isinstance(batch, str):
                alone = np.concatenate([
                    vectors(free({"frames": frames[:length, [number]], "lengths": LENGTHS[[number]]})[0])
                    for number, length in enumerate(LENGTHS)
                ])
                model.reshape({"frames": [400, 4, MELS], "lengths": [4]})
                fixed = vectors(openvino.compile_model(model, "CPU")(given)[0])
                ok &= min(np.sum(right * alone, axis=1).min(), np.sum(right * fixed, axis=1).min()) > 0.9999
sys.exit(0 if ok else "the behavior has changed: lengths count with free axes, or in the reference, or not with fixed ones")
PYTHON
