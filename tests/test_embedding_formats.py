"""Every format, read as its consumers read it; real files of ddvc."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import kaldiio
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import safetensors.numpy
import torch

from conftest import Ask
from timbral import api
from timbral.embeddings.formats import safetensors as safetensors_format
from timbral.embeddings.formats.registry import FORMATS
from timbral.embeddings.table import read_embeddings, utterance_schema, vectors_of
from timbral.errors import DataError
from timbral.inference.embedder import Embedder


@pytest.fixture(scope="module")
def table(embedder: Embedder, voices: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    folder = tmp_path_factory.mktemp("table")
    api.embed(embedder, voices, folder)
    return read_embeddings(folder)


def test_safetensors(table: pa.Table, voices: Path, tmp_path: Path) -> None:
    FORMATS["safetensors"].write(table, voices, tmp_path, "x")
    tensors = safetensors.numpy.load_file(tmp_path / "utterances.safetensors")
    assert list(tensors) == sorted(table["utterance"].to_pylist())
    row = table.slice(7, 1)
    np.testing.assert_array_equal(tensors[row["utterance"][0].as_py()], vectors_of(row)[0])
    speakers = safetensors.numpy.load_file(tmp_path / "speakers.safetensors")
    assert sorted(speakers) == sorted(set(table["speaker"].to_pylist()))
    assert all(abs(np.linalg.norm(vector) - 1) < 1e-5 for vector in speakers.values())


def test_safetensors_are_the_same_bytes_in_every_process(
    table: pa.Table, voices: Path, tmp_path: Path
) -> None:
    for number in range(8):  # the library draws the order of several keys each time
        FORMATS["safetensors"].write(table, voices, tmp_path / str(number), "x")
    for name in ("utterances.safetensors", "speakers.safetensors"):
        assert len({(tmp_path / str(number) / name).read_bytes() for number in range(8)}) == 1
    with safetensors.safe_open(tmp_path / "0" / "speakers.safetensors", "np") as file:
        made_with = json.loads(file.metadata()["timbral"])
    assert made_with["weights_sha256"] == table["weights_sha256"][0].as_py()


def test_parquet_of_vectors_is_smaller_than_the_vectors(tmp_path: Path) -> None:
    """Byte-stream split and zstd; a dictionary of floats that never repeat makes it larger."""
    vectors = np.random.default_rng(0).standard_normal((2000, 192)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = [(f"s/{number}", "s", tmp_path / f"{number}.wav") for number in range(len(vectors))]
    table = make_table(rows, vectors)
    FORMATS["parquet"].write(table, tmp_path, tmp_path, "x")
    path = tmp_path / "utterances.parquet"
    assert path.stat().st_size < 0.95 * vectors.nbytes
    assert read_embeddings(tmp_path).equals(table)
    column = pyarrow.parquet.ParquetFile(path).metadata.row_group(0).column(5)
    assert column.path_in_schema.startswith("embedding")
    assert "BYTE_STREAM_SPLIT" in column.encodings
    assert column.compression == "ZSTD"


def test_many_vectors_make_several_safetensors(
    table: pa.Table, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safetensors_format, "VECTORS_PER_FILE", 20)
    FORMATS["safetensors"].write(table, voices, tmp_path, "x")
    names = sorted(path.name for path in tmp_path.glob("utterances-*"))
    assert names == [f"utterances-{k:05d}-of-00003.safetensors" for k in (1, 2, 3)]
    assert sum(len(safetensors.numpy.load_file(tmp_path / name)) for name in names) == 48


def test_kaldi_archives_are_read_by_kaldiio(table: pa.Table, voices: Path, tmp_path: Path) -> None:
    FORMATS["kaldi"].write(table, voices, tmp_path, "x")
    read = kaldiio.load_scp(str(tmp_path / "xvector.scp"))
    utterances = table["utterance"].to_pylist()
    assert sorted(read) == sorted(utterances)
    for utterance, vector in zip(utterances, vectors_of(table), strict=True):
        np.testing.assert_array_equal(read[utterance], vector)
    in_order = [key for key, _ in kaldiio.load_ark(str(tmp_path / "xvector.ark"))]
    assert in_order == sorted(utterances, key=str.encode)
    lines = dict(line.split() for line in (tmp_path / "utt2spk").read_text().splitlines())
    assert lines == dict(zip(utterances, table["speaker"].to_pylist(), strict=True))
    speakers_read = kaldiio.load_scp(str(tmp_path / "spk_xvector.scp"))
    counts = dict(line.split() for line in (tmp_path / "num_utts").read_text().splitlines())
    assert set(speakers_read) == set(counts) == set(lines.values())
    assert set(counts.values()) == {"6"}


def make_table(rows: list[tuple[str, str, Path]], vectors: np.ndarray) -> pa.Table:
    count = len(rows)
    columns = [
        [row[0] for row in rows], [row[1] for row in rows], [""] * count,
        [str(row[2]) for row in rows], [1.0] * count, list(vectors),
        ["ecapa"] * count, ["0"] * count, [""] * count,
    ]  # fmt: skip
    schema = utterance_schema(vectors.shape[1])
    return pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema)


def test_id_that_kaldi_cannot_hold_is_an_error(tmp_path: Path) -> None:
    table = make_table([("a b", "anna", tmp_path / "a b.wav")], np.eye(1, 4, dtype=np.float32))
    with pytest.raises(DataError, match="white space"):
        FORMATS["kaldi"].planned_files(table, tmp_path, "x")


def test_averages_are_those_of_ddvc(shared: Path, tmp_path: Path) -> None:
    """570 real files of ddvc, averaged by timbral, give ddvc's averaged files."""
    ddvc = shared / "system-a-embeddings"
    files = sorted(ddvc.rglob("*.ecapa_embedding"))
    assert len(files) == 570
    read = [torch.load(path, map_location="cpu", weights_only=True)[0] for path in files]
    rows = [
        (path.stem, path.relative_to(ddvc).parts[0], path.with_suffix(".wav")) for path in files
    ]
    FORMATS["torch"].write(make_table(rows, torch.stack(read).numpy()), ddvc, tmp_path, "ecapa")
    averaged = sorted(ddvc.glob("*/*.ecapa_averaged_embedding"))
    assert len(averaged) == 4
    for path in averaged:
        written = torch.load(tmp_path / path.relative_to(ddvc), weights_only=True)
        other = torch.load(path, map_location="cpu", weights_only=True)
        assert written.shape == other.shape
        torch.testing.assert_close(written, other, atol=1e-5, rtol=1e-5)
    for path, vector in list(zip(files, read, strict=True))[::50]:
        written = torch.load(tmp_path / path.relative_to(ddvc), weights_only=True)[0]
        assert torch.equal(written, vector)


