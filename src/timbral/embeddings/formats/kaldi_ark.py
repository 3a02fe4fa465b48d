"""Kaldi's archives of vectors and its lists, as kaldi-io, kaldiio and Kaldi itself read them."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from timbral.errors import DataError
from timbral.io.files import atomic_write
from timbral.io.types import Vectors

__all__ = ["check_ids", "write_ark", "write_list"]


def check_ids(ids: Sequence[str]) -> None:
    """Raise DataError for an id that is empty or contains white space."""
    for name in ids:
        if not name or len(name.split()) != 1 or name != name.strip():
            raise DataError(
                f"the id {name!r} is empty or contains white space, which Kaldi's files do not "
                "allow; rename it, use another format, or embed the list that `timbral export-list "
                "CORPUS --format kaldi` writes, whose ids have none"
            )


def write_ark(stem: Path, ids: Sequence[str], vectors: Vectors) -> None:
    """Write STEM.ark and STEM.scp: binary float vectors (N, E), sorted by id, as Kaldi requires.

    An entry is the id, a space, ``\\0B``, ``FV ``, ``\\4``, the size as int32 and the floats, all
    little-endian; the list has the offset of the byte after the space.
    """
    ark = Path(os.path.abspath(stem.with_suffix(".ark")))
    offsets: dict[str, str] = {}
    with atomic_write(ark) as temporary, open(temporary, "wb") as file:
        for row in sorted(range(len(ids)), key=lambda row: ids[row].encode()):
            file.write(f"{ids[row]} ".encode())
            offsets[ids[row]] = f"{ark}:{file.tell()}"
            file.write(b"\0BFV \4" + struct.pack("<i", vectors.shape[1]))
            file.write(vectors[row].astype("<f4").tobytes())
    write_list(stem.with_suffix(".scp"), offsets)


def write_list(path: Path, pairs: Mapping[str, str]) -> None:
    """Write lines ``KEY VALUE``, sorted by the bytes of the key (LC_ALL=C)."""
    lines = [f"{key} {pairs[key]}\n" for key in sorted(pairs, key=str.encode)]
    with atomic_write(path) as temporary:
        temporary.write_text("".join(lines), "utf-8")
