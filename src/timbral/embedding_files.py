"""The files in which vectors are handed on: Parquet, system A's and system B's.

A format is one function (table of utterances, corpus folder, output folder, model name) and one
line in `FORMATS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch
from numpy.typing import NDArray

from timbral.errors import DataError
from timbral.files import written_whole

__all__ = ["FORMATS", "speaker_table", "utterance_schema", "vectors_of"]


def utterance_schema(embedding_dim: int) -> pa.Schema:
    """Columns of utterances.parquet; vectors are of unit length."""
    return pa.schema(
        [
            ("utterance", pa.string()),
            ("speaker", pa.string()),
            ("session", pa.string()),
            ("path", pa.string()),
            ("duration_seconds", pa.float64()),
            ("vector", pa.list_(pa.float32(), embedding_dim)),
            ("encoder", pa.string()),
            ("weights_sha256", pa.string()),
            ("licence", pa.string()),
        ]
    )


def vectors_of(table: pa.Table) -> NDArray[np.float32]:
    """The column `vector` as an array (N, E)."""
    column = table["vector"].combine_chunks()
    return np.asarray(column.flatten()).reshape(len(column), -1)


def by_speaker(table: pa.Table) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Speakers in order of their names, and their rows."""
    names, codes = np.unique(np.asarray(table["speaker"].to_pylist()), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    for name, where in zip(names, rows, strict=True):
        yield str(name), where


def speaker_table(table: pa.Table) -> pa.Table:
    """One row a speaker: the mean of the utterances' vectors, made unit length.

    `spread` is the mean cosine distance of the utterances from that vector.
    """
    vectors = vectors_of(table)
    seconds = table["duration_seconds"].to_numpy()
    rows: list[dict[str, Any]] = []
    for speaker, where in by_speaker(table):
        mean = vectors[where].mean(axis=0)
        mean = mean / max(float(np.linalg.norm(mean)), 1e-12)
        rows.append(
            {
                "speaker": speaker,
                "utterances": len(where),
                "duration_seconds": float(seconds[where].sum()),
                "spread": float(1.0 - (vectors[where] @ mean).mean()),
                "vector": mean,
                **{
                    name: table[name][0].as_py()
                    for name in ("encoder", "weights_sha256", "licence")
                },
            }
        )
    schema = pa.schema(
        [
            ("speaker", pa.string()),
            ("utterances", pa.int64()),
            ("duration_seconds", pa.float64()),
            ("spread", pa.float64()),
            ("vector", table.schema.field("vector").type),
            ("encoder", pa.string()),
            ("weights_sha256", pa.string()),
            ("licence", pa.string()),
        ]
    )
    return pa.Table.from_pylist(rows, schema)


def write_parquet(table: pa.Table, root: Path, output: Path, model_name: str) -> None:
    """utterances.parquet and speakers.parquet."""
    tables = {"speakers.parquet": speaker_table(table), "utterances.parquet": table}
    for name, content in tables.items():
        with written_whole(output / name) as temporary:
            pa.parquet.write_table(content, temporary)


def relative_place(path: str, root: Path) -> Path:
    """Where a recording lies below the corpus's folder; DataError when it lies elsewhere."""
    try:
        return Path(path).relative_to(os.path.abspath(root))
    except ValueError:
        raise DataError(
            f"{path} does not lie below {root}, so there is no tree to mirror; use --format parquet"
        ) from None


def write_npy(table: pa.Table, root: Path, output: Path, model_name: str) -> None:
    """System B's tree: float32 (E,) at the recording's relative path, suffix .npy."""
    for path, vector in zip(table["path"].to_pylist(), vectors_of(table), strict=True):
        target = output / relative_place(path, root).with_suffix(".npy")
        with written_whole(target) as temporary, open(temporary, "wb") as file:
            np.save(file, vector)


def write_torch(table: pa.Table, root: Path, output: Path, model_name: str) -> None:
    """System A's files: ``torch.save`` of a float32 tensor (1, E) on the CPU.

    ``<stem>.<model_name>_embedding`` at the recording's relative place, and
    ``<speaker>.<model_name>_averaged_embedding``, the plain mean, in the speaker's folder.
    """
    vectors = vectors_of(table)
    places = [relative_place(path, root) for path in table["path"].to_pylist()]
    for place, vector in zip(places, vectors, strict=True):
        _save_tensor(output / place.with_suffix(f".{model_name}_embedding"), vector)
    for speaker, where in by_speaker(table):
        above = [folder for folder in places[where[0]].parents if folder.name == speaker]
        name = speaker.replace(os.sep, "_").lstrip(".") or "_"  # an id is no path
        folder = above[0] if above else Path(name)
        target = output / folder / f"{name}.{model_name}_averaged_embedding"
        _save_tensor(target, vectors[where].mean(axis=0))


def _save_tensor(path: Path, vector: NDArray[np.float32]) -> None:
    with written_whole(path) as temporary:
        torch.save(torch.from_numpy(vector[None].copy()), temporary)


FORMATS: dict[str, Callable[[pa.Table, Path, Path, str], None]] = {
    "parquet": write_parquet,
    "npy": write_npy,
    "torch": write_torch,
}
