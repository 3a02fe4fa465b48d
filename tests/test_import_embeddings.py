"""Vectors of other tools, in files that their own writers made."""

from __future__ import annotations

import json
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest
import safetensors.numpy
import torch

import timbral
from conftest import Ask
from timbral.embeddings.table import read_embeddings, vectors_of
from timbral.errors import ConfigError, DataError, TimbralError

NAMES = [f"s{number // 4}/u{number}" for number in range(12)]
SPEAKERS = [name.partition("/")[0] for name in NAMES]
VECTORS = np.random.default_rng(0).standard_normal((12, 8)).astype(np.float32)
ROWS = dict(zip(NAMES, VECTORS, strict=True))
Write = Callable[[Path], Path]


def kaldi(options: str, **settings: Any) -> Write:
    def write(folder: Path) -> Path:
        form = options.format(ark=folder / "v.ark", scp=folder / "v.scp")
        as_matrix = "compression_method" in settings
        with kaldiio.WriteHelper(form, **settings) as writer:
            for name, row in ROWS.items():
                writer(name, row[None] if as_matrix else row)
        return folder / ("v.scp" if "scp" in options else "v.ark")

    return write


def text_archive(folder: Path) -> Path:
    """As Kaldi's ark,t, of vectors and of a matrix of one row."""
    lines = [f"{name}  [ {' '.join(map(repr, row.tolist()))} ]\n" for name, row in ROWS.items()]
    lines[1] = lines[1].replace("[ ", "[\n  ")
    (folder / "v.ark").write_text("".join(lines))
    return folder / "v.ark"


def npy_tree(folder: Path) -> Path:
    for name, row in ROWS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        np.save(folder / f"{name}.npy", row)
    return folder


def pt_tree(folder: Path) -> Path:
    for name, row in ROWS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        torch.save(torch.from_numpy(row)[None], folder / f"{name}.pt")
    return folder


def npy_table(folder: Path) -> Path:
    np.save(folder / "v.npy", VECTORS)
    (folder / "v.txt").write_text("\n".join(NAMES) + "\n")
    return folder / "v.npy"


def npz(folder: Path) -> Path:
    np.savez(folder / "v.npz", **ROWS)
    return folder / "v.npz"


def npz_table(folder: Path) -> Path:
    np.savez(folder / "v.npz", embeddings=VECTORS, ids=NAMES, speakers=SPEAKERS)
    return folder / "v.npz"


def safetensors_file(folder: Path) -> Path:
    safetensors.numpy.save_file(ROWS, folder / "v.safetensors")
    return folder / "v.safetensors"


def torch_dict(folder: Path) -> Path:
    torch.save({name: torch.from_numpy(row) for name, row in ROWS.items()}, folder / "v.pth")
    return folder / "v.pth"


def pickled(protocol: int) -> Write:
    def write(folder: Path) -> Path:
        (folder / "v.pkl").write_bytes(pickle.dumps(ROWS, protocol))
        return folder / "v.pkl"

    return write


def pickled_numbers(folder: Path) -> Path:
    (folder / "v.pkl").write_bytes(pickle.dumps({name: list(row) for name, row in ROWS.items()}))
    return folder / "v.pkl"


def cosyvoice(folder: Path) -> Path:
    torch.save({name: row.tolist() for name, row in ROWS.items()}, folder / "utt2embedding.pt")
    torch.save({"s0": VECTORS[0].tolist()}, folder / "spk2embedding.pt")
    lines = [f"{name} {speaker}\n" for name, speaker in zip(NAMES, SPEAKERS, strict=True)]
    (folder / "utt2spk").write_text("".join(lines))
    return folder


def coqui(folder: Path) -> Path:
    mapping = {
        name: {"name": speaker, "embedding": row.tolist()}
        for (name, row), speaker in zip(ROWS.items(), SPEAKERS, strict=True)
    }
    torch.save(mapping, folder / "speakers.pth")
    return folder


