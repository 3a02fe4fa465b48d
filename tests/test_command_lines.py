"""The command lines of ddvc's and PaddleSpeech's scripts under timbral's verbs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import timbral
from timbral import api
from timbral.compat.command_lines import translate
from timbral.compat.inference_settings import with_settings
from timbral.encoders.native_windows import Windows
from timbral.errors import ConfigError
from timbral.inference.embedder import Embedder


def test_timbrals_flags_are_unchanged() -> None:
    for words in ([], ["train", "--input", "x"], ["embed", "m", "c", "--output", "o"]):
        assert translate(words) == words


def test_create_speaker_emb_dataset() -> None:
    words = "embed --model_name ecapa --dataset-name=VCTK --dataset_dir V --model_device best"
    expected = (
        "embed ecapa V --layout vctk --format torch --beside-audio --model-name ecapa --device auto"
    )
    assert " ".join(translate(words.split())) == expected
    with_weights = translate([*words.split(), "--checkpoint", "encoder.pt", "--workers", "2"])
    assert with_weights[1] == "encoder.pt"
    assert with_weights[-2:] == ["--workers", "2"]
    with pytest.raises(ConfigError, match="choose from"):
        translate(["embed", "--model_name", "ecapa", "--dataset_name", "Foo", "--dataset_dir", "V"])


def test_inference() -> None:
    words = "embed --input I --output O --checkpoint_path C --pattern *.flac --device gpu:1"
    expected = "embed C I --output O --layout tree --format npy --pattern *.flac --device cuda:1"
    assert " ".join(translate(words.split())) == expected
    more = translate([*words.split(), "--config", "c.yaml", "--opts", "data.n_mels", "40"])
    assert more[-5:] == ["--config", "c.yaml", "--opts", "data.n_mels", "40"]
    words = "embed --input I --output O --checkpoint_path C --ngpu 0"
    on_cpu = translate(words.split())
    assert on_cpu[-2:] == ["--device", "cpu"]
    with pytest.raises(ConfigError, match="checkpoint-path"):
        translate(["embed", "--input", "I", "--output", "O"])


def test_preprocess() -> None:
    words = "prepare --datasets_root=R --output_dir=O --dataset_names=librispeech_other,voxceleb1"
    expected = "prepare --datasets-root R --output O --dataset-names librispeech_other voxceleb1"
    assert " ".join(translate(words.split())) == expected
    more = translate([*words.split(), "--skip_existing", "--no_trim", "--workers", "2"])
    assert " ".join(more) == f"{expected} --trim none --workers 2"


def test_flags_of_train_scripts_are_translated() -> None:
    words = "train --data D --output O --device gpu --nprocs 2 --opts model.num_layers 2"
    expected = "train --workers 2 --data D --output O --device gpu --opts model.num_layers 2"
    assert " ".join(translate(words.split())) == expected
    words = "train --config c.yaml --data D --output O --ngpu 0"
    assert (
        " ".join(translate(words.split()))
        == "train c.yaml --workers 1 --device cpu --data D --output O"
    )
    assert translate(["train", "--config_path=train_config.json"]) == ["train", "train_config.json"]
    for wrong in ("--nprocs 1 --ngpu 1", "--nprocs two"):
        with pytest.raises(ConfigError, match=r"flags of PaddleSpeech's train\.py: "):
            translate(["train", *wrong.split()])


def test_create_speaker_emb_dataset_writes_beside_the_audio(
    run: Path, voices: Path, tmp_path: Path
) -> None:
    for voice in sorted(voices.glob("*/"))[:2]:
        shutil.copytree(voice, tmp_path / "wav" / voice.name)
    result = timbral(
        *("embed", "--model_name", "mine", "--dataset_name", "VCTK", "--dataset_dir", tmp_path),
        *("--model_device", "cpu", "--checkpoint", run),
    )
    assert result.returncode == 0, result.stderr
    embedder = api.load_encoder(run, device="cpu")
    for path in sorted(tmp_path.glob("wav/*/*.ogg"))[::5]:
        mine = torch.load(path.with_suffix(".mine_embedding"), weights_only=True)[0]
        np.testing.assert_allclose(mine.numpy(), embedder.encode(path), atol=1e-5)
    for folder in (tmp_path / "wav").iterdir():
        assert (folder / f"{folder.name}.mine_averaged_embedding").exists()


def test_inference_mirrors_the_tree(run: Path, voices: Path, tmp_path: Path) -> None:
    first = sorted(voices.glob("*/*.ogg"))[0]
    paths = ["top.ogg", "a/b/deep.ogg", "a/left.opus"]
    for path in paths:
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(first, tmp_path / "in" / path)
    result = timbral(
        *("embed", "--input", tmp_path / "in", "--output", tmp_path / "out"),
        *("--checkpoint_path", run, "--pattern", "*.ogg", "--device", "cpu"),
    )
    assert result.returncode == 0, result.stderr
    written = {path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("*.npy")}
    assert written == {"top.npy", "a/b/deep.npy"}


def test_settings_of_inference(tmp_path: Path) -> None:
    from timbral.encoders.lstm import LstmConfig, LstmEncoder

    embedder = Embedder(LstmEncoder(LstmConfig(1, 8, 8)))
    config = tmp_path / "config.yaml"
    config.write_text("data: {partial_overlap_ratio: 0.75, n_mels: 40}\ntraining: {}\n")
    changed = with_settings(embedder, config, ["data.audio_norm_target_dBFS", "-25"])
    assert changed.windows == Windows(160, 40, 0.75)
    assert changed.preprocessing.min_rms_dbfs == -25
    assert embedder.windows == Windows(160, 80, 0.75)
    assert embedder.preprocessing.min_rms_dbfs == -30
    for opts, words in (
        (["data.overlap", "1"], "unknown key"),
        (["data.mel_window_step", "5"], "is 10 in timbral"),
        (["data.n_mels"], "pairs KEY VALUE"),
        (["data.partial_overlap_ratio", "1"], "an overlap from 0"),
        (["data.partial_overlap_ratio", "abc"], "a number is needed, got 'abc'"),
        (["data.sampling_rate", "["], "a whole number is needed"),
    ):
        with pytest.raises(ConfigError, match=words):
            with_settings(embedder, None, opts)
