#!/usr/bin/env bash
# funasr 1.4.16, torch 2.13.0, kaldi-native-fbank 1.23.0, numpy 2.4.6
#
# Guess, written down before: CAM++ (campplus) of FunASR gives a recording the same vector in a batch as alone.
# Seen: recordings of a batch are filled up with frames of zeros, which nothing masks, so that a vector depends on the longest
# of its batch. With the published weights of CAM++ (zh-cn, en) and real speech 1 s beside 12 s has a cosine of 0.40 to
# itself, 2 s 0.67, 3 s 0.83, 5 s 0.93 (measured apart on two recordings, from 3 s on one; this script does not repeat it);
# with the random weights of this script less is lost, and as steadily. And a batch
# comes back as one result that holds all its vectors: four recordings by two are two results, so that zip() with their
# names gives the first name two vectors and the second those of two others.
# Who is hurt: whoever embeds recordings with batch_size above 1: enrollment and test differ by company, not by voice, and are
# below any threshold if one of them is short.
# What to do: batch_size=1, which is the default, or batches of recordings of one length.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.4.6 kaldi-native-fbank==1.23.0
"${pip[@]}" --no-deps funasr==1.4.16 # the encoder below needs few of the rest
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.machinery
import sys
import types

import numpy as np
import torch

torch.set_num_threads(1)
for name in ("librosa", "requests", "kaldiio"):  # imported by the files below, not used for samples that are given
    sys.modules[name] = types.ModuleType(name)
spec = importlib.machinery.PathFinder.find_spec("funasr")
package = types.ModuleType("funasr")  # its __init__ imports all models and what they need
package.__path__, package.__spec__ = list(spec.submodule_search_locations), spec
sys.modules["funasr"] = package
from funasr.models.campplus.model import CAMPPlus  # noqa: E402

torch.manual_seed(0)
encoder = CAMPPlus(feat_dim=80, embedding_size=192).eval()
generator = np.random.default_rng(0)
RATE = 16_000


def sound(seconds: float) -> np.ndarray:
    """Noise whose bands come and go as those of speech do."""
    time = np.arange(int(seconds * RATE)) / RATE
    bands = [np.sin(2 * np.pi * (pitch * time + generator.random())) * (1 + np.sin(2 * np.pi * speed * time))
             for pitch, speed in zip(generator.uniform(100, 4_000, 20), generator.uniform(1, 6, 20))]
    return (0.02 * np.sum(bands, axis=0) + 0.005 * generator.standard_normal(len(time))).astype("float32")


def results(recordings: list[np.ndarray]) -> list[dict[str, torch.Tensor]]:
    """What AutoModel.generate returns for one batch."""
    with torch.no_grad():
        return encoder.inference(recordings, device="cpu")[0]


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


ok, long = True, sound(12)
for seconds in (1, 2, 5):
    short = sound(seconds)
    alone = results([short])[0]["spk_embedding"][0]
    beside = {other: results([short, long[: other * RATE]]) for other in (seconds, 12)}
    found = {other: cosine(alone, batch[0]["spk_embedding"][0]) for other, batch in beside.items()}
    print(f"{seconds} s: cosine to itself " + ", ".join(f"{value:.4f} beside {other} s" for other, value in found.items())
          + f"; results for two recordings: {len(beside[12])}, of shape {tuple(beside[12][0]['spk_embedding'].shape)}")
    ok &= found[seconds] > 0.9999 and len(beside[12]) == 1 and len(beside[12][0]["spk_embedding"]) == 2
    ok &= found[12] < 0.99
sys.exit(0 if ok else "the behavior has changed: a recording has one vector in any company, or results are one each")
PYTHON