def coqui_json(folder: Path) -> Path:
    coqui(folder).joinpath("speakers.pth").unlink()
    mapping = {name: {"name": "s", "embedding": row.tolist()} for name, row in ROWS.items()}
    (folder / "speakers.json").write_text(json.dumps(mapping))
    return folder


def wespeaker(folder: Path) -> Path:
    """exp/MODEL/embeddings/SET/xvector.scp, made elsewhere: its archives lie beside it now."""
    inner = folder / "embeddings" / "vox1"
    inner.mkdir(parents=True)
    kaldi("ark,scp:{ark},{scp}")(inner)
    text = (inner / "v.scp").read_text().replace(str(inner), "/where/it/was/made")
    (inner / "v.scp").write_text(text)
    return folder


def speechbrain(folder: Path) -> Path:
    """What speechbrain's recipes pickle: a StatObject_SB, whose class need not be here."""
    names = ("speechbrain", "speechbrain.processing", "speechbrain.processing.PLDA_LDA")
    modules = {name: types.ModuleType(name) for name in names}
    cls = type("StatObject_SB", (), {"__module__": names[-1]})
    modules[names[-1]].StatObject_SB = cls  # type: ignore[attr-defined]
    made = cls()
    fields: dict[str, Any] = {
        "modelset": np.array(SPEAKERS, dtype="|O"),
        "segset": np.array(NAMES, dtype="|O"),
        "start": np.array([None] * len(NAMES)),
        "stop": np.array([None] * len(NAMES)),
        "stat0": np.ones((len(NAMES), 1)),
        "stat1": VECTORS.astype(np.float64),
    }
    vars(made).update(fields)
    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        (folder / "stat_train.pkl").write_bytes(pickle.dumps(made))
    return folder


def parquet(folder: Path) -> Path:
    table = pa.table(
        {"spk_id": SPEAKERS, "audio_filepath": [f"{name}.wav" for name in NAMES],
         "spk_emb": VECTORS.tolist(), "text": ["x"] * len(NAMES)}
    )  # fmt: skip
    pa.parquet.write_table(table, folder / "v.parquet")
    return folder / "v.parquet"


def csv_of_numbers(folder: Path) -> Path:
    columns = {"": NAMES, **{f"{size}": VECTORS[:, size] for size in range(VECTORS.shape[1])}}
    columns["id"] = columns.pop("")
    pa.csv.write_csv(pa.table(columns), folder / "v.csv")
    return folder / "v.csv"


def csv_of_lists(folder: Path) -> Path:
    lines = ["utt,client_id,emb\n"]
    lines += [f'{name},{name[:2]},"{row.tolist()}"\n' for name, row in ROWS.items()]
    (folder / "v.csv").write_text("".join(lines))
    return folder / "v.csv"


def records() -> list[dict[str, Any]]:
    """As NeMo's manifests have them, with numbers and texts that say nothing about vectors."""
    return [
        {"audio_filepath": f"{name}.wav", "duration": 1.5, "label": speaker, "text": None,
         "embedding": row.tolist()}
        for (name, row), speaker in zip(ROWS.items(), SPEAKERS, strict=True)
    ]  # fmt: skip


def json_lines(name: str) -> Write:
    def write(folder: Path) -> Path:
        (folder / name).write_text("".join(json.dumps(each) + "\n" for each in records()))
        return folder / name

    return write


def json_of_objects(folder: Path) -> Path:
    (folder / "v.json").write_text(json.dumps(records()))
    return folder / "v.json"


def torch_columns(folder: Path) -> Path:
    content = {"labels": SPEAKERS, "names": NAMES, "embeddings": torch.from_numpy(VECTORS)}
    torch.save(content, folder / "v.pt")
    return folder / "v.pt"


def pickled_columns(folder: Path) -> Path:
    names = np.array(NAMES, dtype="|O")
    content = {"embeddings": VECTORS, "utt": names, "spk": SPEAKERS, "sample_rate": 16_000}
    (folder / "v.pkl").write_bytes(pickle.dumps(content))
    return folder / "v.pkl"


