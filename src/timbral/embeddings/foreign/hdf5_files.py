"""HDF5 files: named vectors, also in groups, or a table of vectors with an array of names.

Only data in the file itself are read, not links to other files or data stored in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from timbral.embeddings.foreign.array_files import READ, of_arrays
from timbral.embeddings.foreign.found import FoundVector
from timbral.errors import DataError, MissingExtraError, TimbralError, first_line

__all__ = ["read_hdf5"]

MOST_COMPRESSED = 2000
"""highest compression ratio that is accepted; deflate reaches about 1,000"""
SMALL_BYTES = 1 << 20


def read_hdf5(path: Path) -> Iterator[FoundVector]:
    """Named vectors, or a table of vectors with an array of names of the same length."""
    try:
        import h5py
    except ImportError:
        raise MissingExtraError(str(path), "hdf5") from None
    if not h5py.is_hdf5(path):
        what = "is empty" if not path.stat().st_size else "is not HDF5, whatever its name says"
        raise DataError(f"{path}: {what}; write the vectors again, or give the right file")
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            arrays = dict(_arrays(file, path, set()))
    except TimbralError:
        raise
    except Exception as error:  # damaged files raise anything
        raise DataError(
            f"{path}: is HDF5, but cut short or damaged: copy it again, or write it again "
            f"({first_line(error)})"
        ) from None
    if not arrays:
        raise DataError(f"{path}: contains no dataset; what is read is {READ}")
    return of_arrays(arrays, path)


def _arrays(group: Any, path: Path, groups: set[int], above: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays of a group and of the groups in it, by name: ``group/name``.

    `groups` are the addresses of groups that were read already, because none may contain itself.
    """
    import h5py

    address = h5py.h5o.get_info(group.id).addr
    if address in groups:
        raise DataError(
            f"{path}: the group {above.rstrip('/')} is also in another place; keep one of them"
        )
    groups.add(address)
    for key in group:
        name = f"{above}{key}"
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise DataError(
                f"{path}: {name} is a link, which is not followed; copy its target into this file"
            )
        found = group[key]
        if isinstance(found, h5py.Group):
            yield from _arrays(found, path, groups, f"{name}/")
        elif isinstance(found, h5py.Dataset):
            yield name, _array(found, f"{path}: {name}")


def _array(dataset: Any, where: str) -> Any:
    import h5py

    if dataset.shape is None:
        raise DataError(f"{where}: is empty; leave it out")
    if dataset.is_virtual or dataset.external:
        raise DataError(f"{where}: lies in another file; copy it into this one")
    if dataset.nbytes > SMALL_BYTES + MOST_COMPRESSED * dataset.id.get_storage_size():
        raise DataError(f"{where}: should have {dataset.nbytes:,} bytes, but the file is smaller")
    if dataset.dtype.kind == "O":
        if h5py.check_string_dtype(dataset.dtype) is None:
            raise DataError(f"{where}: has rows of different lengths; give each a name of its own")
        return np.asarray(dataset.asstr()[()], dtype=str)
    array = dataset[()]
    return np.char.decode(array, "utf-8") if dataset.dtype.kind == "S" else np.asarray(array)
