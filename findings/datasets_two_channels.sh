#!/usr/bin/env bash
# datasets 5.2.0, torchcodec 0.13.0, torch 2.13.0, soundfile 0.14.0, numpy 2.4.6
#
# Guess, written down before: Audio(num_channels=2) gives a call's two sides: ["array"] has two channels; without num_channels a
# recording comes as it is or as the mean of its channels.
# Seen: ["array"] is the mean of both sides in any case, also with num_channels=2, whose documentation says "Audio decoding will
# return samples with shape (num_channels, num_samples)". So the caller and the agent speak at once, each at half of
# the level; where one channel is the other's negative (balanced lines, some transfers of tapes) it is silence. And
# num_channels=1, asked for, is another mixture, 3 dB louder. Two dimensions come from get_all_samples().data alone,
# and those are what num_channels counts.
# Who is hurt: whoever enrolls or trains on telephone calls with a side for each speaker (Switchboard, Fisher, call centers): every
# vector is one of two voices, and nothing raises.
# What to do: row["audio"].get_all_samples().data[side], or split the files before.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check datasets==5.2.0 torchcodec==0.13.0 torch==2.13.0 \
  soundfile==0.14.0 numpy==2.4.6
cd "$folder"
export HF_HOME="$folder/cache" HF_HUB_OFFLINE=1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import soundfile
from datasets import Audio, Dataset, disable_progress_bars

disable_progress_bars()
RATE = 16_000
times = np.arange(4 * RATE) / RATE
caller, agent = 0.2 * np.sin(2 * np.pi * 300 * times), 0.2 * np.sin(2 * np.pi * 1000 * times)
soundfile.write("call.wav", np.stack([caller, agent], axis=1), RATE, subtype="FLOAT")
soundfile.write("balanced.wav", np.stack([caller, -caller], axis=1), RATE, subtype="FLOAT")


def strengths(samples: np.ndarray) -> tuple[float, ...]:
    """The amplitudes of the caller and of the agent in each channel."""
    rows = np.atleast_2d(samples)
    return tuple(round(float(2 * np.mean(row * np.sin(2 * np.pi * hertz * times))), 2) for row in rows for hertz in (300, 1000))


found = {}
for channels in (None, 1, 2):
    column = Dataset.from_dict({"audio": ["call.wav"]}).cast_column("audio", Audio(num_channels=channels))
    audio = column[0]["audio"]
    found[channels] = strengths(audio["array"])
    apart = strengths(audio.get_all_samples().data.numpy())
    print(f"num_channels={channels}: array of shape {audio['array'].shape}, caller and agent at {found[channels]}; "
          f"all samples, by channel: {apart}")
    found[channels, "all"] = apart
column = Dataset.from_dict({"audio": ["balanced.wav"]}).cast_column("audio", Audio(num_channels=2))
left = float(np.abs(column[0]["audio"]["array"]).max())
print(f"one channel the negative of the other, num_channels=2: the loudest sample of the array is {left:.4f}")
ok = found[2] == found[None] == (0.1, 0.1) and found[2, "all"] == (0.2, 0.0, 0.0, 0.2) and found[1] == (0.14, 0.14)
sys.exit(0 if ok and left < 1e-3 else "the behavior has changed: num_channels=2 gives two channels")
PYTHON
