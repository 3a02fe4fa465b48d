"""Files of vectors as other tools write them, made with their own writers."""

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
import pyarrow.csv
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest
import safetensors.numpy
import torch

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