def torch_matrix(folder: Path) -> Path:
    torch.save(torch.from_numpy(VECTORS), folder / "v.pt")
    (folder / "v.txt").write_text("\n".join(NAMES) + "\n")
    return folder / "v.pt"


def table_of_lists(rows: slice = slice(None)) -> pa.Table:
    audio = [{"path": f"{name}.wav", "bytes": b""} for name in NAMES[rows]]
    vectors = VECTORS[rows].tolist()
    columns = [NAMES[rows], SPEAKERS[rows], vectors, audio]
    return pa.table(columns, ["id", "speaker_id", "emb", "audio"])


def feather(folder: Path) -> Path:
    pyarrow.feather.write_feather(table_of_lists(), folder / "v.feather")
    return folder / "v.feather"


def datasets_folder(folder: Path) -> Path:
    """What `save_to_disk` writes: streams of Arrow, beside JSON."""
    for number, rows in enumerate((slice(0, 7), slice(7, 12))):
        table = table_of_lists(rows)
        name = f"data-{number:05d}-of-00002.arrow"
        with pa.ipc.new_stream(folder / name, table.schema) as writer:
            writer.write_table(table)
    (folder / "state.json").write_text("{}")
    return folder


def parquet_folder(folder: Path) -> Path:
    for number, rows in enumerate((slice(0, 7), slice(7, 12))):
        pa.parquet.write_table(table_of_lists(rows), folder / f"part-{number}.parquet")
    return folder


def plain_text(folder: Path) -> Path:
    lines = [f"{name} {' '.join(map(repr, row.tolist()))}\n" for name, row in ROWS.items()]
    (folder / "v.txt").write_text("".join(lines))
    return folder / "v.txt"


def hdf5(folder: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "v.h5", "w") as file:
        for name, row in ROWS.items():
            file[name] = row[None]
    return folder / "v.h5"


def hdf5_table(folder: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "v.hdf5", "w") as file:
        file.create_dataset("embeddings", data=VECTORS, compression="gzip")
        file["names"] = NAMES
        file["speakers"] = np.char.encode(SPEAKERS, "utf-8")
    return folder  # a folder of such files is read, too


FORMS: dict[str, tuple[Write, bool, float]] = {
    "HDF5": (hdf5, False, 0),
    "HDF5 table": (hdf5_table, True, 0),
    "ark": (kaldi("ark:{ark}"), False, 0),
    "scp": (kaldi("ark,scp:{ark},{scp}"), False, 0),
    "ark, compressed by columns": (kaldi("ark:{ark}", compression_method=2), False, 0.02),
    "ark, compressed to two bytes": (kaldi("ark:{ark}", compression_method=3), False, 1e-4),
    "ark, compressed to one byte": (kaldi("ark:{ark}", compression_method=5), False, 0.02),
    "ark of kaldiio as text": (kaldi("ark,t:{ark}"), False, 1e-6),
    "ark as text": (text_archive, False, 1e-6),
    "npy tree": (npy_tree, True, 0),
    "pt tree": (pt_tree, True, 0),
    "npy table": (npy_table, False, 0),
    "npz": (npz, False, 0),
    "npz table": (npz_table, True, 0),
    "safetensors": (safetensors_file, False, 0),
    "torch dict": (torch_dict, False, 0),
    "pickle 2": (pickled(2), False, 0),
    "pickle 4": (pickled(4), False, 0),
    "pickle 5": (pickled(5), False, 0),
    "pickle of NumPy's numbers": (pickled_numbers, False, 0),
    "CosyVoice": (cosyvoice, True, 0),
    "Coqui": (coqui, True, 0),
    "Coqui, older": (coqui_json, True, 0),
    "WeSpeaker": (wespeaker, False, 0),
    "SpeechBrain": (speechbrain, True, 0),
    "Parquet": (parquet, True, 0),
    "CSV of numbers": (csv_of_numbers, False, 1e-6),
    "CSV of lists": (csv_of_lists, True, 1e-6),
    "JSON lines": (json_lines("v.jsonl"), True, 1e-6),
    "JSON lines, as NeMo calls them": (json_lines("v.json"), True, 1e-6),
    "JSON of objects": (json_of_objects, True, 1e-6),
    "torch columns": (torch_columns, True, 0),
    "pickled columns": (pickled_columns, True, 0),
    "torch matrix": (torch_matrix, False, 0),
    "Feather": (feather, True, 0),
    "datasets": (datasets_folder, True, 0),
    "Parquet in parts": (parquet_folder, True, 0),
    "text": (plain_text, False, 1e-6),
    "text of Kaldi": (lambda folder: text_archive(folder).rename(folder / "v.txt"), False, 1e-6),
}
"""writer, whether it says who speaks, and how much of the numbers it loses"""


