"""HDF5 as h5py writes it: what is refused, and why."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import timbral
from timbral.embeddings.table import read_embeddings
from timbral.errors import DataError, MissingExtraError

VECTOR = np.arange(8, dtype=np.float32)


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "v.h5").touch()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"v\.h5 needs the optional dependencies \[hdf5\]"):
        timbral.import_embeddings(tmp_path / "v.h5", tmp_path / "out")


def test_lance_is_told(tmp_path: Path) -> None:
    (tmp_path / "v.lance").mkdir()
    with pytest.raises(DataError, match=r'lance\.dataset\(".*v\.lance"\).*"v\.parquet"'):
        timbral.import_embeddings(tmp_path / "v.lance", tmp_path / "out")


def external_link(file: Any, h5py: Any) -> None:
    file["x"] = h5py.ExternalLink("other.h5", "x")


def soft_link(file: Any, h5py: Any) -> None:
    file["y"] = VECTOR
    file["x"] = h5py.SoftLink("/y")


def external_data(file: Any, h5py: Any) -> None:
    file.create_dataset("x", (8,), "f4", external=[("other.raw", 0, 32)])


def virtual(file: Any, h5py: Any) -> None:
    layout = h5py.VirtualLayout((8,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (8,))
    file.create_virtual_dataset("x", layout)


def not_stored(file: Any, h5py: Any) -> None:
    file.create_dataset("x", (1_000_000, 1_000), "f4", chunks=(1_000, 100))


def matrix(file: Any, h5py: Any) -> None:
    file["x"] = np.ones((2, 8))


def two_tables(file: Any, h5py: Any) -> None:
    file["a"], file["b"], file["names"] = np.ones((2, 8)), np.ones((2, 8)), ["one", "other"]


def too_few_names(file: Any, h5py: Any) -> None:
    file["a"], file["names"] = np.ones((3, 8)), ["one", "other"]


def several_each(file: Any, h5py: Any) -> None:
    file["a"], file["b"] = np.ones((2, 8)), np.ones((3, 8))


def in_itself(file: Any, h5py: Any) -> None:
    file.create_group("group")["up"] = file["/"]


def numbers_of_any_length(file: Any, h5py: Any) -> None:
    file.create_dataset("x", (3,), h5py.vlen_dtype(np.float32))


BAD: dict[str, tuple[Callable[[Any, Any], None], str]] = {
    "external link": (external_link, "x is a link, which is not followed"),
    "soft link": (soft_link, "x is a link, which is not followed"),
    "external data": (external_data, "x: lies in another file"),
    "virtual": (virtual, "x: lies in another file"),
    "not stored": (not_stored, "x: should have 4,000,000,000 bytes, but the file is smaller"),
    "no names": (matrix, "x has 2 vectors; what is read is a vector under each name, or one table"),
    "two tables": (two_tables, "a has 2 vectors, b has 2 vectors, names 2 texts; what is read is"),
    "too few names": (
        too_few_names,
        "a has 3 vectors, names 2 texts; .* an array of as many texts",
    ),
    "several vectors under each name": (several_each, "a: is 2 x 8, not a vector: one name has"),
    "records": (lambda file, h5py: file.update(x=np.zeros(3, "f4,i4")), "x: is of the type "),
    "one number": (lambda file, h5py: file.update(x=3.0), "x: is a single number, not a vector"),
    "null": (lambda file, h5py: file.update(x=h5py.Empty("f4")), "x: is empty; leave it out"),
    "a group in itself": (in_itself, "the group group/up is also in another place"),
    "numbers of any length": (numbers_of_any_length, "x: has rows of different lengths; give"),
    "empty": (lambda file, h5py: None, "v.h5: contains no dataset; what is read is a vector under"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_one_line(case: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    write, message = BAD[case]
    with h5py.File(tmp_path / "v.h5", "w") as file:
        write(file, h5py)
    with pytest.raises(DataError, match=message) as raised:
        timbral.import_embeddings(tmp_path / "v.h5", tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_groups_are_part_of_the_names(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "v.h5", "w") as file:
        for name in ("anna/1", "anna/2", "ben"):
            file[name] = VECTOR
    timbral.import_embeddings(tmp_path / "v.h5", tmp_path / "out")
    table = read_embeddings(tmp_path / "out")
    assert table["utterance"].to_pylist() == ["anna/1", "anna/2", "ben"]


def test_what_is_no_hdf5_is_told(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["anna"] = np.ones(1000)
    whole = (tmp_path / "v.h5").read_bytes()
    for content, message in (
        (b"no", "is not HDF5, whatever its name says; write the vectors again, or give the right"),
        (b"", "is empty; write the vectors again"),
        (whole[:-100], r"is HDF5, but cut short or damaged: copy it again, or write it again \("),
    ):
        (tmp_path / "v.h5").write_bytes(content)
        with pytest.raises(DataError, match=message):
            timbral.import_embeddings(tmp_path / "v.h5", tmp_path / "out")
