"""Files of vectors of other tools: which are read, and what is wrong with others."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

import timbral
from timbral.embeddings.table import read_embeddings, vectors_of
from timbral.errors import DataError, TimbralError
from vector_files import FORMS, NAMES, ROWS, SPEAKERS, VECTORS, Write


@pytest.mark.parametrize("form", FORMS)
def test_what_others_write_is_read(form: str, tmp_path: Path) -> None:
    write, has_speakers, loss = FORMS[form]
    (tmp_path / "in").mkdir()
    done = timbral.import_embeddings(write(tmp_path / "in"), tmp_path / "out")
    assert (done.num_utterances, done.embedding_dim, done.num_failures) == (12, 8, 0)
    assert bool(done.num_speakers) == has_speakers
    table = read_embeddings(tmp_path / "out").sort_by("utterance")
    order = np.argsort(NAMES)
    assert table["utterance"].to_pylist() == [NAMES[row] for row in order]
    norms = pa.parquet.read_table(tmp_path / "out" / "utterances.parquet").sort_by("utterance")
    restored = vectors_of(table) * norms["norm"].to_numpy()[:, None]
    np.testing.assert_allclose(restored, VECTORS[order], atol=max(3e-7, loss))
    if has_speakers and form != "Coqui, older":
        assert table["speaker"].to_pylist() == [SPEAKERS[row] for row in order]


@pytest.mark.parametrize(
    ("columns", "speakers"),
    [
        ({"age": ["1", "2", "3"], "split": ["a", "b", "a"], "spk": ["x", "y", "x"]}, "xyx"),
        ({"emotion_label": ["sad", "sad", "glad"], "speaker": [7, 8, 7]}, "787"),
        ({"dataset": ["d", "d", "d"], "speech": ["a", "b", "c"]}, None),
    ],
)
def test_other_arrays_are_neither_names_nor_speakers(
    columns: dict[str, list[object]], speakers: str | None, tmp_path: Path
) -> None:
    """HDF5 lists its arrays by the alphabet, so what comes first says nothing."""
    vectors = np.eye(3, dtype=np.float32)
    np.savez(tmp_path / "v.npz", **columns, embeddings=vectors, utt_ids=["u", "v", "w"])
    timbral.import_embeddings(tmp_path / "v.npz", tmp_path / "out")
    table = read_embeddings(tmp_path / "out")
    assert table["utterance"].to_pylist() == ["u", "v", "w"]
    assert table["speaker"].to_pylist() == list(speakers or ["", "", ""])
    assert np.array_equal(vectors_of(table), vectors)


def test_names_that_cannot_be_told_are_asked_for(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", embeddings=np.eye(2), age=["1", "2"], text=["a", "b"])
    with pytest.raises(DataError, match="which array has the names of the 2 vectors: age or text"):
        timbral.import_embeddings(tmp_path / "v.npz", tmp_path / "out")


def damaged_npy(folder: Path) -> Path:
    (folder / "v.npy").write_bytes(b"\x93NUMPY\x01\x00")
    return folder / "v.npy"


def file_of(name: str, content: bytes) -> Write:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def saved(name: str, content: Any) -> Write:
    def write(folder: Path) -> Path:
        torch.save(content, folder / name)
        return folder / name

    return write


def two_names(folder: Path) -> Path:
    (folder / "v.ark").write_text("a [ 1 2 ]\na [ 1 3 ]\n")
    return folder / "v.ark"


def parquet_of(**columns: Any) -> Write:
    def write(folder: Path) -> Path:
        pa.parquet.write_table(pa.table(columns), folder / "v.parquet")
        return folder / "v.parquet"

    return write


BINARY = b"a \0BFV \4\x03\0\0\0" + np.ones(3, "<f4").tobytes()

BAD: dict[str, tuple[Write, str]] = {
    "nothing there": (lambda folder: folder / "v.ark", "no such file or folder"),
    "an empty folder": (lambda folder: folder, "contains no readable vectors"),
    "another form": (file_of("v.mat", b"x"), r"has an unknown form; files of vectors end"),
    "an ark cut off": (file_of("v.ark", BINARY[:-2]), "a: is cut off: 3 numbers need 2 more bytes"),
    "an ark of a negative size": (
        file_of("v.ark", BINARY.replace(b"\x03\0\0\0", b"\xff\xff\xff\xff")),
        "has the impossible size -1; it is damaged",
    ),
    "an ark of something else": (
        file_of("v.ark", b"a \0BXX \4"),
        "is not a vector of Kaldi; allowed: FV, DV, FM",
    ),
    "an ark without a name": (file_of("v.ark", b"[ 1 2 ]"), "a binary vector of Kaldi"),
    "an ark of text that is no number": (file_of("v.ark", b"a [ 1 x ]"), "other than numbers"),
    "an ark of several rows": (file_of("v.ark", b"a [ 1 2\n 3 4 ]"), "is 2 x 2, not a vector"),
    "a name twice": (two_names, "2 vectors have the name 'a'"),
    "an scp without an offset": (
        file_of("v.scp", b"a v.ark\n"),
        r"v\.scp:1: a line should be `NAME",
    ),
    "an scp of rows": (file_of("v.scp", b"a v.ark:2[0:3]\n"), r"selects rows \[0:3\] of a matrix"),
    "an scp without its ark": (file_of("v.scp", b"a v.ark:2\n"), "cannot be read"),
    "a damaged npy": (damaged_npy, r"cannot be read as \.npy"),
    "an npz that is none": (file_of("v.npz", b"PK"), r"cannot be read as \.npz"),
    "an npz that is a pickle": (
        file_of("v.npz", b"\x80\x04garbage" * 9),
        r"\.npz \(it contains Python objects or is not a NumPy file",
    ),
    "a torch file that is a pickle's beginning": (
        file_of("v.pt", b"\x80\x04garbage" * 9),
        "damaged or not a file of torch",
    ),
    "a pickle that runs something": (
        file_of("v.pkl", b"cbuiltins\nprint\n(S'x'\ntR."),
        "asks for builtins.print; only tensors",
    ),
    "a pickle with a damaged name": (
        file_of("v.pkl", b"\x80\x04\x8c\x05argp\n\x8c\x04Name\x93."),
        r"asks for argp\\n\.Name; only tensors",
    ),
    "a pickle cut off": (file_of("v.pkl", pickle.dumps(ROWS)[:-9]), "as a pickle of vectors"),
    "a torch file that runs something": (
        saved("v.pt", {"a": Path("x")}),
        "contains more than tensors and plain values",
    ),
    "a torch file that is none": (file_of("v.pt", b"no"), "damaged or not a file of torch"),
    "a dict without vectors": (
        saved("v.pt", {"a": {"name": "s", "age": 3}}),
        "has none of embedding, .*, only name, age",
    ),
    "a dict of words": (saved("v.pt", {"a": "word"}), "not a vector of numbers"),
    "JSON lines of numbers": (file_of("v.jsonl", b"{}\n3\n"), r"v\.jsonl:2: an object is needed"),
    "JSON lines cut off": (file_of("v.jsonl", b'{"id": "a"'), r"v\.jsonl:1: is not readable JSON"),
    "JSON of several kinds": (
        file_of("v.json", b'[{"id": "a", "emb": [1, 2]}, {"id": "b", "emb": "x"}]'),
        "column 'emb' contains several types",
    ),
    "a table without a header": (
        file_of("v.csv", b"a,0.5,-1.5\nb,1,2\n"),
        "its first line holds numbers, not names of columns",
    ),
    "a table of whole numbers without a header": (
        file_of("v.csv", b"id,3,-1,7\nb,1,2,4\n"),
        "its first line holds numbers, not names of columns",
    ),
    "Arrow that is none": (file_of("v.feather", b"ARROW1\0\0x"), "cannot be read as Arrow"),
    "a stream of Arrow that is none": (file_of("v.arrow", b"x"), "cannot be read as Arrow"),
    "text of words": (file_of("v.txt", b"some words here\n"), r"v\.txt:1: a line is a name and"),
    "a matrix without names": (
        saved("v.pt", torch.eye(3)),
        "has 3 rows without names; put the names",
    ),
    "JSON that is none": (file_of("v.json", b"{"), "is not readable JSON"),
    "a table without vectors": (file_of("v.csv", b"utt,spk\na,b\n"), "no column of vectors"),
    "a table without names": (
        file_of("v.csv", b"d0,d1\n1,2\n"),
        "which recording or speaker each vector is of",
    ),
    "a table with a word": (file_of("v.csv", b"utt,d0,d1\na,1,x\n"), "contains something else"),
    "a vector that is none": (
        file_of("v.csv", b"utt,emb\na,one\n"),
        "row 1: contains 'one' instead",
    ),
    "a list cut off": (
        file_of("v.csv", b'utt,emb\na,"[1, 2"\n'),
        r"row 1: contains '\[1, 2' instead",
    ),
    "Parquet that is none": (file_of("v.parquet", b"PAR1"), "cannot be read as Parquet"),
    "Parquet with two vectors": (
        parquet_of(utt=["a"], e1=[[1.0, 2.0]], e2=[[1.0, 2.0]]),
        "which column contains the vectors.*embedding=e1; columns of lists: e1, e2",
    ),
    "Parquet without a vector": (
        parquet_of(utt=["a"], emb=[None]),
        "row 1: is empty, not a vector",
    ),
    "Parquet of words": (parquet_of(utt=["a"], emb=[["x"]]), "row 1: is text, not a vector"),
    "CosyVoice without vectors": (
        saved("spk2info.pt", {"s": {"speech_feat": torch.zeros(1, 5, 80)}}),
        "s: has none of embedding, .*, only speech_feat",
    ),
    "Coqui of words": (
        file_of("speakers.json", b'{"c": {"name": "s", "embedding": ["x"]}}'),
        "c: is text, not a vector of numbers",
    ),
    "Coqui of matrices": (
        file_of("speakers.json", b'{"c": {"name": "s", "embedding": [[1, 2], [3, 4]]}}'),
        "c: is 2 x 2, not a vector",
    ),
    "WeSpeaker without its archive": (
        lambda folder: file_of("xvector.scp", b"u /none/xvector.ark:3\n")(folder).parent,
        r"xvector\.scp:1: .*xvector\.ark cannot be read",
    ),
    "SpeechBrain that runs something": (
        lambda folder: file_of("stat_xvect.pkl", b"cbuiltins\nprint\n(S'x'\ntR.")(folder).parent,
        "asks for builtins.print",
    ),
    "several sizes": (
        file_of("v.ark", b"a [ 1 2 ]\nb [ 1 2 3 ]\n"),
        r"different sizes, so they are not from one encoder: 2 \(a\), 3 \(b\)",
    ),
    "nothing but zeros": (file_of("v.ark", b"a [ 0 0 ]\n"), "the first: a: the vector is zero"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case: str, tmp_path: Path) -> None:
    write, message = BAD[case]
    (tmp_path / "in").mkdir()
    with pytest.raises(TimbralError, match=message) as raised:
        timbral.import_embeddings(write(tmp_path / "in"), tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()
