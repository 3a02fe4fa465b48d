#!/usr/bin/env bash
# descript-audiotools 0.7.2, torch 2.13.0, julius 0.2.8, pyloudnorm 0.2.0, scipy 1.17.1, soundfile 0.14.0, numpy 2.4.6
#
# Guess, written down before: recording.mix(noise, snr=10) puts each recording 10 dB above the noise, and
# recording.apply_ir(room) puts it into the room, where it is in time.
# Seen: the first recording. mix() cuts the caller's noise to the recording's length and fills it up with silence for the next:
# after one of 2 s a longer one has noise in its first 2 s, and is clean from there on. apply_ir() cuts the caller's room in
# the same way, and convolves in a circle: the reverberation of what is said last is heard at the beginning, before anybody
# speaks, 2 dB softer than the voice. Both are said to change the recording in place; of the other signal nothing is said.
# Who is hurt: whoever reads noises and rooms once and trains or tests a speaker encoder on what is mixed: most of a long
# recording is clean where 10 dB were asked for, and crops begin with the end of their own sentence.
# What to do: mix(noise.clone(), ...), and apply_ir(room.clone()) of a recording with as much silence behind it as the room is
# long.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 scipy==1.17.1 soundfile==0.14.0 numpy==2.4.6
"${pip[@]}" --no-deps descript-audiotools==0.7.2 julius==0.2.8 pyloudnorm==0.2.0
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import importlib.machinery
import importlib.resources
import sys
import types
from pathlib import Path

import numpy as np
import scipy.signal
import torch


def lfilter(samples: torch.Tensor, below: torch.Tensor, above: torch.Tensor, clamp: bool) -> torch.Tensor:
    """In the place of torchaudio's: the filter that loudness is measured behind."""
    return torch.from_numpy(scipy.signal.lfilter(above.numpy(), below.numpy(), samples.numpy())).float()


package = Path(importlib.machinery.PathFinder.find_spec("audiotools").origin).parent
BESIDE = {  # what the package imports and these functions do not use, but for the filter
    "audiotools": {"__path__": [str(package)]},
    "flatten_dict": {"flatten": None, "unflatten": None}, "ffmpy": {},
    "importlib_resources": {"files": importlib.resources.files},
    "torchaudio": {"functional": types.SimpleNamespace(lfilter=lfilter)},
}
for name, contents in BESIDE.items():
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(contents)
from audiotools.core import AudioSignal  # noqa: E402

RATE = 16_000
generator = np.random.default_rng(0)


def signal(samples: np.ndarray) -> AudioSignal:
    return AudioSignal(samples.astype("float32")[None, None], RATE)


def hiss(seconds: float) -> AudioSignal:
    return signal(0.1 * generator.standard_normal(int(seconds * RATE)))


def decibels(samples: np.ndarray, seconds: float) -> list[float]:
    """The level of each stretch of so many seconds, in dBFS."""
    stretches = samples.reshape(-1, int(seconds * RATE)).astype(float)
    return (10 * np.log10(np.mean(stretches**2, axis=1) + 1e-12)).round(1).tolist()


noise, added = hiss(12), {}
for number, seconds in enumerate((6, 2, 6)):
    recording = hiss(seconds)
    before = recording.audio_data.clone()
    added[number] = decibels((recording.mix(noise, snr=10).audio_data - before).numpy()[0, 0], 2)
    print(f"speech of {seconds} s at -20 dBFS, mixed at 10 dB: noise at {added[number]} dBFS in each 2 s; "
          f"the noise is now {noise.signal_length / RATE:.0f} s long")
response = np.zeros(2 * RATE)
response[RATE // 10 :] = 0.05 * generator.standard_normal(len(response) - RATE // 10)
response *= np.exp(-np.arange(len(response)) / (0.35 * RATE))
response[0] = 1
late = np.zeros(3 * RATE)
late[5 * RATE // 2 :] = 0.1 * generator.standard_normal(RATE // 2)
room = signal(response)
wrapped = decibels(signal(late).apply_ir(room).audio_data.numpy()[0, 0], 0.5)
padded = decibels(signal(np.pad(late, (0, 2 * RATE))).apply_ir(signal(response)).audio_data.numpy()[0, 0], 0.5)
print(f"a voice from 2.5 to 3 s in a room, the level of each half a second: {wrapped}\nwith silence behind it: {padded}")
signal(late[: RATE // 2] + 0.01).apply_ir(room)
print(f"the room after a recording of 0.5 s: {room.signal_length / RATE:.1f} s long")
ok = max(added[0]) < -29 and added[2][0] > -31 and max(added[2][1:]) < -100
ok = ok and wrapped[0] > wrapped[5] - 6 and padded[0] < wrapped[0] - 40 and room.signal_length == RATE // 2
sys.exit(0 if ok else "the behavior has changed: noise and room stay what they are")
PYTHON
