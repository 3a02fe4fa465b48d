"""Check whether finished data still match their recordings.

``recordings.parquet`` next to the table has the size and time of each recording. A recording of the
same size with a later time is prepared again and compared, because it may have been copied or
touched, or replaced by another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from timbral.audio.decode import SAMPLE_RATE, decode
from timbral.audio.preprocessing import Preprocessing
from timbral.data.file_state import written_ns
from timbral.data.manifest import Utterance
from timbral.data.prepared.formats import FORMATS
from timbral.data.prepared.table_columns import read_columns
from timbral.errors import AudioError, DataError
from timbral.io.files import atomic_write

__all__ = ["check_unchanged", "write_times"]

TIMES_FILE = "recordings.parquet"
MAX_STEPS = 2
"""largest difference of a 16-bit sample that another machine's rounding may cause"""


def write_times(folder: Path, utterances: Iterable[Utterance], times: Sequence[int]) -> None:
    """Write when each recording was written, in ns since 1970."""
    names = [row.utterance for row in utterances]
    table = pa.table({"utterance": names, "mtime_ns": pa.array(times, pa.int64())})
    with atomic_write(folder / TIMES_FILE) as temporary:
        pa.parquet.write_table(table, temporary)


def check_unchanged(
    folder: Path, utterances: Sequence[Utterance], preprocessing: Preprocessing, format: str
) -> None:
    """Raise DataError if a recording has changed since the data in `folder` was prepared from it.

    utterances: those of the data, in its order; their sizes are known to be the same.
    """
    now = [written_ns(row.path) for row in utterances]
    written_since = _read_times(folder / TIMES_FILE, len(now)) != np.array(now, np.int64)
    if not written_since.any():
        return
    table = read_columns(folder / "utterances.parquet")
    places = {name: place for place, name in enumerate(table["utterance"].to_pylist())}
    for row in compress(utterances, written_since):
        stored = None
        if row.utterance in places:
            [location] = table.slice(places[row.utterance], 1).to_pylist()
            stored = FORMATS[format].read(folder, location)
        if not _is_same(_convert(row.path, preprocessing, format), stored):
            raise DataError(
                f"{folder}: was prepared from another recording than {row.path} is now; choose "
                "another `output`, or delete this folder first"
            )
    write_times(folder, utterances, now)


def _read_times(path: Path, count: int) -> NDArray[np.int64]:
    """When each recording was written; -1 for all if the file is damaged or lost, so all are
    compared.
    """
    try:
        times = pa.parquet.read_table(path)["mtime_ns"].cast(pa.int64())
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError, MemoryError):
        return np.full(count, -1)
    return times.to_numpy() if len(times) == count and not times.null_count else np.full(count, -1)


def _convert(path: str, preprocessing: Preprocessing, format: str) -> NDArray[np.generic] | None:
    """What the format stores for a recording; None if it cannot be used."""
    try:
        wave, sample_rate = decode(path)
        wave = preprocessing(wave, sample_rate, SAMPLE_RATE, path)
        return FORMATS[format].convert(wave, path)
    except AudioError:
        return None


def _is_same(now: NDArray[np.generic] | None, stored: NDArray[np.generic] | None) -> bool:
    if now is None or stored is None:
        return now is stored
    if now.shape != stored.shape:
        return False
    if now.dtype == np.int16:
        return bool((np.abs(now.astype(np.int32) - stored.astype(np.int32)) <= MAX_STEPS).all())
    return bool(np.allclose(now.astype(float), stored.astype(float), rtol=1e-3, atol=1e-6))
