#!/usr/bin/env bash
# kaldi_io 0.9.8, kaldiio 2.18.1, numpy 2.4.6
#
# Guess, written down before: what one library for Kaldi's archives writes, the others read equal, ranges in an scp file too.
# Seen: Kaldi's ranges include their end: windows of 1.5 s, as its x-vector diarization lays them out, are "feats.ark:2[0:149]",
# 150 frames. kaldi_io takes them for Python's: 149 frames, of columns 0:19 it gives 19, and of one frame, [7:7], none. kaldiio
# reads what Kaldi does. One frame of a window is little, but where windows are joined again each puts the rest 10 ms ahead of
# labels, VAD or times: after an hour features are 24 s too early, and with turns of 6 s half of the frames have the label of
# the other speaker. Nothing is said.
# Who is hurt: whoever reads sub-segments of Kaldi recipes with it: x-vector windows, features picked by column, frame labels.
# What to do: read them with kaldiio; or leave ranges out of the scp file and cut [start : end + 1] yourself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 kaldi_io==0.9.8 kaldiio==2.18.1
cd "$folder"
KALDI_ROOT="$folder" "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from pathlib import Path

import kaldi_io
import kaldiio
import numpy as np

FRAMES, COLUMNS, WINDOW, TURN = 360_000, 24, 150, 600  # an hour, of 100 frames a second
speaker = np.arange(FRAMES) // TURN % 2
features = np.zeros((FRAMES, COLUMNS), dtype=np.float32)
features[:, 0] = speaker
kaldiio.save_ark("feats.ark", {"call": features}, scp="feats.scp")
place = Path("feats.scp").read_text().split()[1]


def read(ranges: list[str]) -> dict[str, list[np.ndarray]]:
    """The same ranges by both libraries."""
    Path("ranges.scp").write_text("".join(f"part{at:05} {place}[{text}]\n" for at, text in enumerate(ranges)))
    return {"kaldi_io": [part for _, part in kaldi_io.read_mat_scp("ranges.scp")],
            "kaldiio": list(kaldiio.load_scp("ranges.scp").values())}


ok = True
ranges = ["0:149", "150:299,0:19", "7:7"]
shapes = {name: [part.shape for part in parts] for name, parts in read(ranges).items()}
for name, found in shapes.items():
    print(f"{name}: " + ", ".join(f"[{text}] is {shape}" for text, shape in zip(ranges, found)))
ok &= shapes["kaldiio"] == [(150, 24), (150, 20), (1, 24)] and shapes["kaldi_io"] == [(149, 24), (149, 19), (0, 24)]

short = features[: 40 * WINDOW]  # each range reads the whole matrix: one minute shows the pace
kaldiio.save_ark("feats.ark", {"call": short}, scp="feats.scp")
place = Path("feats.scp").read_text().split()[1]
windows = [f"{start}:{start + WINDOW - 1}" for start in range(0, len(short), WINDOW)]
for name, parts in read(windows).items():
    lost = len(short) - sum(map(len, parts))
    hour = lost * FRAMES // len(short)  # frames
    ahead = np.concatenate([speaker[start : start + WINDOW - lost // len(windows)] for start in range(0, FRAMES, WINDOW)])
    wrong = float(np.mean(ahead != speaker[: len(ahead)]))
    print(f"{name}: {len(windows)} windows joined lack {lost} frames, in an hour {hour / 100:.0f} s; then "
          f"{wrong:.0%} of the frames have the other's label")
    ok &= (lost == len(windows) and wrong > 0.4) if name == "kaldi_io" else lost == 0
sys.exit(0 if ok else "the behavior has changed: ranges include their end")
PYTHON
