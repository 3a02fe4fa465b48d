"""Published encoders come with a calibration, which is used for their own weights only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import SMALL
from timbral.audio.preprocessing import Preprocessing
from timbral.calibration import known
from timbral.calibration.calibration_file import read_calibration
from timbral.calibration.conditions import Conditions
from timbral.calibration.known import SHIPPED, known_calibration
from timbral.checkpoints.checkpoint import Checkpoint
from timbral.checkpoints.foreign.lstm_tensors import PREPROCESSING
from timbral.checkpoints.published import PUBLISHED
from timbral.encoders.lstm import LstmConfig, LstmEncoder
from timbral.encoders.registry import ENCODERS
from timbral.errors import ConfigError
from timbral.inference.decision import PairScore, Question, decide
from timbral.inference.embedder import Embedder
from timbral.inference.loader import embedding_identity

APPLIED = {
    "campplus-zh-en": (Preprocessing(), None),
    "ge2e-lstm": (PREPROCESSING, LstmEncoder(LstmConfig(window_step=77)).windows),
}
NAMES = sorted(path.stem for path in SHIPPED.glob("*.json"))


def side(seconds: float, bandwidth: float) -> Conditions:
    return Conditions(np.array([seconds]), np.array([bandwidth]), np.array([30.0]))


def test_published_encoders_that_can_be_fetched_from_the_index_have_one() -> None:
    assert NAMES == ["campplus-zh-en", "ge2e-lstm"]
    assert set(NAMES) <= set(PUBLISHED)


def test_nothing_is_promised_of_little_speech_of_the_lstm() -> None:
    """Fitted to recordings of 1 s and more, a promise of 1 % gave 13 % at 1 s."""
    calibration = read_calibration(SHIPPED / "ge2e-lstm.json")
    question = Question(calibration=calibration, false_accept=0.05)
    pair = PairScore(0.9, 0.9)
    short = decide(pair, question, side(1.0, 8000.0), side(8.0, 8000.0))
    assert short.false_accept_bound is None
    assert any("net speech" in warning for warning in short.warnings)
    long = decide(pair, question, side(4.0, 8000.0), side(8.0, 8000.0))
    assert long.false_accept_bound is not None
    assert long.false_accept_bound <= 0.05
    with pytest.raises(ConfigError, match="cannot be promised"):
        Question(calibration=calibration, false_accept=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_shipped_calibrations_are_sane(name: str) -> None:
    calibration = read_calibration(SHIPPED / f"{name}.json")
    assert calibration.encoder == name
    assert calibration.fitted_on.num_speakers > 300
    assert calibration.fitted_on.cllr < 1.1 * calibration.fitted_on.min_cllr
    for seconds in (1.0, 4.0, 12.0):
        for bandwidth in (4000.0, 8000.0):
            sides = side(seconds, bandwidth), side(8.0, 8000.0)
            rising = calibration.llr(np.linspace(-0.2, 1.0, 50), *sides)
            assert (np.diff(rising) >= 0).all()
            assert rising[0] < 0 < rising[-1]


@pytest.mark.parametrize("name", NAMES)
def test_shipped_calibrations_are_of_the_preprocessing_that_weights_come_with(name: str) -> None:
    """A new setting that changes how recordings are prepared needs them fitted again."""
    preprocessing, windows = APPLIED[name]
    calibration = read_calibration(SHIPPED / f"{name}.json")
    assert embedding_identity(preprocessing, windows) == calibration.embedding_sha256


def test_calibration_is_that_of_the_downloaded_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    made = Embedder(ENCODERS["tdnn"](SMALL["tdnn"]), Preprocessing(), name="campplus-zh-en")
    checkpoint = Checkpoint.read(made.save(tmp_path / "weights"))
    assert known_calibration(checkpoint) is None
    monkeypatch.setattr(known, "downloaded_folder", lambda name: checkpoint.folder)
    found = known_calibration(checkpoint)
    assert found is not None
    assert found.weights_sha256 == checkpoint.weights_sha256
