"""Text files: a name and the components of its vector on each line, or Kaldi's text format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from timbral.embeddings.foreign.found import FoundVector, as_vector
from timbral.embeddings.foreign.kaldi_archive import read_ark
from timbral.errors import DataError
from timbral.io.text import read_lines, split_words

__all__ = ["read_text"]


def read_text(path: Path) -> Iterator[FoundVector]:
    """Lines ``NAME 0.1 0.2 …`` or ``NAME [ 0.1 0.2 … ]``."""
    lines = read_lines(path, "a table of vectors")
    if any("[" in line for _, line in lines[:1]):
        for name, array in read_ark(path):
            yield FoundVector(name, as_vector(array, f"{path}: {name}"))
        return
    for number, line in lines:
        name, *numbers = split_words(line)
        try:
            vector = np.array([float(each) for each in numbers], np.float32)
        except ValueError:
            raise DataError(
                f"{path}:{number}: a line is a name and the numbers of its vector, got {line!r:.60}"
            ) from None
        yield FoundVector(name, as_vector(vector, f"{path}:{number}: {name}"))
