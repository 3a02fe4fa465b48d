"""ddvc's files of tensors."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa

from timbral.embeddings.formats.mirrored_paths import mirrored_paths
from timbral.embeddings.formats.vector_format import VectorFormat
from timbral.embeddings.table import group_rows, vectors_of
from timbral.io.files import atomic_write
from timbral.io.types import Vectors

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
    for speaker, rows in group_rows(table["speaker"].to_pylist()):
        above = [folder for folder in paths[rows[0]].parents if folder.name == speaker]
        name = speaker.replace(os.sep, "_").lstrip(".") or "_"  # an id is no path
        folder = above[0] if above else Path(name)
        target = output / folder / f"{name}.{model_name}_averaged_embedding"
        _save_tensor(target, vectors[rows].mean(axis=0))


def _save_tensor(path: Path, vector: Vectors) -> None:
    import torch  # only this format needs it

    with atomic_write(path, sync=False) as temporary:
        torch.save(torch.from_numpy(vector[None].copy()), temporary)


TORCH = VectorFormat(_write, mirrors_corpus=True, names_model=True)
