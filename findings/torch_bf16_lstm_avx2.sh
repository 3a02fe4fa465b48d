#!/usr/bin/env bash
# torch 2.13.0
#
# Guess, written down before: under torch.autocast("cpu", torch.bfloat16) an x86 processor without AVX-512 computes
# bfloat16 by emulation, slowly, for Linear, Conv1d, GRU and LSTM alike, in inference and in training.
# Seen: Linear and Conv1d do. LSTM raises RuntimeError ("could not create a primitive descriptor for the LSTM forward
# propagation primitive"), in both. GRU computes in float32 without a word. torch.ops.mkldnn._is_mkldnn_bf16_supported()
# is False there, and nothing public says so: torch.cpu has no such question, and the first layers of a network pass.
# Who is hurt: whoever serves an LSTM d-vector (GE2E: Resemblyzer, Real-Time-Voice-Cloning, PaddleSpeech) in bf16, tried
# it on a new server, and starts it on one with AVX2 alone: it loads, and fails at the first utterance. With a TDNN the
# same setting works, only slower than float32.
# What to do: ask for the device before choosing bf16, as oneDNN does, and take float32 where it says no.
#
# ONEDNN_MAX_CPU_ISA=AVX2 lets oneDNN treat a newer processor as such a one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0
ONEDNN_MAX_CPU_ISA=AVX2 "$folder/venv/bin/python" - <<'PYTHON'
import platform
import warnings

warnings.filterwarnings("ignore")
import torch

if platform.machine().lower() not in ("x86_64", "amd64"):
    raise SystemExit("this is about x86 processors")
torch.manual_seed(0)
frames = torch.randn(4, 50, 40)
layers = {
    "Linear": torch.nn.Linear(40, 8),
    "Conv1d": torch.nn.Conv1d(50, 8, 5),
    "GRU": torch.nn.GRU(40, 16, batch_first=True),
    "LSTM": torch.nn.LSTM(40, 16, batch_first=True),
}


def outcome(layer: torch.nn.Module, training: bool) -> str:
    try:
        with torch.set_grad_enabled(training), torch.autocast("cpu", torch.bfloat16):
            made = layer(frames)
            made = made[0] if isinstance(made, tuple) else made
        if training:
            made.float().square().mean().backward()
    except RuntimeError as error:
        return str(error).partition(".")[0]
    return str(made.dtype)


descriptor = "could not create a primitive descriptor for the LSTM forward propagation primitive"
expected = {
    "Linear": "torch.bfloat16",
    "Conv1d": "torch.bfloat16",
    "GRU": "torch.float32",
    "LSTM": descriptor,
}
for training in (False, True):
    seen = {name: outcome(layer, training) for name, layer in layers.items()}
    print("training" if training else "inference", seen)
    assert seen == expected, seen
PYTHON
echo "as described"
