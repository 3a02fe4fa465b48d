#!/usr/bin/env bash
# openvino 2026.4.1, numpy 2.4.6
#
# Guess, written down before: vectors of 200 recordings, made by OpenVINO on a CPU by a call (compiled(x)), by requests and by
# AsyncInferQueue in turn, are each the vector of their own recording; and what was handed to a call stays what it is.
# Seen: a call takes the array as the model's input, without a copy (share_inputs=True is its default), and keeps it after it has
# returned. The next inference in any other way (a request, made before or after, AsyncInferQueue, infer_new_request, or a
# call with share_inputs=False) copies its own recording into that array, the caller's. An enrolled recording of 3 s that was
# embedded by a call is, after a test of 3 s by a request, the test: embedded again it has a cosine of 1 to the test's vector,
# and about 0 to its own. A shorter test replaces the beginning; with a longer one nothing happens. Only calls
# after calls leave it alone. Nothing is said. 2025.3.0 did the same.
# Who is hurt: whoever warms a model up, or embeds the enrollment, by compiled(x) and goes on by requests or the queue, and
# uses the features again (windows, another model, augmentation, an average): they are somebody else's, and a window that is a
# view of a recording is overwritten in the recording itself.
# What to do: one way of asking for a compiled model; or compiled(x, share_inputs=False) for calls, or compiled(x.copy()).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check openvino==2026.4.1 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
from collections.abc import Callable

import numpy as np
import openvino
import openvino.opset13 as operators

BANDS, SIZE, FRAMES = 80, 192, 300
generator = np.random.default_rng(0)
weights = generator.standard_normal((BANDS, SIZE)).astype("float32")
features = operators.parameter([1, -1, BANDS], np.float32)
mean = operators.tanh(operators.reduce_mean(features, operators.constant(np.array([1])), False))
encoder = openvino.Model([operators.matmul(mean, operators.constant(weights), False, False)], [features], "encoder")
core = openvino.Core()


def recording(frames: int = FRAMES) -> np.ndarray:
    return generator.standard_normal((1, frames, BANDS)).astype("float32")


def vector(recording: np.ndarray) -> np.ndarray:
    return np.tanh(recording.mean(1))[0] @ weights


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def by_queue(compiled: openvino.CompiledModel, test: np.ndarray) -> None:
    queue = openvino.AsyncInferQueue(compiled, 2)
    queue.start_async({0: test})
    queue.wait_all()


Way = Callable[[openvino.CompiledModel, np.ndarray], object]
WAYS: dict[str, tuple[Way, int, str]] = {
    "create_infer_request().infer": (lambda compiled, test: compiled.create_infer_request().infer(test), FRAMES, "all"),
    "the same, 1 s": (lambda compiled, test: compiled.create_infer_request().infer(test), 100, "its beginning"),
    "the same, 4 s": (lambda compiled, test: compiled.create_infer_request().infer(test), 400, "nothing"),
    "AsyncInferQueue": (by_queue, FRAMES, "all"),
    "infer_new_request": (lambda compiled, test: compiled.infer_new_request(test), FRAMES, "all"),
    "call, share_inputs=False": (lambda compiled, test: compiled(test, share_inputs=False), FRAMES, "all"),
    "call": (lambda compiled, test: compiled(test), FRAMES, "nothing"),
}
ok = True
for name, (way, frames, expected) in WAYS.items():
    compiled = core.compile_model(encoder, "CPU", {"INFERENCE_NUM_THREADS": 1})
    enrolled, test = recording(), recording(frames)
    before = enrolled.copy()
    compiled(enrolled)
    way(compiled, test)
    count = min(frames, FRAMES)
    if np.array_equal(enrolled, before):
        replaced = "nothing"
    elif np.array_equal(enrolled[:, :count], test[:, :count]):
        replaced = "all" if count == FRAMES else "its beginning"
    else:
        replaced = "something else"
    print(f"a call, then {name}: of the first recording {replaced} is the second's; cosine of its vector to its own "
          f"{cosine(vector(enrolled), vector(before)):+.2f}, to the second's {cosine(vector(enrolled), vector(test)):+.2f}")
    ok &= replaced == expected
sys.exit(0 if ok else "the behavior has changed: what was handed to a call stays, or goes in another way")
PYTHON
