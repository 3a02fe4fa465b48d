"""Vectors for training the synthesizer of Real-Time-Voice-Cloning (SV2TTS)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from timbral.embeddings.formats.vector_format import VectorFormat
from timbral.embeddings.table import vectors_of
from timbral.errors import DataError
from timbral.io.files import atomic_write

__all__ = ["RTVC"]


def _write(table: pa.Table, root: str | Path, output: Path, model_name: str) -> None:
    """``embeds/embed-NAME.npy``, float32 (E,), as train.txt in the same folder names them.

    NAME is the recording's name without its suffix, as with ``--no_alignments``.
    """
    for path, vector in zip(_files(table, root, model_name), vectors_of(table), strict=True):
        with atomic_write(output / path, sync=False) as temporary, open(temporary, "r+b") as file:
            np.save(file, vector, allow_pickle=False)


def _files(table: pa.Table, root: str | Path, model_name: str) -> list[Path]:
    names = [name.rpartition("/")[2] for name in table["utterance"].to_pylist()]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(
            f"{root}: {len(repeated)} names of recordings occur in several folders, such as "
            f"{repeated[0]!r}, but embeds/ has one file per name; rename the recordings"
        )
    return [Path("embeds") / f"embed-{name}.npy" for name in names]


RTVC = VectorFormat(_write, _files, may_be_beside=("train.txt", "audio", "mels", "embeds"))
