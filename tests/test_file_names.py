"""Names of files made from ids are checked before the work; pipes are no recordings."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from timbral import api
from timbral.audio.decode import decode, read_header, stated_seconds
from timbral.bulk import embed
from timbral.data.prepared.mels import read_mel
from timbral.data.sources import find_utterances
from timbral.embeddings.formats.registry import FORMATS
from timbral.errors import AudioError, DataError
from timbral.inference.embedder import Embedder
from timbral.io.file_names import check_file_names


@pytest.fixture
def embedder(run: Path, monkeypatch: pytest.MonkeyPatch) -> Embedder:
    """An encoder that must not be asked to work."""

    def work(*given: object) -> float:
        raise AssertionError("the work began")

    monkeypatch.setattr(embed, "embed_missing", work)
    return api.load_encoder(run, device="cpu")


def make_table(folder: Path, rows: list[tuple[str, str, str]]) -> Path:
    columns = zip(*rows, strict=True)
    table = pa.table(dict(zip(("path", "speaker", "utterance"), map(list, columns), strict=True)))
    folder.mkdir(exist_ok=True)
    pa.parquet.write_table(table, folder / "list.parquet")
    return folder / "list.parquet"


@pytest.mark.parametrize("format", ["npy", "torch"])
def test_two_recordings_of_one_name(
    embedder: Embedder, voices: Path, tmp_path: Path, format: str
) -> None:
    source = min(voices.glob("*/*.ogg"))
    (tmp_path / "c" / "anna").mkdir(parents=True)
    for suffix in (".ogg", ".oga"):
        shutil.copy(source, tmp_path / "c" / "anna" / f"a{suffix}")
    rows = [("anna/a.ogg", "anna", "one"), ("anna/a.oga", "anna", "two")]
    make_table(tmp_path / "c", rows)
    listed = find_utterances(tmp_path / "c" / "list.parquet")
    with pytest.raises(DataError, match="would get the same file"):
        embed.embed_corpus(embedder, listed, tmp_path / "c", tmp_path / "o", format=format)
    assert not (tmp_path / "o").exists()


def names(rows: list[tuple[str, str, str]]) -> pa.Table:
    columns = ("path", "speaker", "utterance")
    return pa.table({name: [row[i] for row in rows] for i, name in enumerate(columns)})


def test_two_speakers_of_one_name() -> None:
    table = names([("/c/x/a.wav", "s/x", "a"), ("/c/y/b.wav", "s_x", "b")])
    with pytest.raises(DataError, match="would get the same file"):
        check_file_names(FORMATS["torch"].planned_files(table, "/c", "ecapa"))


def test_long_names() -> None:
    check_file_names(["x" * 255])
    with pytest.raises(DataError, match="256 bytes"):
        check_file_names(["a/" + "é" * 128])
    table = names([(f"/c/s/{'x' * 250}.wav", "s", "a")])
    with pytest.raises(DataError, match="file systems allow 255"):
        check_file_names(FORMATS["torch"].planned_files(table, "/c", "ecapa"))


@pytest.mark.parametrize(("speaker", "utterance"), [("__metadata__", "a"), ("s", "__metadata__")])
def test_name_that_safetensors_reserves(speaker: str, utterance: str) -> None:
    table = names([("/c/a.wav", speaker, utterance)])
    with pytest.raises(DataError, match="reserves this name"):
        FORMATS["safetensors"].planned_files(table, "/c", "x")


def test_id_that_kaldi_cannot_hold_is_found_before_the_work() -> None:
    with pytest.raises(DataError, match="white space"):
        FORMATS["kaldi"].planned_files(names([("/c/a.wav", "s", "a b")]), "/c", "x")


def test_files_beside_recordings_are_not_overwritten(
    embedder: Embedder, voices: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(voices, tmp_path / "corpus"))
    theirs = min(root.glob("*/*.ogg")).with_suffix(".npy")
    theirs.write_bytes(b"theirs")
    with pytest.raises(DataError, match="was not made by this job"):
        api.embed(embedder, root, root, format="npy")
    assert theirs.read_bytes() == b"theirs"
    assert not list(root.glob(".embed*"))


def test_a_pipe_is_no_recording(tmp_path: Path) -> None:
    pipe = tmp_path / "x.wav"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        for read in (decode, read_header):
            with pytest.raises(AudioError, match="not a regular file"):
                read(path)
        assert stated_seconds(path) is None


def test_a_pipe_is_no_mel(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npy")
    with pytest.raises(AudioError, match="not a regular file"):
        read_mel(tmp_path / "x.npy")
    (tmp_path / "empty.npy").touch()
    with pytest.raises(AudioError, match="cannot be read as a mel"):
        read_mel(tmp_path / "empty.npy")