@pytest.mark.parametrize("form", FORMS)
def test_what_others_write_is_read(form: str, tmp_path: Path) -> None:
    write, has_speakers, loss = FORMS[form]
    (tmp_path / "in").mkdir()
    done = timbral.import_embeddings(write(tmp_path / "in"), tmp_path / "out")
    if form == "CosyVoice":
        assert (done.num_utterances, done.num_failures) == (12, 0)
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


def test_encoders_are_never_mixed(tmp_path: Path) -> None:
    source = npz(tmp_path)
    hashes = {}
    for name, options in {
        "unknown": {},
        "again": {},
        "named": {"encoder": "resnet34"},
        "weights": {"encoder": "resnet34", "weights": source},
    }.items():
        done = timbral.import_embeddings(source, tmp_path / name, **options)  # type: ignore[arg-type]
        hashes[name] = done.weights_sha256
    np.savez(tmp_path / "w.npz", **{name: 2 - row for name, row in ROWS.items()})
    other = timbral.import_embeddings(tmp_path / "w.npz", tmp_path / "other")
    same = timbral.import_embeddings(tmp_path / "w.npz", tmp_path / "same", encoder="resnet34")
    assert hashes["unknown"] == hashes["again"]
    assert other.weights_sha256 != hashes["unknown"], "two unknown encoders are two"
    assert same.weights_sha256 == hashes["named"], "one name is one encoder"
    assert len({*hashes.values(), other.weights_sha256}) == 4
    assert read_embeddings(tmp_path / "named")["encoder"].to_pylist() == ["resnet34"] * 12


def test_every_verb_takes_them(tmp_path: Path, ask: Ask) -> None:
    """speakers, audit, map, score, compare and a gallery on vectors of an unknown encoder."""
    random = np.random.default_rng(1)
    means = random.standard_normal((6, 16))
    rows = {
        f"s{number % 6}-{number}": means[number % 6] + 0.3 * random.standard_normal(16)
        for number in range(36)
    }
    source, emb = tmp_path / "v.npz", tmp_path / "emb"
    np.savez(source, **rows)
    (tmp_path / "utt2spk").write_text("".join(f"{name} {name[:2]}\n" for name in rows))
    made = ask("import-embeddings", source, "--output", emb, "--encoder", "theirs")
    assert (made.code, made.err) == (0, ""), made.err
    assert "36 vectors of 16 numbers, 6 speakers" in made.out
    assert ask("speakers", emb, "--output", tmp_path / "s.parquet").code == 0
    assert ask("audit", emb).code == 0
    names = list(rows)
    lines = [f"{int(a[:2] == b[:2])} {a} {b}\n" for a in names[:12] for b in names[12:30]]
    (tmp_path / "trials").write_text("".join(lines))
    for output in ("one", "two"):
        scored = ask("score", emb, tmp_path / "trials", "--output", tmp_path / output)
        assert scored.code == 0, scored.err
        assert "EER" in scored.out
    gallery = tmp_path / "g.db"
    enrolled = ask("enroll", gallery, "--embeddings", emb, "--force")
    assert enrolled.code == 0, enrolled.err
    other = timbral.import_embeddings(source, tmp_path / "other")
    mixed = ask("enroll", gallery, "--embeddings", tmp_path / "other")
    assert (mixed.code, mixed.err.count("error: ")) == (2, 1)
    assert other.weights_sha256[:8] in mixed.err
    assert ask("embed", "x", tmp_path, "--output", emb).code == 2


