"""What a format of vectors is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

__all__ = ["VectorFormat"]


@dataclass(frozen=True)
class VectorFormat:
    """One way to write the vectors of a corpus."""

    write: Callable[[pa.Table, str | Path, Path, str], None]
    """(utterances, the corpus's folder, output folder, model name) -> files in the output folder;
    the columns of the utterances are those of `timbral.embeddings.table`"""
    planned_files: Callable[[pa.Table, str | Path, str], list[Path]] = lambda table, root, name: []
    """(columns utterance, speaker and path, the corpus's folder, model name) -> the files, below
    the output folder, whose names are made from ids; DataError for ids that it cannot hold"""
    mirrors_corpus: bool = False
    """a file for each recording, at its relative path: these may lie beside the recordings"""
    names_model: bool = False
    """the files' names hold the model's, so those of several models may lie in one folder"""
