"""The speaker files of Coqui TTS (idiap's fork), as its compute_embeddings.py writes them."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import pyarrow as pa

from timbral.embeddings.formats.mirrored_paths import mirrored_paths
from timbral.embeddings.formats.vector_format import VectorFormat
from timbral.embeddings.table import vectors_of
from timbral.errors import DataError
from timbral.io.files import atomic_write
from timbral.io.storage import location_of

__all__ = ["COQUI"]


def _write(table: pa.Table, root: str | Path, output: Path, model_name: str) -> None:
    """speakers.pth and speakers.json: from a recording's key to its speaker's name and its vector.

    Keys are Coqui's ``audio_unique_name``: ``DATASET#path below the corpus``, without the suffix;
    DATASET is the name of the corpus's folder.
    """
    import torch  # other formats do not need it

    speakers = {
        key: {"name": speaker, "embedding": vector}
        for key, speaker, vector in zip(
            _keys(table, root),
            table["speaker"].to_pylist(),
            vectors_of(table).tolist(),
            strict=True,
        )
    }
    with atomic_write(output / "speakers.pth") as temporary:
        torch.save(speakers, temporary)
    with atomic_write(output / "speakers.json") as temporary:
        temporary.write_text(json.dumps(speakers, ensure_ascii=False), "utf-8")


def _keys(table: pa.Table, root: str | Path) -> list[str]:
    dataset = PurePosixPath(location_of(root)).name
    keys = [f"{dataset}#{path.as_posix()}" for path in mirrored_paths(table, root, "")]
    repeated = len(keys) - len(set(keys))
    if repeated:
        raise DataError(
            f"{root}: {repeated} recordings differ only in their suffixes, which the keys of "
            "Coqui TTS do not contain; keep one of each"
        )
    return keys


def _check_keys(table: pa.Table, root: str | Path, model_name: str) -> list[Path]:
    _keys(table, root)
    return []


COQUI = VectorFormat(_write, _check_keys)
