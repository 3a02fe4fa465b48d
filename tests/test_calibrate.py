"""The verb calibrate: from an evaluation to probabilities of the same encoder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import timbral
from conftest import SMALL, Answer
from timbral.demo.shipped import VOICES
from timbral.encoders.registry import ENCODERS
from timbral.errors import DataError
from timbral.inference.embedder import Embedder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder and its evaluation on 54 synthetic voices."""
    folder = tmp_path_factory.mktemp("calibrate")
    torch.manual_seed(0)
    Embedder(ENCODERS["tdnn"](SMALL["tdnn"]), name="small").save(folder / "encoder")
    timbral.trials(VOICES, folder / "trials.txt", per_speaker=6)
    timbral.evaluate(folder / "encoder", folder / "trials.txt", VOICES, folder / "evaluation")
    shutil.copy(folder / "trials.txt.utt2spk", folder / "evaluation" / "utt2spk")
    return folder


def recordings(voice: str) -> list[Path]:
    return sorted((Path(VOICES) / voice).glob("*.ogg"))


def test_calibrate(folder: Path, ask: Callable[..., Answer]) -> None:
    words = ["calibrate", folder / "evaluation", "--description", "synthetic voices"]
    done = ask(*words, "--speakers", folder / "trials.txt.utt2spk")
    assert done.code == 0
    assert "of 54 speakers" in done.out
    assert "Cllr " in done.out
    path = folder / "evaluation" / "calibration.json"
    pair = recordings("am_adam")[:2]
    words = ["verify", folder / "encoder", *pair, "--calibration", path]
    done = ask(*words)
    assert done.code == 0
    assert "probability of the same speaker" in done.out
    assert "false accepts at most" in done.out
    done = ask(*words, "--json", "--exit-code", "--threshold", "1")
    assert done.code == 3
    answer = json.loads(done.out)
    assert answer["same"] is False
    assert 0 < answer["probability"] < 1
    assert answer["encoder"] == "small"
    assert "54 speakers (synthetic voices)" in answer["why"]
    assert ask("verify", folder / "encoder", *pair, "--exit-code").code == 4
    done = ask(*words, "--false-accept", "1e-9")
    assert done.code == 2
    assert "cannot be promised" in done.err


def test_encoder_keeps_its_calibration(folder: Path, tmp_path: Path) -> None:
    fitted = timbral.calibrate(folder / "evaluation", tmp_path / "calibration.json")
    assert fitted.fitted_on.description == Path(VOICES).name
    encoder = timbral.load_encoder(folder / "encoder", device="cpu")
    assert encoder.calibration is None
    encoder.calibration = fitted
    saved = timbral.load_encoder(encoder.save(tmp_path / "calibrated"), device="cpu")
    assert saved.calibration is not None
    assert saved.calibration.offset == fitted.offset
    first, second = recordings("af_bella")[:2]
    decision = saved.verify(first, second)
    assert decision.probability == encoder.verify(first, second).probability
    assert decision.threshold is not None
    stream = saved.verifier(first, false_accept=0.9, false_reject=0.9)
    samples, rate = soundfile.read(second, dtype="float32")
    stream.sample_rate = rate
    for chunk in np.array_split(samples, 5):
        state = stream.add(chunk)
    assert state.llr is not None


def test_calibration_of_other_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    timbral.calibrate(folder / "evaluation", path)
    torch.manual_seed(1)
    other = Embedder(ENCODERS["tdnn"](SMALL["tdnn"]))
    first, second = recordings("af_bella")[:2]
    with pytest.raises(DataError, match=r"is a calibration of small .*not of these weights"):
        other.verify(first, second, calibration=path)


def test_mistakes_in_calibrate_are_errors(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no evaluation"):
        timbral.calibrate(tmp_path)
    with pytest.raises(DataError, match="choose another"):
        timbral.calibrate(folder / "evaluation", folder / "trials.txt")
    moved = tmp_path / "evaluation"
    shutil.copytree(folder / "evaluation", moved)
    job = json.loads((moved / ".evaluation" / "job.json").read_text())
    (moved / ".evaluation" / "job.json").write_text(json.dumps(job | {"root": str(tmp_path)}))
    with pytest.raises(DataError, match="no such file; the recordings of the evaluation have to"):
        timbral.calibrate(moved)
    (moved / ".evaluation" / "job.json").write_text(json.dumps(job | {"scoring": "as-norm 3"}))
    with pytest.raises(DataError, match="its scores are normalized"):
        timbral.calibrate(moved)