def test_trials_are_drawn_from_them(tmp_path: Path, ask: Ask) -> None:
    """By the ids that `score` takes; not where nothing says who speaks."""
    random = np.random.default_rng(2)
    rows = {f"s{number % 6} {number}": random.standard_normal(8) for number in range(24)}
    np.savez(tmp_path / "v.npz", **rows)
    (tmp_path / "who").write_text("".join(f"{name}\t{name[:2]}\n" for name in rows))
    timbral.import_embeddings(tmp_path / "v.npz", tmp_path / "e", speakers=tmp_path / "who")
    drawn = ask("trials", tmp_path / "e", "--per-speaker", "4", "--output", tmp_path / "t")
    assert (drawn.code, "24 target trials and 24 non-target" in drawn.out) == (0, True), drawn.err
    assert "names in the list: the vectors' utterances" in drawn.err
    assert not (tmp_path / "t.columns.tsv").exists(), "norm is no property of a voice"
    scored = timbral.score(tmp_path / "e", tmp_path / "t", tmp_path / "s", draws=0)
    assert (scored.num_trials, scored.missing) == (48, ())
    assert timbral.compare(tmp_path / "s", tmp_path / "s", draws=100).num_speakers == 6
    timbral.import_embeddings(tmp_path / "v.npz", tmp_path / "nobody")
    refused = ask("trials", tmp_path / "nobody", "--output", tmp_path / "t2")
    assert (refused.code, refused.err.count("error: ")) == (2, 1)
    assert "24 of 24 vectors have no speaker, the first 's0 0'" in refused.err
    assert not (tmp_path / "t2").exists()


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


def parquet(**columns: Any) -> Write:
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
        parquet(utt=["a"], e1=[[1.0, 2.0]], e2=[[1.0, 2.0]]),
        "which column contains the vectors.*embedding=e1; columns of lists: e1, e2",
    ),
    "Parquet without a vector": (parquet(utt=["a"], emb=[None]), "row 1: is empty, not a vector"),
    "Parquet of words": (parquet(utt=["a"], emb=[["x"]]), "row 1: is text, not a vector"),
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


