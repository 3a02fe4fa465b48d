"""recipes/voxceleb/run.sh from end to end, on a few of the shipped voices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from timbral import api
from timbral.demo.shipped import VOICES

RECIPE = Path(__file__).parents[1] / "recipes" / "voxceleb" / "run.sh"
CONFIG = """
encoder: {name: tdnn, channels: 16, pooled_channels: 24, embedding_dim: 16}
loss: {name: aam, margin: %s}
data: {speakers_per_batch: 4, utterances_per_speaker: 2, crop_seconds: %s}
augment: {speed: {factors: %s, new_speakers: true}}
optimizer: {learning_rate: 1e-3}
schedule: {steps: %d}
"""
TRAIN = "--device cpu --validation-speakers 0"


def link_voices(folder: Path, voices: list[Path]) -> None:
    for voice in voices:
        (folder / voice.name).mkdir(parents=True)
        for path in sorted(voice.glob("*.ogg"))[:4]:
            (folder / voice.name / path.name).symlink_to(path)


@pytest.mark.slow
def test_voxceleb_at_toy_size(tmp_path: Path) -> None:
    voices = sorted(VOICES.glob("*/"))
    link_voices(tmp_path / "vox2", voices[:8])
    link_voices(tmp_path / "vox1", voices[20:44])
    trials = tmp_path / "trials.txt"
    api.trials(tmp_path / "vox1", trials, layout="folder", per_speaker=3)
    (tmp_path / "base.yaml").write_text(CONFIG % (0.2, 1.0, "[1.0, 0.9]", 4))
    (tmp_path / "margin.yaml").write_text(CONFIG % (0.5, 1.5, "[1.0]", 2))
    out = tmp_path / "out"
    words = [RECIPE, tmp_path / "vox2", tmp_path / "vox1", trials, out]
    settings = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LAYOUT": "folder",
        "CONFIG": str(tmp_path / "base.yaml"),
        "LARGE_MARGIN": str(tmp_path / "margin.yaml"),
        "TRAIN_OPTIONS": TRAIN,
        "LARGE_MARGIN_OPTIONS": TRAIN,
        "EMBED_OPTIONS": "--device cpu",
        "NORM_OPTIONS": "--top-k 10",
    }
    done = subprocess.run(
        list(map(str, words)), env={**os.environ, **settings}, check=False, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    plain, normalized = (
        json.loads((out / name / "evaluation.json").read_text())
        for name in ("evaluation", "evaluation-as-norm")
    )
    assert plain != normalized
    assert (out / "evaluation" / "report.html").is_file()
    assert (out / "calibration.json").is_file()
    usage = subprocess.run([str(RECIPE), "a"], check=False, capture_output=True, text=True)
    assert (usage.returncode, usage.stderr[:13]) == (2, "usage: run.sh")
