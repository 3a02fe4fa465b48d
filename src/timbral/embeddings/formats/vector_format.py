"""The interface of output formats of vectors."""

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
    """(table with columns utterance, speaker and path, the corpus's folder, model name) -> the
    files, below the output folder, whose names are made from ids; DataError for impossible ids"""
    mirrors_corpus: bool = False
    """whether each recording has a file at its relative path, possibly next to the recording"""
    names_model: bool = False
    """whether file names contain the model's name, so that one folder may have several models'"""
    may_be_beside: tuple[str, ...] = ()
    """patterns of what the system that reads the vectors has in the output folder already"""