def test_cosyvoice(table: pa.Table, voices: Path, tmp_path: Path) -> None:
    """As its tools/make_parquet_list.py and dataset/processor.py read them."""
    FORMATS["cosyvoice"].write(table, voices, tmp_path, "x")
    utterances = torch.load(tmp_path / "utt2embedding.pt", weights_only=True)
    speakers = torch.load(tmp_path / "spk2embedding.pt", weights_only=True)
    speaker_of = dict(
        zip(table["utterance"].to_pylist(), table["speaker"].to_pylist(), strict=True)
    )
    rows = [torch.tensor(utterances[name], dtype=torch.float32) for name in speaker_of]
    np.testing.assert_array_equal(torch.stack(rows).numpy(), vectors_of(table))
    for speaker in set(speaker_of.values()):
        own = [row for row, of in zip(rows, speaker_of.values(), strict=True) if of == speaker]
        mean = torch.stack(own).mean(dim=0)
        torch.testing.assert_close(torch.tensor(speakers[speaker]), mean)
    assert isinstance(utterances[table["utterance"][0].as_py()], list)


def test_coqui_reads_its_speaker_files(table: pa.Table, voices: Path, tmp_path: Path) -> None:
    """As its EmbeddingManager reads them, with the keys of its add_extra_keys."""
    FORMATS["coqui"].write(table, voices, tmp_path, "x")
    mapping = torch.load(tmp_path / "speakers.pth", weights_only=True)
    assert json.loads((tmp_path / "speakers.json").read_text("utf-8")) == mapping
    assert sorted({entry["name"] for entry in mapping.values()}) == sorted(
        set(table["speaker"].to_pylist())
    )
    for row in table.slice(0, 3).to_pylist():
        below = Path(row["path"]).relative_to(voices).with_suffix("")
        entry = mapping[f"{voices.name}#{below}"]
        assert entry["name"] == row["speaker"]
        np.testing.assert_allclose(entry["embedding"], row["embedding"])
    twice = pa.concat_tables([table, table.slice(0, 1)])
    with pytest.raises(DataError, match="1 recordings differ only in their suffixes"):
        FORMATS["coqui"].planned_files(twice, voices, "x")


def test_rtvc_finds_vectors_by_the_names_in_its_list(
    table: pa.Table, voices: Path, tmp_path: Path
) -> None:
    """As its SynthesizerDataset reads them, by the names in train.txt."""
    FORMATS["rtvc"].write(table, voices, tmp_path, "x")
    row = table.slice(5, 1)
    name = f"embed-{Path(row['path'][0].as_py()).stem}.npy"
    vector = np.load(tmp_path / "embeds" / name).astype(np.float32)
    np.testing.assert_array_equal(vector, vectors_of(row)[0])
    assert len(list((tmp_path / "embeds").iterdir())) == len(table)
    twice = pa.concat_tables([table, table.slice(0, 1)])
    with pytest.raises(DataError, match="1 names of recordings occur in several folders"):
        FORMATS["rtvc"].planned_files(twice, voices, "x")


def test_rtvc_writes_beside_what_its_preprocessing_wrote(
    ask: Ask, run: Path, voices: Path, tmp_path: Path
) -> None:
    """Into SV2TTS/synthesizer, which has train.txt, mels and audio then."""
    corpus, output = tmp_path / "corpus", tmp_path / "synthesizer"
    shutil.copytree(min(voices.iterdir()), corpus / "anna")
    (output / "mels").mkdir(parents=True)
    (output / "audio").mkdir()
    names = sorted(path.stem for path in (corpus / "anna").iterdir())
    lines = "".join(f"audio-{name}.npy|mel-{name}.npy|embed-{name}.npy|\n" for name in names)
    (output / "train.txt").write_text(lines)
    words = ("embed", run, corpus, "--format", "rtvc", "--output", output)
    for _ in range(2):
        assert ask(*words).code == 0
    assert (output / "train.txt").read_text() == lines
    for line in lines.splitlines():
        assert (output / "embeds" / line.split("|")[2]).exists()
    (output / "thesis.tex").touch()
    (output / ".embed").rename(tmp_path / "elsewhere")
    refused = ask(*words)
    assert refused.code == 2
    assert "is not empty" in refused.err
