"""ddvc's files of tensors, one per recording and speaker."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from timbral.embeddings.formats.mirrored_paths import mirrored_paths
from timbral.embeddings.formats.vector_format import VectorFormat
from timbral.embeddings.table import group_rows, vectors_of
from timbral.io.files import atomic_write
from timbral.io.types import Ints, Vectors

__all__ = ["TORCH"]


def _write(table: pa.Table, root: str | Path, output: Path, model_name: str) -> None:
    """``torch.save`` of a float32 tensor (1, E) on the CPU.

    ``<stem>.<model_name>_embedding`` at the recording's relative path, and
    ``<speaker>.<model_name>_averaged_embedding``, the plain mean, in the speaker's folder.
    """
    vectors = vectors_of(table)
    paths = mirrored_paths(table, root, f".{model_name}_embedding")
    for path, vector in zip(paths, vectors, strict=True):
        _save_tensor(output / path, vector)
    for path, rows in _averages(table, paths, model_name):
        _save_tensor(output / path, vectors[rows].mean(axis=0))


def _averages(
    table: pa.Table, paths: Sequence[Path], model_name: str
) -> Iterator[tuple[Path, Ints]]:
    """The file of each speaker's average, and the rows that are averaged."""
    for speaker, rows in group_rows(table["speaker"].to_pylist()):
        folders = [folder for folder in paths[rows[0]].parents if folder.name == speaker]
        name = speaker.replace(os.sep, "_").lstrip(".") or "_"  # an id may not be a valid path
        folder = folders[0] if folders else Path(name)
        yield folder / f"{name}.{model_name}_averaged_embedding", rows


def _files(table: pa.Table, root: str | Path, model_name: str) -> list[Path]:
    paths = mirrored_paths(table, root, f".{model_name}_embedding")
    return paths + [path for path, _ in _averages(table, paths, model_name)]


def _save_tensor(path: Path, vector: Vectors) -> None:
    import torch  # other formats do not need it

    with atomic_write(path, sync=False) as temporary:
        torch.save(torch.from_numpy(vector[None].copy()), temporary)


TORCH = VectorFormat(_write, _files, mirrors_corpus=True, names_model=True)
