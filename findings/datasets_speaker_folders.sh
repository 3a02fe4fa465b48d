#!/usr/bin/env bash
# datasets 5.2.0, torchcodec 0.17.0, torch 2.14.1, soundfile 0.14.0
#
# Guess, written down before: load_dataset("audiofolder") on SPEAKER/001.wav puts all recordings into the split train,
# and the speakers are the labels, whatever speakers and files are called.
# Seen: one recording called mic-test-2.wav, or one speaker called dev or val, and everything else is left out without a
# word: a name that holds test, dev, val or eval between signs becomes the only split. With SPEAKER/SESSION/001.wav, as
# VoxCeleb has it, the labels are the sessions: recordings of two speakers from sessions of one name get one label.
# Who is hurt: whoever loads a corpus of speakers with the audio folder, or pushes it to the Hub: it trains on one file
# of thousands, or learns to tell sessions.
# What to do: give data_files={"train": "**"} and drop_labels=True, and take speakers from the paths (or write a
# metadata.csv); compare the number of rows with the number of files.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check datasets==5.2.0 torchcodec==0.17.0 torch==2.14.1 \
  soundfile==0.14.0 numpy==2.4.6
cd "$folder"
HF_HOME="$folder/hub" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
import soundfile
from datasets import Audio, load_dataset

Rows = dict[str, list[tuple[str, str | None]]]


def loaded(name: str, *files: str, **options: object) -> Rows:
    """By split: each recording's path in the corpus and its label."""
    root = Path(name).absolute()
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(1600), 16_000)
    rows: Rows = {}
    for split, data in load_dataset("audiofolder", data_dir=str(root), **options).items():
        labels = data.features["label"].names if "label" in data.features else None
        rows[split] = [
            (str(Path(row["audio"]["path"]).relative_to(root)), labels[row["label"]] if labels else None)
            for row in data.cast_column("audio", Audio(decode=False))
        ]
    print(f"{name}: of {len(files)} recordings {rows}")
    return rows


plain = ("anna/001.wav", "anna/002.wav", "ben/001.wav", "ben/002.wav")
usual = loaded("usual", *plain)
test = loaded("one recording is a test", *plain, "ben/mic-test-2.wav")
speaker = loaded("one speaker is dev", *plain, "dev/001.wav")
told = loaded("with data_files", *plain, "ben/mic-test-2.wav", data_files={"train": "**"})
sessions = loaded("sessions", "anna/s1/001.wav", "ben/s1/001.wav", "ben/s2/001.wav")
ok = (
    {label for _, label in usual["train"]} == {"anna", "ben"}
    and test == {"test": [("ben/mic-test-2.wav", None)]}
    and speaker == {"validation": [("dev/001.wav", None)]}
    and len(told["train"]) == 5
    and {label for _, label in sessions["train"]} == {"s1", "s2"}
)
sys.exit(0 if ok else "the behavior has changed: recordings are no longer left out, or labels are the speakers")
PYTHON
