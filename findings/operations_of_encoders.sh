#!/usr/bin/env bash
# torch 2.13.0, torchinfo 1.8.0, ptflops 0.7.5, torch-pruning 1.6.1, ultralytics-thop 2.2.3, numpy 2.4.6
#
# Guess, written down before: what counts the multiplications of a network, for tables in which encoders are compared, is within
# 5 % of the formula for layers that encoders are made of, or says that it cannot count one.
# Seen: convolutions are right everywhere, and the rest, without a word:
# torch's FlopCounterMode finds 0 in nn.LSTM, in training as in inference, so that a d-vector (GE2E) costs a projection; and 0
# in nn.TransformerEncoderLayer after eval() under no_grad(), 85 % of it in training.
# torchinfo counts a linear layer once and not once a frame: a TDNN of linear layers over 200 frames costs 1/200, and so
# does attention, whose products and projections it leaves out altogether.
# ptflops: its default (aten) finds 0 in nn.LSTM too and 85 % of the transformer; backend="pytorch" counts both, but an
# LSTM of (time, batch, bands), torch's own order, as a single frame.
# torch-pruning's count_ops_and_params counts an LSTM 40 times, and one of (time, batch, bands) as 1/1000.
# thop in the fork of ultralytics is within 6 % in all of them (thop itself has 57 % of the transformer).
# Who is hurt: who reads "0.1 GMACs" of an LSTM or a transformer beside the "1 GMAC" of a convolutional encoder, and chooses by it;
# and utilization, which is the operations over the time.
# What to do: count by hand where there is a recurrent layer or attention, or with that, and compare with the time taken.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.4.6
"${pip[@]}" --no-deps torchinfo==1.8.0 ptflops==0.7.5 torch-pruning==1.6.1 ultralytics-thop==2.2.3 tqdm==4.67.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import contextlib
import copy
import io
import sys

import ptflops
import thop
import torch
import torch_pruning
import torchinfo
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

torch.set_num_threads(1)
FRAMES, BANDS, UNITS, SIZE, HEADS, WIDE = 200, 40, 256, 192, 4, 768


class LastState(nn.Module):
    """A d-vector: the last state of an LSTM, projected."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, UNITS, 3, batch_first=batch_first)
        self.last = nn.Linear(UNITS, UNITS)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.last(self.lstm(frames)[1][0][-1])


convolutions = nn.Sequential(nn.Conv1d(BANDS, UNITS, 5, padding=2, bias=False), nn.ReLU(),
                             nn.Conv1d(UNITS, UNITS, 3, padding=2, dilation=2, bias=False), nn.ReLU())
frames_alone = nn.Sequential(nn.Linear(BANDS, UNITS), nn.ReLU(), nn.Linear(UNITS, UNITS), nn.ReLU())
transformer = nn.TransformerEncoderLayer(SIZE, HEADS, WIDE, dropout=0, batch_first=True)
recurrent = FRAMES * 4 * UNITS * (BANDS + 5 * UNITS) + UNITS**2
ENCODERS = {  # the network, the shape that it takes, its multiplications by the formula
    "convolutions": (convolutions, (1, BANDS, FRAMES), FRAMES * UNITS * (5 * BANDS + 3 * UNITS)),
    "linear layers over frames": (frames_alone, (1, FRAMES, BANDS), FRAMES * UNITS * (BANDS + UNITS)),
    "LSTM": (LastState(True), (1, FRAMES, BANDS), recurrent),
    "LSTM, time first": (LastState(False), (FRAMES, 1, BANDS), recurrent),
    "transformer layer": (transformer, (1, FRAMES, SIZE), FRAMES * (4 * SIZE**2 + 2 * SIZE * WIDE + 2 * FRAMES * SIZE)),
}


def flop_counter(network: nn.Module, frames: torch.Tensor) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(frames)
    return counter.get_total_flops() / 2


def flop_counter_training(network: nn.Module, frames: torch.Tensor) -> float:
    with FlopCounterMode(display=False) as counter:
        network.train()(frames)
    return counter.get_total_flops() / 2


def in_ptflops(backend: str, network: nn.Module, frames: torch.Tensor) -> float:
    found, _ = ptflops.get_model_complexity_info(network, tuple(frames.shape[1:]), as_strings=False, verbose=False,
                                                 print_per_layer_stat=False, backend=backend,
                                                 input_constructor=lambda shape: frames)
    return found


TOOLS = {
    "FlopCounterMode": flop_counter,
    "FlopCounterMode, training": flop_counter_training,
    "torchinfo": lambda network, frames: torchinfo.summary(network, input_data=frames, verbose=0).total_mult_adds,
    "ptflops": lambda network, frames: in_ptflops("aten", network, frames),
    "ptflops, pytorch": lambda network, frames: in_ptflops("pytorch", network, frames),
    "torch-pruning": lambda network, frames: torch_pruning.utils.count_ops_and_params(network, frames)[0],
    "thop": lambda network, frames: thop.profile(network, inputs=(frames,), verbose=False)[0],
}
share = {}
for name, (network, shape, formula) in ENCODERS.items():
    for tool, count in TOOLS.items():
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            share[tool, name] = count(copy.deepcopy(network).eval(), torch.randn(shape)) / formula
    counts = ", ".join(f"{tool} {share[tool, name]:.3g}" for tool in TOOLS)
    print(f"{name}, {formula / 1e6:.0f} million; counted of 1: {counts}")
right = 0.94, 1.06
ok = all(right[0] < share[tool, "convolutions"] < right[1] for tool in TOOLS)
ok &= all(right[0] < share["thop", name] < right[1] for name in ENCODERS)
few = [
    ("FlopCounterMode", "LSTM"), ("FlopCounterMode, training", "LSTM"), ("FlopCounterMode", "transformer layer"),
    ("torchinfo", "linear layers over frames"), ("torchinfo", "transformer layer"), ("ptflops", "LSTM"),
    ("ptflops, pytorch", "LSTM, time first"), ("torch-pruning", "LSTM, time first"),
]
ok &= all(share[pair] < 0.02 for pair in few) and share["torch-pruning", "LSTM"] > 10
sys.exit(0 if ok else "the behavior has changed: some of them count recurrent layers, frames or attention")
PYTHON
