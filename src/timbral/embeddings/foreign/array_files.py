"""Files of NumPy and safetensors: a vector, a table of vectors, or named vectors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from timbral.embeddings.foreign.found import FoundVector, as_vector
from timbral.errors import DataError, TimbralError, first_line
from timbral.io.text import read_lines

__all__ = ["READ", "of_array", "of_arrays", "read_npy", "read_npz", "read_safetensors", "read_tree"]

READ = "a vector under each name, or one table of vectors beside an array of their names"
NAME_LISTS = (".txt", ".names", ".ids", ".lst")
"""suffixes of a file next to a table of vectors with the name of each row, one per line"""
SPEAKERS = (re.compile("spk|speaker|client"), re.compile("label"))
NAMES = (re.compile("utt|key|name|file|path|wav"), re.compile("id"))
"""patterns in the names of arrays of speakers and of names, the most certain first"""


def read_npy(path: Path) -> Iterator[FoundVector]:
    """A vector (E,), with the file's name, or a table (N, E) with a list of names next to it."""
    return of_array(_load(path), path)


def of_array(array: Any, path: Path) -> Iterator[FoundVector]:
    """Like `read_npy`, for an array that was read from `path`."""
    if array.ndim != 2 or 1 in array.shape:
        yield FoundVector(path.stem, as_vector(array, str(path)))
        return
    lists = [path.with_suffix(suffix) for suffix in NAME_LISTS]
    names = next((each for each in lists if each.is_file()), None)
    if names is None:
        raise DataError(
            f"{path}: has {array.shape[0]:,} rows without names; put the names, one per line, "
            f"into {lists[0].name} in the same folder"
        )
    lines = read_lines(names, "a list of names")
    if len(lines) != len(array):
        raise DataError(
            f"{names}: has {len(lines):,} lines, but {path.name} has {len(array):,} rows"
        )
    for (_, name), row in zip(lines, array, strict=True):
        yield FoundVector(name, as_vector(row, f"{path}: {name}"))


def read_tree(folder: Path, suffix: str) -> Iterator[FoundVector]:
    """One vector per file, at any depth; the speaker is the name of the file's folder."""
    from timbral.embeddings.foreign.torch_files import load_torch

    load = load_torch if suffix == ".pt" else _load
    for path in sorted(folder.rglob(f"*{suffix}")):
        name = path.relative_to(folder).with_suffix("")
        speaker = "" if path.parent == folder else path.parent.name
        yield FoundVector(name.as_posix(), as_vector(load(path), str(path)), speaker)


def _load(path: Path) -> Any:
    """The array in a file, which must contain no pickles and all that its header claims."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header raises anything
        reason = _reason(error)
        raise DataError(f"{path}: cannot be read as .npy ({reason})") from None


def _reason(error: Exception) -> str:
    """The reason of NumPy's error, without its advice to load pickles."""
    if "pickle" in str(error):
        return "it contains Python objects or is not a NumPy file; only arrays of numbers are read"
    return first_line(error)


def read_npz(path: Path) -> Iterator[FoundVector]:
    """Named vectors, or a table of vectors with an array of names of the same length."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
            arrays = dict(content)
    except Exception as error:
        reason = _reason(error)
        raise DataError(f"{path}: cannot be read as .npz ({reason})") from None
    return of_arrays(arrays, path)


def of_arrays(arrays: dict[str, Any], path: Path) -> Iterator[FoundVector]:
    """Named vectors, or a table of vectors with arrays of the same length: names and speakers.

    Raises DataError if several arrays may be the names.
    """
    texts = {key: value for key, value in arrays.items() if value.dtype.kind in "US"}
    lengths = {value.shape for value in texts.values()}
    tables = [value for value in arrays.values() if value.ndim == 2 and (len(value),) in lengths]
    if len(tables) != 1:
        _refuse_unnamed(arrays, texts, path)
        for name, array in arrays.items():
            yield FoundVector(name, as_vector(array, f"{path}: {name}"))
        return
    (table,) = tables
    columns = {key: each for key, each in arrays.items() if each.shape == (len(table),)}
    words = {key: each for key, each in columns.items() if each.dtype.kind in "US"}
    numbers = {key: each for key, each in columns.items() if each.dtype.kind in "iu"}
    speaker_key = _first_called(SPEAKERS, {**words, **numbers})
    words.pop(speaker_key, None)
    distinct = {key: each for key, each in words.items() if len(set(each)) == len(each)}
    name_key = _first_called(NAMES, distinct) or (next(iter(words)) if len(words) == 1 else "")
    if not name_key:
        raise DataError(
            f"{path}: which array has the names of the {len(table):,} vectors: "
            f"{' or '.join(words) or 'none'}? Call it names; it has a text of its own for each"
        )
    for row, name in enumerate(columns[name_key].astype(str)):
        speaker = str(columns[speaker_key][row]) if speaker_key else ""
        yield FoundVector(str(name), as_vector(table[row], f"{path}: {name}"), speaker)


def _refuse_unnamed(arrays: Mapping[str, Any], texts: Mapping[str, Any], path: Path) -> None:
    """Raise DataError for tables of vectors that do not have an array of names of their own."""
    tables = [key for key, each in arrays.items() if each.ndim == 2 and 1 not in each.shape]
    if not tables or not (texts or len(arrays) == 1):
        return  # a vector under each name
    sizes = [f"{key} has {len(arrays[key]):,} vectors" for key in tables]
    sizes += [f"{key} {each.size:,} texts" for key, each in texts.items()]
    raise DataError(
        f"{path}: {', '.join(sizes)}; what is read is {READ}: keep one table in a file, and add an "
        "array of as many texts, called names"
    )


def _first_called(patterns: Sequence[re.Pattern[str]], keys: Iterable[str]) -> str:
    """The first key that contains the first possible pattern; "" if there is none."""
    found = (key for pattern in patterns for key in keys if pattern.search(key.lower()))
    return next(found, "")


def read_safetensors(path: Path) -> Iterator[FoundVector]:
    """Named vectors; bfloat16, which NumPy lacks, becomes float32."""
    try:
        arrays = load_safetensors(path)
    except TimbralError:
        raise
    except Exception as error:
        reason = first_line(error)
        raise DataError(f"{path}: cannot be read as .safetensors ({reason})") from None
    for name, array in arrays.items():
        yield FoundVector(name, as_vector(array, f"{path}: {name}"))


def load_safetensors(path: Path) -> dict[str, Any]:
    """Arrays by name; bfloat16 becomes float32 of the same value."""
    with safetensors.safe_open(path, framework="np") as file:
        kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    if "BF16" not in kinds:
        return safetensors.numpy.load_file(path)
    import torch
    from safetensors.torch import load_file

    tensors = load_file(path)
    return {
        name: (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        for name, tensor in tensors.items()
    }
