"""PaddleSpeech's tree of .npy files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from timbral.embeddings.formats.mirrored_paths import mirrored_paths
from timbral.embeddings.formats.vector_format import VectorFormat
from timbral.embeddings.table import vectors_of
from timbral.io.files import atomic_write

__all__ = ["NPY"]


def _write(table: pa.Table, root: str | Path, output: Path, model_name: str) -> None:
    """float32 (E,) at each recording's relative path, with the suffix .npy."""
    for path, vector in zip(mirrored_paths(table, root, ".npy"), vectors_of(table), strict=True):
        with atomic_write(output / path, sync=False) as temporary, open(temporary, "r+b") as file:
            np.save(file, vector)


def _files(table: pa.Table, root: str | Path, model_name: str) -> list[Path]:
    return mirrored_paths(table, root, ".npy")


NPY = VectorFormat(_write, _files, mirrors_corpus=True)
