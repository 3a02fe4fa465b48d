"""One encoder from the weights of several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import SMALL
from timbral import api
from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints import averaging
from timbral.checkpoints.checkpoint import Checkpoint, save_checkpoint
from timbral.checkpoints.weights import build_encoder, load_network
from timbral.config.schema import TrainConfig
from timbral.errors import ConfigError, DataError

State = dict[str, torch.Tensor]


def saved(folder: Path, kind: str, seed: int, license: str = "") -> State:
    """A checkpoint of a random encoder; returns its weights."""
    torch.manual_seed(seed)
    encoder = build_encoder(SMALL[kind])
    for name, buffer in encoder.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    preprocessing = Preprocessing(min_rms_dbfs=-20.0 - seed)
    checkpoint = Checkpoint(
        folder, seed, TrainConfig(encoder=SMALL[kind]), preprocessing, license=license
    )
    save_checkpoint(checkpoint, {"encoder": encoder})
    return encoder.state_dict()


@pytest.mark.parametrize("kind", ["lstm", "tdnn"])
def test_weights_are_averaged(kind: str, tmp_path: Path) -> None:
    first = saved(tmp_path / "a", kind, 1, "Apache-2.0")
    second = saved(tmp_path / "b", kind, 2, "CC-BY-4.0")
    made = api.average([tmp_path / "a", tmp_path / "b"], tmp_path / "c", [1, 3])
    for name, tensor in load_network(made).state_dict().items():
        expected = first[name]
        if tensor.is_floating_point():
            expected = 0.25 * first[name] + 0.75 * second[name]
        torch.testing.assert_close(tensor, expected, rtol=1e-6, atol=1e-7)
    assert made.preprocessing.min_rms_dbfs == -21.0
    assert made.license == "Apache-2.0 and CC-BY-4.0"


def test_weights_are_equal_by_default(tmp_path: Path) -> None:
    for seed in range(3):
        saved(tmp_path / str(seed), "lstm", seed)
    folders = [tmp_path / str(seed) for seed in range(3)]
    equal = load_network(api.average(folders, tmp_path / "x")).state_dict()
    given = load_network(api.average(folders, tmp_path / "y", [2, 2, 2])).state_dict()
    for name, tensor in equal.items():
        assert torch.equal(tensor, given[name])


def test_windows_may_differ(tmp_path: Path) -> None:
    """As those of Resemblyzer's weights and of a run that was initialized with them."""
    saved(tmp_path / "a", "lstm", 1)
    saved(tmp_path / "b", "lstm", 2)
    path = tmp_path / "b" / "checkpoint.json"
    path.write_text(path.read_text().replace('"window_step": 80', '"window_step": 77'))
    assert api.resolve(tmp_path / "b").config.encoder.window_step == 77
    made = api.average([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert made.config.encoder.window_step == 80


def test_weight_of_one_gives_that_encoder(tmp_path: Path, voices: Path) -> None:
    saved(tmp_path / "a", "lstm", 1)
    saved(tmp_path / "b", "lstm", 2)
    api.average([tmp_path / "a", tmp_path / "b"], tmp_path / "c", [1, 0])
    path = next(voices.rglob("*.ogg"))
    vectors = [api.load_encoder(tmp_path / name, device="cpu").encode(path) for name in "ac"]
    np.testing.assert_array_equal(*vectors)


@pytest.mark.parametrize(
    ("encoders", "weights", "words"),
    [
        ("ab", [1], "one for each of the 2 encoders; got 1"),
        ("a", [1], "two encoders or more; got 1"),
        ("ab", [1, -1], "weights must be 0 or more"),
        ("ab", [0, 0], "not all 0"),
        ("ab", [1, float("nan")], "weights must be"),
        ("at", [1, 1], r"t cannot be averaged with .*a, .*: tdnn \("),
    ],
)
def test_unlike_encoders_are_not_averaged(
    tmp_path: Path, encoders: str, weights: list[float], words: str
) -> None:
    saved(tmp_path / "a", "lstm", 1)
    saved(tmp_path / "b", "lstm", 2)
    saved(tmp_path / "t", "tdnn", 3)
    with pytest.raises(ConfigError, match=words):
        api.average([tmp_path / name for name in encoders], tmp_path / "c", weights)
    assert not (tmp_path / "c").exists()


def test_other_files_are_not_replaced(tmp_path: Path) -> None:
    saved(tmp_path / "a", "lstm", 1)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "thesis.tex").touch()
    with pytest.raises(DataError, match="is not empty"):
        api.average([tmp_path / "a", tmp_path / "a"], tmp_path / "c")


def test_hidden_files_are_kept(tmp_path: Path) -> None:
    saved(tmp_path / "a", "lstm", 1)
    kept = [tmp_path / "c" / ".DS_Store", tmp_path / "c" / ".git" / "HEAD"]
    for file in kept:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(file.name)
    lock = tmp_path / "c" / ".#notes"
    lock.symlink_to("user@host.1")  # Emacs writes such links, which lead nowhere
    for _ in range(2):
        api.average([tmp_path / "a", tmp_path / "a"], tmp_path / "c")
        assert [file.read_text() for file in kept] == [".DS_Store", "HEAD"]
        assert lock.readlink() == Path("user@host.1")


def test_another_average_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same one again is no error; files that were added to it, as a calibration, are kept.
    Another one is refused before its weights are read.
    """
    saved(tmp_path / "a", "lstm", 1)
    saved(tmp_path / "b", "lstm", 2)
    both = [tmp_path / "a", tmp_path / "b"]
    digest = api.average(both, tmp_path / "c").weights_sha256
    assert api.average(both, tmp_path / "c").weights_sha256 == digest
    monkeypatch.delattr(averaging, "load_network")
    with pytest.raises(DataError, match="c: exists with other content"):
        api.average(both, tmp_path / "c", [1, 3])
    assert Checkpoint.read(tmp_path / "c").weights_sha256 == digest
    (tmp_path / "c" / "calibration.json").touch()
    with pytest.raises(DataError, match="c: exists with other content"):
        api.average(both, tmp_path / "c")
    assert (tmp_path / "c" / "calibration.json").exists()
