#!/usr/bin/env bash
# coqui-tts 0.28.0, numpy 2.4.6, scipy 1.17.1, soundfile 0.14.0
#
# Guess, written down before: where the speaker encoder's training adds noise (AugmentWAV, audio_augmentation.additive), each
# ratio of speech to noise lies between the min_snr_in_db and the max_snr_in_db of its kind.
# Seen: max_snr_in_db is never read; the other end is max_num_noises, a number of files. With one noise at a time and the usual
# ranges, 13 to 20 dB of speech comes out at 1 to 13 dB, 0 to 15 dB of noise at 0 to 1 dB, 5 to 15 dB of music at 1 to 5
# dB; max_snr_in_db=60 changes nothing. And a constant is added to both powers before they are compared: for speech at -50
# dBFS the noise is 9 to 10 dB louder than the speech.
# Who is hurt: whoever trains a speaker encoder with it: all noisy examples are at the edge of what can be understood, none is
# in the range that was asked for and that papers name, and the network gets the blame.
# What to do: mix the noise before training, or a subclass of AugmentWAV with an additive_noise of one's own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" numpy==2.4.6 scipy==1.17.1 soundfile==0.14.0
"${pip[@]}" --no-deps coqui-tts==0.28.0 # the class below needs none of the rest
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.machinery
import importlib.util
import os
import sys
import types
from pathlib import Path

import numpy as np
import soundfile

package = Path(importlib.machinery.PathFinder.find_spec("TTS").origin).parent
for name in ("base_encoder.BaseEncoder", "lstm.LSTMSpeakerEncoder", "resnet.ResNetSpeakerEncoder"):
    module_name, network = name.split(".")  # networks, which the file below imports besides and AugmentWAV does not use
    sys.modules[f"TTS.encoder.models.{module_name}"] = module = types.ModuleType(module_name)
    setattr(module, network, type(network, (), {}))
for name in ("TTS", "TTS.encoder", "TTS.encoder.models"):
    sys.modules[name] = types.ModuleType(name)
spec = importlib.util.spec_from_file_location("generic_utils", package / "encoder" / "utils" / "generic_utils.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

RATE = 16_000
generator = np.random.default_rng(0)
KINDS = {"speech": (13, 20), "noise": (0, 15), "music": (5, 15)}
for kind in KINDS:
    os.makedirs(f"sounds/{kind}")
    for number in range(3):
        soundfile.write(f"sounds/{kind}/{number}.wav", 0.1 * generator.standard_normal(3 * RATE), RATE)


class Reader:
    sample_rate = RATE

    def load_wav(self, path: str, sr: int) -> np.ndarray:
        return soundfile.read(path, dtype="float32")[0]


def ratios(kind: str, level: float, highest: float, noises: int = 1) -> np.ndarray:
    """Ratios of speech to noise in dB of 100 mixtures with speech at a level."""
    options = {"min_snr_in_db": KINDS[kind][0], "max_snr_in_db": highest, "min_num_noises": 1, "max_num_noises": noises}
    augment = module.AugmentWAV(Reader(), {"additive": {"sounds_path": "sounds/", kind: options}})
    clean = 10 ** (level / 20) * generator.standard_normal(2 * RATE)
    mixed = [augment.additive_noise(kind, clean) - clean for _ in range(100)]
    return np.array([10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) for noise in mixed])


ok = True
for kind, (lowest, highest) in KINDS.items():
    for asked in (highest, 60):
        found = ratios(kind, -20, asked)
        print(f"{kind}, speech at -20 dBFS: {lowest} to {asked} dB asked, {found.min():.1f} to {found.max():.1f} dB made")
        ok &= min(lowest, 1) - 0.3 < found.min() and found.max() < max(lowest, 1) + 0.3
soft = ratios("noise", -50, 15)
print(f"noise, speech at -50 dBFS: 0 to 15 dB asked, {soft.min():.1f} to {soft.max():.1f} dB made")
ok &= soft.max() < -5
sys.exit(0 if ok else "the behavior has changed: ratios reach max_snr_in_db")
PYTHON
