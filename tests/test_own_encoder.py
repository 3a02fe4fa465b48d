"""An encoder of the user's own: one file with one class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from timbral import api
from timbral.data.prepared.store import Store
from timbral.encoders.registry import ENCODERS
from timbral.errors import CheckpointError, ConfigError

OWN = '''
from dataclasses import dataclass

from torch import nn

from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.frontends import LOG_MEL_80, MelSpectrogram
from timbral.encoders.layers.frames import frame_mask
from timbral.encoders.layers.pooling import statistics_pooling


@dataclass(frozen=True)
class Config:
    size: int = 16


class Statistics(SpeakerEncoder):
    """Mean and deviation of log-mels, projected."""

    name = "statistics"
    config_type = Config

    def __init__(self, config):
        super().__init__(config)
        self.frontend = MelSpectrogram(LOG_MEL_80)
        self.embedding_dim, self.min_samples = config.size, 1_600
        self.linear = nn.Linear(160, config.size)

    def embed_features(self, features, frame_lengths):
        mask = frame_mask(frame_lengths, features.shape[1])
        return self.linear(statistics_pooling(features, mask)).float()


class Taken(Statistics):
    name = "lstm"
'''

CONFIG = """
encoder: lstm
data: {speakers_per_batch: 4, utterances_per_speaker: 3, crop_seconds: 0.8}
schedule: {steps: 2}
trainer: {validate_every: 2, save_every: 2}
"""


@pytest.fixture(autouse=True)
def unregister() -> Iterator[None]:
    yield
    ENCODERS.pop("statistics", None)


def test_train_and_use(
    store: Store, voices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from timbral.cli.common_options import RunningOptions
    from timbral.cli.verbs import train, verify
    from timbral.training.train_options import TrainOptions

    source, config, run = tmp_path / "mine.py", tmp_path / "config.yaml", tmp_path / "run"
    source.write_text(OWN)
    config.write_text(CONFIG)
    own = f"{source}:Statistics"
    size = ("encoder.size", "8")
    sources = train.Sources(store.folder, run, encoder=own, opts=size)
    train.run(config, sources, TrainOptions(device="cpu"))
    ENCODERS.pop("statistics")
    with pytest.raises(CheckpointError, match="register_encoder"):
        api.load_encoder(run)
    first, second = sorted(voices.glob("*/*.ogg"))[:2]
    words = (str(run), str(first), str(second))
    verify.run(words, running=RunningOptions("cpu", encoder_class=own))
    assert "cosine" in capsys.readouterr().out
    assert api.load_encoder(run, device="cpu").embedding_dim == 8


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("mine.txt:Statistics", r"path\.py:NAME"),
        ("mine.py", r"path\.py:NAME"),
        ("mine.py:Statistic", "has no Statistic; did you mean 'Statistics'"),
        ("mine.py:Config", "derives from SpeakerEncoder"),
        ("mine.py:SpeakerEncoder", "`name` and `config_type`"),
        ("mine.py:Taken", "an encoder of timbral already has the name"),
        ("broken.py:Statistics", "ZeroDivisionError"),
        ("absent.py:Statistics", "cannot be read"),
    ],
)
def test_mistakes_are_explained(
    source: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("1 / 0")
    with pytest.raises(ConfigError, match=words):
        api.register_encoder(source)
