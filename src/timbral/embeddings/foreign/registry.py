"""File formats of other tools' vectors. A new one is a reader and a line in `READERS`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from timbral.embeddings.foreign.array_files import read_npy, read_npz, read_safetensors, read_tree
from timbral.embeddings.foreign.found import FoundVector, as_vector, joined
from timbral.embeddings.foreign.hdf5_files import read_hdf5
from timbral.embeddings.foreign.kaldi_archive import Array, read_ark, read_scp
from timbral.embeddings.foreign.record_files import read_json, read_jsonl
from timbral.embeddings.foreign.table_files import read_table
from timbral.embeddings.foreign.text_files import read_text
from timbral.embeddings.foreign.torch_files import read_pickled, read_torch
from timbral.embeddings.table import REUSE, UTTERANCES
from timbral.errors import DataError
from timbral.io.near_names import beside
from timbral.io.outputs import EMBEDDINGS, IMPORTED

__all__ = ["FORMS", "READERS", "read_foreign_vectors"]

Reader = Callable[[Path, Mapping[str, str]], Iterable[FoundVector]]
"""reads a file; the second argument are the given names of a table's columns"""


def _of_kaldi(read: Callable[[Path], Iterator[tuple[str, Array]]]) -> Reader:
    def reader(path: Path, columns: Mapping[str, str]) -> Iterator[FoundVector]:
        for name, array in read(path):
            yield FoundVector(name, as_vector(array, f"{path}: {name}"))

    return reader


def _plain(read: Callable[[Path], Iterable[FoundVector]]) -> Reader:
    return lambda path, columns: read(path)


READERS: dict[str, Reader] = {
    ".ark": _of_kaldi(read_ark),
    ".scp": _of_kaldi(read_scp),
    ".npy": _plain(read_npy),
    ".npz": _plain(read_npz),
    ".safetensors": _plain(read_safetensors),
    ".pt": _plain(read_torch),
    ".pth": _plain(read_torch),
    ".bin": _plain(read_torch),
    ".pkl": _plain(read_pickled),
    ".pickle": _plain(read_pickled),
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".csv": read_table,
    ".tsv": read_table,
    ".parquet": read_table,
    ".feather": read_table,
    ".arrow": read_table,
    ".txt": _plain(read_text),
    ".h5": _plain(read_hdf5),
    ".hdf5": _plain(read_hdf5),
}
"""by the file's suffix"""
FORMS = ", ".join(READERS)

FOLDERS: tuple[tuple[str, str], ...] = (
    ("CosyVoice", "utt2embedding.pt"),
    ("CosyVoice", "spk2embedding.pt"),
    ("CosyVoice", "spk2info.pt"),
    ("Coqui", "speakers.pth"),
    ("Coqui", "speakers.json"),
    ("Kaldi, WeSpeaker or ESPnet", "**/*.scp"),
    ("Kaldi", "**/*.ark"),
    ("SpeechBrain", "**/stat_*.pkl"),
    ("datasets", "**/data-*.arrow"),
    ("Parquet", "**/*.parquet"),
    ("HDF5", "**/*.h5"),
    ("HDF5", "**/*.hdf5"),
)
"""project and pattern of the files in a folder, the most certain first; only files that match the
first possible pattern are read, and a warning names files of vectors that are not"""
TREES = (".npy", ".pt")
LANCE = (
    "{0}: is a table of Lance, which is not read; write it as Parquet, with the package pylance: "
    'pyarrow.parquet.write_table(lance.dataset("{0}").to_table(), "{1}")'
)


def read_foreign_vectors(source: Path, columns: Mapping[str, str]) -> list[FoundVector]:
    """The vectors in a file or folder of another tool.

    `columns` are the names of a table's columns, as for `read_table`. Raises DataError for a source
    that cannot be read or has no vectors.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder{beside(source)}")
    if source.is_dir():
        return _read_folder(source, columns)
    reader = READERS.get(source.suffix.lower())
    if reader is None:
        raise DataError(f"{source}: has an unknown form; files of vectors end in {FORMS}")
    return list(reader(source, columns))


def _read_folder(folder: Path, columns: Mapping[str, str]) -> list[FoundVector]:
    for kind in (EMBEDDINGS, IMPORTED):
        if kind.is_in(folder):
            is_table = (folder / UTTERANCES).is_file()
            remedy = "they need no import" if is_table else REUSE.format(folder)
            raise DataError(f"{folder}: contains {kind.content}; {remedy}")
    if folder.suffix.lower() == ".lance":
        raise DataError(LANCE.format(folder, folder.with_suffix(".parquet").name))
    for project, pattern in FOLDERS:
        files = sorted(folder.glob(pattern))
        if files:
            _warn_of_unread(folder, project, files)
            return joined(READERS[path.suffix.lower()](path, columns) for path in files)
    for suffix in TREES:
        if any(folder.rglob(f"*{suffix}")):
            return list(read_tree(folder, suffix))
    raise DataError(
        f"{folder}: contains no readable vectors: files of Kaldi (.scp, .ark), CosyVoice, Coqui "
        "or SpeechBrain, tables (.parquet, .arrow of datasets), or a tree of .npy or .pt files, "
        "one per recording. If it has a file of vectors, give that file"
    )


def _warn_of_unread(folder: Path, project: str, files: Sequence[Path]) -> None:
    """Warn about files of vectors that were not read; lists (.scp) refer to their archives."""
    known = {".ark", ".scp", *(path.suffix for path in files)}
    others = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix in READERS.keys() - known - {".txt", ".json"}  # these are seldom vectors
    )
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        warnings.warn(
            f"{folder}: read as a folder of {project}; not read: {others[0]}{more}", stacklevel=2
        )
