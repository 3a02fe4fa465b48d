"""Verbs on a disk that takes no more: one line, exit code 2, and the same command ends the job."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from conftest import Ask, files_up_to
from timbral import api
from timbral.data.prepared.store import Store
from timbral.plots import projection

GOLDEN = Path(__file__).parent / "golden"
REASON = "files of this size are not allowed here"


def assert_ends(ask: Ask, size: int, *words: object) -> None:
    """The verb ends in one line while files are limited; afterwards it does its job."""
    with files_up_to(size):
        answer = ask(*words)
    assert answer.code == 2, answer.err
    assert answer.err.startswith("error: ")
    assert REASON in answer.err
    assert len(answer.err.splitlines()) == 1
    answer = ask(*words)
    assert answer.code == 0, answer.err


def no_temporary_files(folder: Path) -> bool:
    return not [path for path in folder.rglob(".*") if path.suffix in (".timbral-tmp", ".writing")]


def test_train_keeps_its_checkpoints(ask: Ask, store: Store, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "encoder: {name: tdnn, channels: 16}\n"
        "data: {speakers_per_batch: 4, utterances_per_speaker: 3, crop_seconds: 0.8}\n"
        "schedule: {steps: 2}\ntrainer: {save_every: 1}\n"
    )
    words = ["train", config, "--data", store.folder, "--output", tmp_path / "run"]
    assert_ends(ask, 16_000, *words, "--device", "cpu", "--validation-speakers", 0)
    assert (tmp_path / "run" / "checkpoints" / "step-2" / "checkpoint.json").exists()
    assert no_temporary_files(tmp_path)


@pytest.mark.parametrize("format", ["torch", "safetensors", "parquet", "npy", "kaldi"])
def test_embed_leaves_no_half_written_files(
    ask: Ask, run: Path, voices: Path, tmp_path: Path, format: str
) -> None:
    """The vectors are made; the files that were asked for have no room."""
    words = ["embed", run, voices, "--device", "cpu", "--output", tmp_path / "out"]
    words += ["--pattern", "*_00.ogg"]
    assert ask(*words, "--format", "npy" if format == "parquet" else "parquet").code == 0
    assert_ends(ask, 100, *words, "--format", format)
    assert no_temporary_files(tmp_path)


def test_embed_shards(ask: Ask, run: Path, voices: Path, tmp_path: Path) -> None:
    words = ["embed", run, voices, "--device", "cpu", "--output", tmp_path / "out"]
    assert_ends(ask, 2_000, *words)
    assert no_temporary_files(tmp_path)


def test_prepare_leaves_no_half_written_files(ask: Ask, voices: Path, tmp_path: Path) -> None:
    words = ["prepare", voices, "--workers", 1, "--output", tmp_path / "out"]
    assert_ends(ask, 100_000, *words)
    assert no_temporary_files(tmp_path)


def test_convert_leaves_no_half_written_files(ask: Ask, tmp_path: Path) -> None:
    words = ["convert", GOLDEN / "paddle-tiny.pdparams", "--output", tmp_path / "out"]
    assert_ends(ask, 32_000, *words)
    assert no_temporary_files(tmp_path)


def test_cache_of_converted_weights(
    ask: Ask, tmp_path: Path, voices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))
    first, *_, last = sorted(voices.glob("*/*"))
    words = ["verify", GOLDEN / "paddle-tiny.pdparams", first, last, "--device", "cpu"]
    assert_ends(ask, 32_000, *words)
    assert no_temporary_files(tmp_path)


def test_cache_of_recordings(
    ask: Ask, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))
    soundfile.write(tmp_path / "noise.wav", [0.1, -0.1] * 40_000, 16_000)
    config = tmp_path / "c.yaml"
    config.write_text(
        "encoder: {name: tdnn, channels: 16}\n"
        "data: {speakers_per_batch: 4, utterances_per_speaker: 3, crop_seconds: 0.8}\n"
        f"augment: {{noise: {{probability: 1.0, paths: [{tmp_path / 'noise.wav'}]}}}}\n"
        "schedule: {steps: 1}\n"
    )
    words = ["train", config, "--data", store.folder, "--output", tmp_path / "run"]
    assert_ends(ask, 100_000, *words, "--device", "cpu", "--validation-speakers", 0)
    assert no_temporary_files(tmp_path)


def test_average_and_speakers(ask: Ask, run: Path, voices: Path, tmp_path: Path) -> None:
    assert_ends(ask, 16_000, "average", run, run, "--output", tmp_path / "averaged")
    embeddings = tmp_path / "embeddings"
    assert ask("embed", run, voices, "--device", "cpu", "--output", embeddings).code == 0
    assert_ends(ask, 500, "speakers", embeddings, "--output", tmp_path / "speakers.parquet")
    assert_ends(ask, 10, "audit", embeddings)
    assert_ends(ask, 100, "export-list", voices, "--output", tmp_path / "list.parquet")
    assert no_temporary_files(tmp_path)


def test_evaluate_download_and_inspect(
    ask: Ask, run: Path, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))
    first, second, *_, other = (path.relative_to(voices) for path in sorted(voices.glob("*/*")))
    (tmp_path / "t.txt").write_text(f"1 {first} {second}\n0 {first} {other}\n")
    words = ["evaluate", run, tmp_path / "t.txt", "--root", voices, "--device", "cpu"]
    assert_ends(ask, 700, *words, "--output", tmp_path / "e")
    copy = ["--weights-dir", GOLDEN / "wavlm-base-tiny"]
    assert_ends(ask, 32_000, "download", "wavlm-base-plus-sv", *copy)
    assert_ends(ask, 1_000, "inspect", voices, "--output", tmp_path / "page.html")
    assert no_temporary_files(tmp_path)


def test_map_leaves_no_half_written_files(
    ask: Ask, run: Path, voices: Path, tmp_path: Path
) -> None:
    """The plot has no room; then the page has none. Few points are placed without UMAP."""
    few, embeddings, page = tmp_path / "few", tmp_path / "embeddings", tmp_path / "map.html"
    few.mkdir()
    for path in sorted(voices.glob("*/*_00.ogg"))[:4]:
        (few / path.name).symlink_to(path.resolve())
    words = ["embed", run, few, "--layout", "tree", "--device", "cpu", "--output", embeddings]
    assert ask(*words).code == 0
    words = ["map", embeddings, "--output", page]
    for size, written in ((10_000, []), (60_000, ["map.png"])):
        with files_up_to(size):
            answer = ask(*words)
        assert (answer.code, len(answer.err.splitlines())) == (2, 1), answer.err
        assert REASON in answer.err
        assert [path.name for path in tmp_path.glob("*map*")] == written
    assert ask(*words).code == 0
    assert page.exists()
    assert no_temporary_files(tmp_path)


def test_compiled_code_of_umap(
    ask: Ask, tmp_path: Path, run: Path, voices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numba writes it wherever it has room, and names no file when it has none."""

    class FullDisk:
        def __init__(self, **settings: object) -> None:
            pass

        def fit_transform(self, vectors: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(projection, "MIN_FOR_UMAP", 5)
    monkeypatch.setattr(projection, "_umap", lambda: SimpleNamespace(UMAP=FullDisk))
    words = ["embed", run, voices, "--device", "cpu", "--output", tmp_path / "e"]
    assert ask(*words).code == 0
    answer = ask("map", tmp_path / "e", "--output", tmp_path / "map.html")
    assert answer.code == 2
    assert (
        "numba cannot write its compiled code (No space left on device); free some space"
        in answer.err
    )
    assert "NUMBA_CACHE_DIR" in answer.err
    assert not list(tmp_path.glob("*map*"))


@pytest.mark.slow
def test_demo_resumes_where_it_ended(
    ask: Ask, voices: Path, small_demo: None, tmp_path: Path
) -> None:
    """Its data, then its checkpoint, then its map have no room; each time it resumes there."""
    words = ["demo", "--output", tmp_path / "demo"]

    def has_no_room(size: int, missing: str) -> None:
        with files_up_to(size):
            answer = ask(*words)
        assert (answer.code, len(answer.err.splitlines())) == (2, 1), answer.err
        assert REASON in answer.err
        assert not (tmp_path / "demo" / missing).exists()

    has_no_room(1_500_000, "data/store.json")
    api.prepare(voices, tmp_path / "demo" / "data")  # it is the largest file
    has_no_room(1_500_000, "run/checkpoints/step-2")
    assert ask(*words).code == 0
    (tmp_path / "demo" / "map.html").unlink()
    has_no_room(100_000, "map.html")
    assert ask(*words).code == 0
    assert no_temporary_files(tmp_path)
