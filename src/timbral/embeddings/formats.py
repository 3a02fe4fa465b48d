"""The files in which vectors are handed on: Parquet, safetensors, Kaldi's, PaddleSpeech's, ddvc's.

A format is one function (table of utterances, corpus folder, output folder, model name) and one
line in `FORMATS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import safetensors.numpy
import torch

from timbral.audio.segments import Segment
from timbral.embeddings.aggregate import speaker_table
from timbral.embeddings.kaldi_ark import check_ids, write_ark, write_list
from timbral.embeddings.table import group_rows, vectors_of
from timbral.errors import DataError
from timbral.io.files import atomic_write
from timbral.io.storage import location_of
from timbral.io.types import Vectors

__all__ = ["FORMATS"]

VECTORS_PER_FILE = 100_000
"""in safetensors, where each has an entry in the header, which must stay small"""


def write_parquet(table: pa.Table, root: str | Path, output: Path, model_name: str) -> None:
    """utterances.parquet and speakers.parquet, see `timbral.embeddings.table`."""
    tables = {"speakers.parquet": speaker_table(table), "utterances.parquet": table}
    for name, content in tables.items():
        with atomic_write(output / name) as temporary:
            pa.parquet.write_table(content, temporary)


def mirrored_paths(table: pa.Table, root: str | Path, suffix: str) -> list[Path]:
    """Each recording's path relative to the corpus's folder, with another suffix.

    The file of a segment is called by the utterance's id. DataError when a recording lies
    elsewhere.
    """
    above = location_of(root) + "/"
    mirrored = []
    for path, utterance in zip(
        table["path"].to_pylist(), table["utterance"].to_pylist(), strict=True
    ):
        segment = Segment.of(path)
        if not path.startswith(above):
            raise DataError(
                f"{path} does not lie below {root}, so there is no tree to mirror; use the format "
                "parquet"
            )
        relative = Path(segment.file.removeprefix(above))
        stem = relative.stem if segment.is_whole else utterance.replace(os.sep, "_")
        mirrored.append(relative.with_name(stem + suffix))
    return mirrored


def write_npy(table: pa.Table, root: str | Path, output: Path, model_name: str) -> None:
    """PaddleSpeech's tree: float32 (E,) at the recording's relative path, suffix .npy."""
    for path, vector in zip(mirrored_paths(table, root, ".npy"), vectors_of(table), strict=True):
        with atomic_write(output / path, sync=False) as temporary, open(temporary, "wb") as file:
            np.save(file, vector)


def write_torch(table: pa.Table, root: str | Path, output: Path, model_name: str) -> None:
    """ddvc's files: ``torch.save`` of a float32 tensor (1, E) on the CPU.

    ``<stem>.<model_name>_embedding`` at the recording's relative path, and
    ``<speaker>.<model_name>_averaged_embedding``, the plain mean, in the speaker's folder.
    """
    vectors = vectors_of(table)
    paths = mirrored_paths(table, root, f".{model_name}_embedding")
    for path, vector in zip(paths, vectors, strict=True):
        _save_tensor(output / path, vector)
    for speaker, rows in group_rows(table["speaker"].to_pylist()):
        above = [folder for folder in paths[rows[0]].parents if folder.name == speaker]
        name = speaker.replace(os.sep, "_").lstrip(".") or "_"  # an id is no path
        folder = above[0] if above else Path(name)
        target = output / folder / f"{name}.{model_name}_averaged_embedding"
        _save_tensor(target, vectors[rows].mean(axis=0))


def _save_tensor(path: Path, vector: Vectors) -> None:
    with atomic_write(path, sync=False) as temporary:
        torch.save(torch.from_numpy(vector[None].copy()), temporary)


def write_safetensors(table: pa.Table, root: str | Path, output: Path, model_name: str) -> None:
    """utterances.safetensors and speakers.safetensors: a tensor (E,) under each id.

    More than 100,000 utterances go into ``utterances-00001-of-00003.safetensors`` and so on.
    """
    metadata = {name: str(table[name][0]) for name in ("encoder", "weights_sha256", "license")}
    speakers = speaker_table(table)
    for name, content, column in (
        ("utterances", table, "utterance"),
        ("speakers", speakers, "speaker"),
    ):
        ids, vectors = content[column].to_pylist(), vectors_of(content)
        starts = range(0, len(ids), VECTORS_PER_FILE)
        for number, start in enumerate(starts, start=1):
            suffix = f"-{number:05d}-of-{len(starts):05d}" if len(starts) > 1 else ""
            rows = slice(start, start + VECTORS_PER_FILE)
            tensors = dict(zip(ids[rows], vectors[rows], strict=True))
            with atomic_write(output / f"{name}{suffix}.safetensors") as temporary:
                safetensors.numpy.save_file(tensors, temporary, metadata)


def write_kaldi(table: pa.Table, root: str | Path, output: Path, model_name: str) -> None:
    """xvector.ark and .scp, spk_xvector.ark and .scp, utt2spk, spk2utt, num_utts."""
    utterances, speakers = table["utterance"].to_pylist(), table["speaker"].to_pylist()
    check_ids([*utterances, *speakers])
    averaged = speaker_table(table)
    write_ark(output / "xvector", utterances, vectors_of(table))
    write_ark(output / "spk_xvector", averaged["speaker"].to_pylist(), vectors_of(averaged))
    write_list(output / "utt2spk", dict(zip(utterances, speakers, strict=True)))
    by_speaker: dict[str, list[str]] = {}
    for utterance, speaker in sorted(zip(utterances, speakers, strict=True)):
        by_speaker.setdefault(speaker, []).append(utterance)
    write_list(output / "spk2utt", {key: " ".join(value) for key, value in by_speaker.items()})
    write_list(output / "num_utts", {key: str(len(value)) for key, value in by_speaker.items()})


WriteFormat = Callable[[pa.Table, str | Path, Path, str], None]

FORMATS: dict[str, WriteFormat] = {
    "parquet": write_parquet,
    "npy": write_npy,
    "torch": write_torch,
    "safetensors": write_safetensors,
    "kaldi": write_kaldi,
}
