#!/usr/bin/env bash
# speechbrain 1.1.2, torch 2.13.0, numpy 2.4.6
#
# Guess, written down before: AddNoise() with noise of its own (no csv_file) mixes each recording of a batch at the ratio of
# speech to noise that was asked for, whatever their lengths.
# Seen: only the longest. The noise's power is summed over the whole width of the batch and divided by the recording's own
# length, so that the noise is softer by the length's share: at half of the batch's length 3 dB too soft, at a fifth 7, at a
# tenth 10: of 15 dB asked, 25 dB are made, with pink_noise_like up to 29. One recording at a time is right.
# Who is hurt: whoever trains on utterances of their own lengths: short ones are nearly clean, and how noisy a recording is tells
# how long it is beside its batch.
# What to do: cut to one length before, or add noise one recording at a time. (Files of noise, csv_file, go another way, which
# was not tried.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.4.6
"${pip[@]}" --no-deps speechbrain==1.1.2 # the file below needs little of the rest
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.machinery
import sys
import types

import torch

torch.set_num_threads(1)
spec = importlib.machinery.PathFinder.find_spec("speechbrain")
package = types.ModuleType("speechbrain")  # its __init__ imports the trainer and what it needs
package.__path__, package.__spec__ = list(spec.submodule_search_locations), spec
sys.modules["speechbrain"] = package
unused = {"torchaudio": [], "speechbrain.dataio": [], "speechbrain.dataio.dataloader": ["make_dataloader"],
          "speechbrain.dataio.legacy": ["ExtendedCSVDataset"]}
for name, members in unused.items():  # imported for files of noise, which are not read here
    sys.modules[name] = types.ModuleType(name)
    for member in members:
        setattr(sys.modules[name], member, None)
from speechbrain.augment.time_domain import AddNoise, pink_noise_like  # noqa: E402

RATE, ASKED, SECONDS = 16_000, 15.0, (10, 5, 2, 1)
torch.manual_seed(0)
waves = torch.zeros(len(SECONDS), RATE * SECONDS[0])
for row, seconds in enumerate(SECONDS):
    waves[row, : RATE * seconds] = 0.1 * torch.randn(RATE * seconds)


def ratio(clean: torch.Tensor, mixed: torch.Tensor) -> float:
    """The ratio of speech to noise in dB; AddNoise scales the speech too, and the noise is independent of it."""
    speech = (clean @ mixed) / (clean @ clean) * clean
    return float(10 * torch.log10((speech**2).mean() / ((mixed - speech) ** 2).mean()))


ok = True
for name, noise, off in (("white noise", torch.randn_like, 0.5), ("pink noise", pink_noise_like, 5)):
    augment = AddNoise(snr_low=ASKED, snr_high=ASKED, noise_funct=noise)
    lengths = torch.tensor([seconds / SECONDS[0] for seconds in SECONDS])
    mixed = augment(waves, lengths)
    for row, seconds in enumerate(SECONDS):
        clean = waves[row, : RATE * seconds]
        alone = augment(clean[None], torch.ones(1))[0]
        in_batch, expected = ratio(clean, mixed[row, : RATE * seconds]), float(-10 * torch.log10(lengths[row]))
        print(f"{name}, {seconds} s beside {SECONDS[0]} s: {ASKED:.0f} dB asked, {in_batch:.1f} dB made in the batch, "
              f"{ratio(clean, alone):.1f} dB alone")
        ok &= abs(ratio(clean, alone) - ASKED) < 0.5 and abs(in_batch - ASKED - expected) < off
sys.exit(0 if ok else "the behavior has changed: each recording has the ratio that was asked for")
PYTHON
