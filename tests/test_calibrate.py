"""The verb calibrate: from an evaluation to probabilities of the same encoder."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch

import timbral
from conftest import SMALL, Answer
from timbral.calibration.calibration_file import read_calibration
from timbral.calibration.conditions import Conditions
from timbral.demo.shipped import VOICES
from timbral.embeddings.named_vectors import NamedVectors
from timbral.embeddings.vectors import unit_length
from timbral.encoders.registry import ENCODERS
from timbral.errors import ConfigError, DataError
from timbral.evaluation.evaluated_trials import EvaluatedTrials
from timbral.inference.embedder import Embedder
from timbral.scoring.calibration_fit import DIRECTIONS, TrialData
from timbral.scoring.list_speakers import speakers_file
from timbral.scoring.score_file import scores_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, and its evaluation and calibration on 27 synthetic voices."""
    folder = tmp_path_factory.mktemp("calibrate")
    for voice in sorted(VOICES.glob("*/"))[::2]:
        (folder / "voices" / voice.name).mkdir(parents=True)
        for path in sorted(voice.glob("*.ogg"))[:6]:
            (folder / "voices" / voice.name / path.name).symlink_to(path)
    torch.manual_seed(0)
    Embedder(ENCODERS["tdnn"](SMALL["tdnn"]), name="small").save(folder / "encoder")
    trials = folder / "trials.txt"
    timbral.trials(folder / "voices", trials, per_speaker=12)
    timbral.evaluate(folder / "encoder", trials, folder / "voices", folder / "evaluation")
    speakers = Path(f"{trials}.utt2spk")
    timbral.calibrate(folder / "evaluation", folder / "calibration.json", speakers=speakers)
    return folder


def recordings(voice: str) -> list[Path]:
    return sorted((VOICES / voice).glob("*.ogg"))


def test_calibrate(folder: Path, ask: Callable[..., Answer]) -> None:
    words = ["calibrate", folder / "evaluation", "--description", "synthetic voices"]
    done = ask(*words)  # the speakers are those beside the list, which the evaluation keeps
    assert (done.code, "guessed" in done.err) == (0, False)
    assert "of 27 speakers" in done.out
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
    assert "27 speakers (synthetic voices)" in answer["why"]
    assert ask("verify", folder / "encoder", *pair, "--exit-code").code == 4
    done = ask(*words, "--false-accept", "1e-9")
    assert done.code == 2
    assert "cannot be promised" in done.err


def test_speakers_are_guessed_only_where_trials_tell_them_apart(
    folder: Path, tmp_path: Path, ask: Callable[..., Answer]
) -> None:
    evaluation = shutil.copytree(folder / "evaluation", tmp_path / "evaluation")
    speakers_file(scores_file(evaluation)).unlink()
    done = ask("calibrate", evaluation)
    assert (done.code, done.out) == (2, "")
    assert "error: the speakers are unknown: " in done.err
    assert "so give --speakers, a file" in done.err


def test_encoder_keeps_its_calibration(folder: Path, tmp_path: Path) -> None:
    fitted = read_calibration(folder / "calibration.json")
    assert fitted.fitted_on.description == "voices"
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


def test_calibration_of_other_weights_is_refused(folder: Path) -> None:
    path = folder / "calibration.json"
    torch.manual_seed(1)
    other = Embedder(ENCODERS["tdnn"](SMALL["tdnn"]))
    first, second = recordings("af_bella")[:2]
    with pytest.raises(DataError, match=r"is a calibration of small .*not of these weights"):
        other.verify(first, second, calibration=path)


def test_mistakes_in_calibrate_are_errors(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="contains no evaluation"):
        timbral.calibrate(tmp_path)
    named = tmp_path / "run" / "evaluation" / "trials"
    shutil.copytree(folder / "evaluation", named)
    with pytest.raises(DataError, match=rf"contains no evaluation; give one of this run: {named}$"):
        timbral.calibrate(tmp_path / "run")
    with pytest.raises(ConfigError, match=rf"or give the evaluation's folder, {named}$"):
        timbral.calibrate(named / "scores.txt", tmp_path / "c.json")
    with pytest.raises(DataError, match="choose another"):
        timbral.calibrate(folder / "evaluation", folder / "trials.txt")
    moved = tmp_path / "evaluation"
    shutil.copytree(folder / "evaluation", moved)
    job = json.loads((moved / ".evaluation" / "job.json").read_text())
    (moved / ".evaluation" / "job.json").write_text(json.dumps(job | {"root": str(tmp_path)}))
    with pytest.raises(DataError, match="no such file; the recordings of the evaluation must"):
        timbral.calibrate(moved)
    (moved / ".evaluation" / "job.json").write_text(json.dumps(job | {"scoring": "as-norm 3"}))
    with pytest.raises(DataError, match="its scores are normalized"):
        timbral.calibrate(moved)


