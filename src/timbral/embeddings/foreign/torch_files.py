"""Files of torch and pickles that contain vectors, read without running code in them.

CosyVoice   utt2embedding.pt, spk2embedding.pt   {id: list of numbers or tensor}
            spk2info.pt                          {speaker: {"embedding": tensor, …}}
Coqui       speakers.pth, speakers.json          {clip: {"name": speaker, "embedding": list}}
SpeechBrain stat_*.pkl, StatObject_SB            segset (N,), modelset (N,), stat1 (N, E)
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from timbral.embeddings.foreign.array_files import of_array, of_arrays
from timbral.embeddings.foreign.found import FoundVector, as_vector
from timbral.errors import DataError, first_line
from timbral.io.pickles import UnknownNameError, read_pickle

__all__ = ["load_torch", "of_content", "read_pickled", "read_torch"]

Array = np.ndarray[Any, Any]
MOST_COLUMNS = 16
VECTOR_KEYS = ("embedding", "llm_embedding", "flow_embedding", "xvector", "dvector", "vector")
"""keys of the vector, if names are mapped to mappings"""
SPEAKER_KEYS = ("name", "speaker", "spk")
STAT_KEYS = {"segset", "modelset", "stat1"}
"""attributes of SpeechBrain's StatObject_SB"""


def read_torch(path: Path) -> Iterator[FoundVector]:
    """The vectors in a file from `torch.save` with tensors and plain values only."""
    return of_content(load_torch(path), path)


def read_pickled(path: Path) -> Iterator[FoundVector]:
    """The vectors in a pickle of a dict of arrays, or of SpeechBrain's StatObject_SB.

    Nothing that the pickle names is called.
    """
    try:
        content = read_pickle(path.read_bytes(), as_records=RECORDS)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except UnknownNameError as error:
        raise DataError(f"{path}: {error}; save a dict of names and arrays instead") from None
    except Exception as error:  # a broken file raises anything
        reason = first_line(error)
        raise DataError(f"{path}: cannot be read as a pickle of vectors ({reason})") from None
    return of_content(content, path)


RECORDS = frozenset({("speechbrain.processing.PLDA_LDA", "StatObject_SB")})
"""classes whose objects are read as dicts of their attributes"""


def load_torch(path: Path) -> Any:
    """The content of a file from `torch.save`; DataError unless it is tensors and plain values."""
    import torch

    try:
        content = path.read_bytes()
        with warnings.catch_warnings():  # about damaged files, for which an error follows
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # a broken file raises anything
        lines = str(error).strip().splitlines() or [type(error).__name__]
        asked = [line for line in lines if "GLOBAL" in line]
        reason = (
            "it contains more than tensors and plain values, so loading it could run any code; "
            "save a dict of names and tensors instead"
            if asked
            else f"it is damaged or not a file of torch: {lines[0][:120]}"
        )
        raise DataError(f"{path}: cannot be read ({reason})") from None


def of_content(content: Any, path: Path) -> Iterator[FoundVector]:
    """The vectors in the content of a file.

    The content is a vector, a table of vectors with a list of names next to the file, a mapping of
    names to vectors, or a mapping of columns: a table of vectors, and lists of names and speakers
    of the same length.
    """
    if not isinstance(content, Mapping):
        yield from of_array(_array(content), path)
        return
    if content.keys() >= STAT_KEYS:
        yield from _of_stat_object(content, path)
        return
    columns = _columns(content)
    if columns is not None:
        yield from of_arrays(columns, path)
        return
    is_of_speakers = path.stem.startswith("spk")
    for key, value in content.items():
        name, where = str(key), f"{path}: {key}"
        speaker = name if is_of_speakers else ""
        if isinstance(value, Mapping):
            speaker = next((str(value[key]) for key in SPEAKER_KEYS if key in value), speaker)
            found = next((value[key] for key in VECTOR_KEYS if key in value), None)
            if found is None:
                raise DataError(
                    f"{where}: has none of {', '.join(VECTOR_KEYS)}, only "
                    f"{', '.join(map(str, list(value)[:6])) or 'nothing'}"
                )
            value = found
        yield FoundVector(name, as_vector(value, where), speaker)


def _columns(content: Mapping[Any, Any]) -> dict[str, Array] | None:
    """Arrays by name, if one is a table of vectors and another has text for each of its rows."""
    if len(content) > MOST_COLUMNS:
        return None
    arrays = {str(key): _array(value) for key, value in content.items()}
    sizes = {len(each) for each in arrays.values() if each.ndim == 2 and each.dtype.kind in "fiu"}
    is_named = any(each.dtype.kind == "U" and each.shape == (max(sizes, default=0),)
                   for each in arrays.values())  # fmt: skip
    return arrays if len(sizes) == 1 and is_named else None


def _array(value: Any) -> Array:
    """Numbers or texts as an array; anything else as an array of objects."""
    if hasattr(value, "detach"):  # a tensor of torch
        value = value.detach()
        return np.asarray((value.float() if value.is_floating_point() else value).numpy())
    try:
        array = np.asarray(value)
    except ValueError:  # lists of several lengths
        return np.asarray(None)
    if array.dtype.kind == "O" and all(isinstance(each, str) for each in array.ravel().tolist()):
        return array.astype(str)
    return array


def _of_stat_object(content: Mapping[str, Any], path: Path) -> Iterator[FoundVector]:
    table = np.asarray(content["stat1"])
    names, speakers = (list(content[key]) for key in ("segset", "modelset"))
    if table.ndim != 2 or not len(table) == len(names) == len(speakers):
        raise DataError(f"{path}: stat1, segset and modelset are of different lengths")
    for name, speaker, row in zip(names, speakers, table, strict=True):
        same = str(name) == str(speaker)  # in test sets, whose speakers are unknown
        yield FoundVector(
            str(name), as_vector(row, f"{path}: {name}"), "" if same else str(speaker)
        )
