"""CosyVoice's files of vectors, as its tools/extract_embedding.py writes them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from timbral.embeddings.formats.vector_format import VectorFormat
from timbral.embeddings.table import group_rows, vectors_of
from timbral.io.files import atomic_write

__all__ = ["COSYVOICE"]


def _write(table: pa.Table, root: str | Path, output: Path, model_name: str) -> None:
    """utt2embedding.pt and spk2embedding.pt: dicts from ids to lists of floats.

    A speaker's vector is the plain mean of its utterances' vectors.
    """
    vectors = vectors_of(table)
    utterances = dict(zip(table["utterance"].to_pylist(), vectors.tolist(), strict=True))
    speakers = {
        speaker: vectors[rows].mean(axis=0).tolist()
        for speaker, rows in group_rows(table["speaker"].to_pylist())
    }
    _save(utterances, output / "utt2embedding.pt")
    _save(speakers, output / "spk2embedding.pt")


def _save(vectors: dict[str, list[float]], path: Path) -> None:
    import torch  # other formats do not need it

    with atomic_write(path) as temporary:
        torch.save(vectors, temporary)


COSYVOICE = VectorFormat(_write)
