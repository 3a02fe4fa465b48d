#!/usr/bin/env bash
# onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6
#
# Guess, written down before: onnxruntime's dynamic quantization has one scale of activations for a whole batch, so
# the vector of a quiet voice changes a little beside a loud one: to a cosine of 0.95 or so to its own vector.
# Seen: a d-vector LSTM on mel powers (as Resemblyzer, Real-Time-Voice-Cloning and PaddleSpeech feed theirs), random
# weights, keeps 0.99 to float32 when a voice is alone. Beside one recording that is 10 dB louder the vectors of the
# others have cosines of 0.51 to 0.997 to their own, beside one that is 20 dB louder 0 to 0.9, beside one that is 30 dB
# louder they are all zeros. In float32 batch mates change nothing. Nothing raises.
# Who is hurt: whoever quantizes a speaker encoder (a fourth of the size, several times as fast), measures it one
# recording at a time, and then runs it in batches.
# What to do: give a dynamically quantized encoder one recording at a time, or features of one level (log mels minus
# their mean, raised RMS level), or quantize statically; measure it in batches of unlike levels.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

folder = Path(sys.argv[1])
UNITS, MELS, FRAMES, LAYERS, VOICES = 256, 40, 160, 3, 8
generator = np.random.default_rng(0)


def orthogonal(rows, columns):
    square, _ = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
    return (square if rows >= columns else square.T).astype(np.float32)


nodes = [helper.make_node("Transpose", ["mels"], ["layer0"], perm=[1, 0, 2])]
values = {"one": np.array([1]), "last": np.array(-1), "projection": orthogonal(UNITS, UNITS)}
for layer in range(LAYERS):
    size = UNITS if layer else MELS
    values[f"W{layer}"] = np.concatenate([orthogonal(UNITS, size) for _ in range(4)])[None]
    values[f"R{layer}"] = np.concatenate([orthogonal(UNITS, UNITS) for _ in range(4)])[None]
    values[f"B{layer}"] = np.zeros((1, 8 * UNITS), np.float32)
    inputs = [f"layer{layer}", f"W{layer}", f"R{layer}", f"B{layer}"]
    nodes.append(helper.make_node("LSTM", inputs, [f"all{layer}"], hidden_size=UNITS))
    nodes.append(helper.make_node("Squeeze", [f"all{layer}", "one"], [f"layer{layer + 1}"]))
nodes.append(helper.make_node("Gather", [f"layer{LAYERS}", "last"], ["state"], axis=0))
nodes.append(helper.make_node("MatMul", ["state", "projection"], ["vector"]))
graph = helper.make_graph(
    nodes,
    "d-vector",
    [helper.make_tensor_value_info("mels", TensorProto.FLOAT, ["batch", FRAMES, MELS])],
    [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", UNITS])],
    [numpy_helper.from_array(value, name) for name, value in values.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnx.save(model, folder / "float.onnx")
quantize_dynamic(folder / "float.onnx", folder / "int8.onnx", weight_type=QuantType.QInt8)


def voice(seed, decibels):
    """Mel powers (F, M) of something like speech: a smooth spectrum, syllables, random powers."""
    own = np.random.default_rng(seed)
    spectrum = np.exp(1.2 * np.cumsum(own.standard_normal(MELS)) / 5)
    syllables = np.exp(np.repeat(own.standard_normal(FRAMES // 8), 8))[:, None]
    powers = spectrum * syllables * own.exponential(1, (FRAMES, MELS))
    return (0.05 * 10 ** (decibels / 10) * powers / powers.mean()).astype(np.float32)


def unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


alone, beside = {}, {}
voices = [voice(seed, 0) for seed in range(VOICES)]
for kind in ("float", "int8"):
    session = onnxruntime.InferenceSession(str(folder / f"{kind}.onnx"), providers=["CPUExecutionProvider"])
    alone[kind] = unit(np.concatenate([session.run(None, {"mels": mels[None]})[0] for mels in voices]))
    for louder in (0, 10, 20, 30):
        batch = np.stack([*voices, voice(99, louder)])
        vectors = unit(session.run(None, {"mels": batch})[0][:VOICES])
        beside[kind, louder] = (vectors * alone[kind]).sum(1)
        print(f"{kind}, beside one that is {louder} dB louder: cosine to the own vector "
              f"{beside[kind, louder].min():.4f} to {beside[kind, louder].max():.4f}")
own = (alone["float"] * alone["int8"]).sum(1).min()
print(f"int8 alone against float: {own:.4f} or more")
ok = (
    own > 0.98
    and min(beside["float", louder].min() for louder in (0, 10, 20, 30)) > 0.9999
    and beside["int8", 20].min() < 0.9
    and beside["int8", 30].max() < 0.5
)
sys.exit(0 if ok else "the behavior has changed: batch mates matter less now")
PYTHON