def test_vectors_of_the_evaluation(folder: Path, tmp_path: Path) -> None:
    """They are where it left them, in it, or given; without directions they are not needed."""
    speakers = folder / "trials.txt.utt2spk"
    moved = tmp_path / "evaluation"
    shutil.copytree(folder / "evaluation", moved)
    vectors = (moved / "vectors").rename(tmp_path / "elsewhere")
    content = json.loads((moved / "evaluation.json").read_text())
    assert content.pop("vectors") == str(folder / "evaluation" / "vectors")
    (moved / "evaluation.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="no longer there; give `vectors`"):
        timbral.calibrate(moved, speakers=speakers)
    fitted = timbral.calibrate(moved, speakers=speakers, vectors=vectors, directions=3)
    assert np.shape(fitted.nuisance) == (3, 16)
    assert timbral.calibrate(moved, speakers=speakers, directions=0).nuisance == ()
    job = json.loads((moved / ".evaluation" / "job.json").read_text())
    (moved / ".evaluation" / "job.json").write_text(json.dumps(job | {"weights_sha256": "0" * 64}))
    with pytest.raises(DataError, match="its vectors are from other weights"):
        timbral.calibrate(moved, speakers=speakers, vectors=vectors)


def test_little_speech_is_left_out(folder: Path, ask: Callable[..., Answer]) -> None:
    speakers = folder / "trials.txt.utt2spk"
    path = folder / "longer.json"
    whole = read_calibration(folder / "calibration.json")
    least = sum(whole.ranges.speech_seconds) / 2
    words = ["calibrate", folder / "evaluation", "--speakers", speakers, "--output", path]
    assert ask(*words, "--min-speech", least).code == 0
    fitted = read_calibration(path)
    assert fitted.ranges.speech_seconds[0] >= least
    assert fitted.fitted_on.num_targets < whole.fitted_on.num_targets
    assert len(fitted.nuisance) in DIRECTIONS
    short, long = (
        Conditions(np.array([seconds]), np.array([8000.0]), np.array([30.0]))
        for seconds in (least - 0.5, least + 0.5)
    )
    assert any("net speech" in each for each in fitted.warnings(short, long))
    assert not any("net speech" in each for each in fitted.warnings(long, long))
    done = ask(*words, "--min-speech", "60")
    assert done.code == 2
    assert "--min-speech: in no trial have both recordings 60 s" in done.err
    for seconds in (-1, math.inf, math.nan):
        with pytest.raises(ConfigError, match="`min_speech` must be a number of seconds"):
            timbral.calibrate(folder / "evaluation", path, min_speech=seconds)


def test_vectors_without_a_trial_are_nobodys() -> None:
    """Directions are found among the recordings of the trials that are kept."""
    generator = np.random.default_rng(0)
    names = pa.array([f"{number}.wav" for number in range(6)])
    lengths = Conditions(np.array([3.0, 3, 1, 3, 3, 3]), np.full(6, 8000.0), np.full(6, 30.0))
    sides = np.array([0, 2, 4]), np.array([1, 3, 5])  # trials 0-1, 2-3 (short), 4-5
    vectors = unit_length(generator.normal(size=(6, 4)))
    speakers = np.array([0, 1, 2])
    data = TrialData(
        (vectors[sides[0]] * vectors[sides[1]]).sum(axis=1).astype(np.float64),
        np.ones(3, np.int64), speakers, speakers,
        lengths.rows(sides[0]), lengths.rows(sides[1]),
    )  # fmt: skip
    kept = EvaluatedTrials(data, names, sides, lengths).with_speech(2.0)
    assert kept.names.to_pylist() == ["0.wav", "1.wav", "4.wav", "5.wav"]
    assert kept.rows[0].tolist() == [0, 2]
    assert kept.rows[1].tolist() == [1, 3]
    found = NamedVectors(names, vectors, paths=pa.array([f"/{name}" for name in names.to_pylist()]))
    assert kept.with_vectors(found, "/").speakers.tolist() == [0, 0, 2, 2]
