#!/usr/bin/env bash
# onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6
#
# Guess, written down before: vectors that are taken from one IOBinding, whose output is bound once by its name, as
# get_outputs()[0].numpy() or copy_outputs_to_cpu()[0], stay what they are when the next recording runs.
# Seen: on a CPU get_outputs()[0].numpy() is a view of a buffer that the next run fills again: of 20 recordings all 20 vectors are
# the last one's, and two of them have a cosine of 1. Each is right at the moment it is taken. OrtValues that are kept and
# made numpy later are the same. copy_outputs_to_cpu() copies, and so does session.run. Inputs are views too: bind_cpu_input and
# OrtValue.ortvalue_from_numpy keep the caller's array. 1.20.1 did the same. A batch of another size raises.
# Who is hurt: whoever binds inputs and outputs once to save copies (the recipe for a GPU, where numpy() has to copy) and runs the
# same code on a CPU: a gallery or a table of one vector under all names, or an enrollment that is the test.
# What to do: .numpy().copy(), or copy_outputs_to_cpu(); or bind_output anew for each recording.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$folder"
ORT_DISABLE_TELEMETRY=1 OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
from collections.abc import Callable

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

BANDS, SIZE, RECORDINGS = 80, 192, 20
generator = np.random.default_rng(0)
weights = generator.standard_normal((BANDS, SIZE)).astype("float32")
graph = helper.make_graph(
    [helper.make_node("ReduceMean", ["features"], ["mean"], axes=[1], keepdims=0),
     helper.make_node("MatMul", ["mean", "weights"], ["vector"])],
    "encoder",
    [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, "frames", BANDS])],
    [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, SIZE])],
    [numpy_helper.from_array(weights, "weights")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
recordings = [generator.standard_normal((1, int(frames), BANDS)).astype("float32")
              for frames in generator.integers(100, 400, RECORDINGS)]
own = np.stack([(recording.mean(1) @ weights)[0] for recording in recordings])


def embed(take: Callable[[onnxruntime.IOBinding], object], again: bool = False) -> tuple[int, int, np.ndarray]:
    """How many vectors are right when they are taken and in the end, and the vectors."""
    binding = session.io_binding()
    binding.bind_output("vector")
    taken, right = [], 0
    for recording, vector in zip(recordings, own, strict=True):
        if again:
            binding.clear_binding_outputs()
            binding.bind_output("vector")
        binding.bind_cpu_input("features", recording)
        session.run_with_iobinding(binding)
        taken.append(take(binding))
        right += np.allclose(as_numpy(taken[-1])[0], vector, atol=1e-3)
    vectors = np.stack([as_numpy(one)[0] for one in taken])
    return right, int(np.all(np.abs(vectors - own) < 1e-3, axis=1).sum()), vectors


def as_numpy(value: object) -> np.ndarray:
    return value.numpy() if isinstance(value, onnxruntime.OrtValue) else np.asarray(value)


ways = {
    "get_outputs()[0].numpy()": (embed(lambda binding: binding.get_outputs()[0].numpy()), True),
    "get_outputs()[0], numpy() later": (embed(lambda binding: binding.get_outputs()[0]), True),
    "get_outputs()[0].numpy().copy()": (embed(lambda binding: binding.get_outputs()[0].numpy().copy()), False),
    "copy_outputs_to_cpu()[0]": (embed(lambda binding: binding.copy_outputs_to_cpu()[0]), False),
    "get_outputs()[0].numpy(), bound anew": (embed(lambda binding: binding.get_outputs()[0].numpy(), again=True), False),
}
ok = True
for name, ((right, kept, vectors), spoiled) in ways.items():
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    print(f"{name}: {right} of {RECORDINGS} vectors right when taken, {kept} in the end; "
          f"least cosine of two recordings {(unit @ unit.T).min():+.2f}")
    ok &= right == RECORDINGS and kept == (1 if spoiled else RECORDINGS)
sys.exit(0 if ok else "the behavior has changed: what was taken from a binding stays what it is")
PYTHON