def test_verbs_say_how_other_tools_vectors_are_read(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for source in (torch_dict(tmp_path), datasets_folder(tmp_path / "data")):
        answer = ask("audit", source)
        assert (answer.code, len(answer.err.splitlines())) == (2, 1)
        assert f"`timbral import-embeddings {source} --output FOLDER`" in answer.err
    assert (
        "`timbral import-embeddings`"
        in ask("audit", parquet_folder(tmp_path) / "part-0.parquet").err
    )


def test_a_mistyped_folder_of_vectors_is_told(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "vectors").mkdir()
    for verb in ("audit", "speakers"):
        answer = ask(verb, tmp_path / "vektors", "--output", tmp_path / "o.parquet")
        assert answer.code == 2
        assert f"vektors: no such file or folder; did you mean {tmp_path}/vectors" in answer.err


def test_what_embed_wrote_in_another_format_is_written_again(
    ask: Ask, run: Path, voices: Path, tmp_path: Path
) -> None:
    other, table = tmp_path / "other", tmp_path / "table"
    assert ask("embed", run, voices, "--format", "coqui", "--output", other).code == 0
    remedy = f"`timbral embed ENCODER CORPUS --reuse {other} --output FOLDER`"
    for words in (("audit", other), ("import-embeddings", other, "--output", table)):
        answer = ask(*words)
        assert (answer.code, len(answer.err.splitlines())) == (2, 1)
        assert remedy in answer.err
    assert ask("embed", run, voices, "--reuse", other, "--output", table).code == 0
    assert ask("audit", table).code == 0


def test_vectors_in_other_forms_are_told(tmp_path: Path) -> None:
    """WeSpeaker's mean_vec.npy lies beside its archives."""
    source = tmp_path / "in"
    source.mkdir()
    (source / "v.ark").write_text("a [ 1 2 ]\n")
    np.save(source / "mean_vec.npy", np.ones(2))
    with pytest.warns(UserWarning, match=r"as a folder of Kaldi; not read: mean_vec\.npy$"):
        assert timbral.import_embeddings(source, tmp_path / "out").num_utterances == 1


def test_vectors_that_cannot_be_used_are_counted(tmp_path: Path, ask: Ask) -> None:
    rows = {**ROWS, "zero": np.zeros(8), "nan": np.full(8, np.nan)}
    np.savez(tmp_path / "v.npz", **rows)
    made = ask("import-embeddings", tmp_path / "v.npz", "--output", tmp_path / "out")
    assert made.code == 1
    assert "2 recordings could not be used" in made.err
    lines = (tmp_path / "out" / "failures.jsonl").read_text().splitlines()
    failures = [json.loads(line) for line in lines]
    assert {row["path"]: row["kind"] for row in failures} == {"zero": "empty", "nan": "not-finite"}


def test_lists_of_speakers_and_paths(tmp_path: Path) -> None:
    source = npz(tmp_path)
    (tmp_path / "who").write_text("".join(f"{name} x{name[1]}\n" for name in NAMES[:8]))
    (tmp_path / "wav.scp").write_text(f"{NAMES[0]} /data/my file.wav\n")
    options = {"speakers": tmp_path / "who", "paths": tmp_path / "wav.scp", "license": "mit"}
    timbral.import_embeddings(source, tmp_path / "out", **options)  # type: ignore[arg-type]
    table = read_embeddings(tmp_path / "out")
    assert table["speaker"].to_pylist() == [f"x{name[1]}" for name in NAMES[:8]] + [""] * 4
    assert table["path"].to_pylist() == ["/data/my file.wav"] + [""] * 11
    assert pc.all(pc.equal(table["license"], "mit")).as_py()
    (tmp_path / "who").write_text("other s\n")
    with pytest.raises(
        DataError, match=r"has no speaker for any of the vectors\. Its first name is 'other'"
    ):
        timbral.import_embeddings(source, tmp_path / "o", speakers=tmp_path / "who")


def test_columns_by_name(tmp_path: Path) -> None:
    table = pa.table({"wer": NAMES, "vec": VECTORS.tolist(), "id": ["same"] * 12})
    pa.parquet.write_table(table, tmp_path / "v.parquet")
    columns = {"utterance": "wer", "embedding": "vec"}
    timbral.import_embeddings(tmp_path / "v.parquet", tmp_path / "out", columns=columns)
    assert read_embeddings(tmp_path / "out")["utterance"].to_pylist() == NAMES
    expected = {"utterance": r"no column 'vecs'; did you mean 'vec'", "x": "'x' is unknown"}
    for wrong, message in expected.items():
        with pytest.raises(ConfigError, match=message):
            timbral.import_embeddings(
                tmp_path / "v.parquet", tmp_path / "o", columns={wrong: "vecs"}
            )


def test_only_its_own_folder_is_written_again(tmp_path: Path) -> None:
    source = npz(tmp_path)
    first = timbral.import_embeddings(source, tmp_path / "out")
    assert timbral.import_embeddings(source, tmp_path / "out") == first
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").touch()
    with pytest.raises(DataError, match="is not empty"):
        timbral.import_embeddings(source, tmp_path / "mine")
    with pytest.raises(DataError, match="they need no import"):
        timbral.import_embeddings(tmp_path / "out", tmp_path / "twice")
