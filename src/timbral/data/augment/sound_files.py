"""Recordings of noise, music and rooms: decoded once, then read from mapped memory.

The recordings of some folders are concatenated in one file of 16-bit PCM in the cache. Its name
depends on their paths, sizes and times, so it is written once and never out of date.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from timbral.audio.decode import (
    AUDIO_SUFFIXES,
    SAMPLE_RATE,
    Wave,
    decode,
    failures_of,
    resample,
    to_int16,
)
from timbral.data.corpora.corpus_files import audio_files
from timbral.errors import AudioError, DataError
from timbral.io.files import atomic_write, read_json, write_json
from timbral.io.locks import wait_for_flock

__all__ = ["Recordings"]

Trim = Callable[[Wave], Wave]


class Recordings:
    """Concatenated recordings at 16 kHz, in mapped memory."""

    def __init__(self, pcm: NDArray[np.int16], starts: list[int], failures: list[str]) -> None:
        self._pcm = pcm
        self._starts = np.array(starts, dtype=np.int64)  # one more than there are recordings
        self.failures = failures
        """recordings that could not be read, with the reason"""

    @classmethod
    def open(
        cls, section: str, paths: Sequence[str], cache: Path, trim: Trim | None = None
    ) -> Self:
        """Open the recordings below `paths` (folders or files); they are decoded the first time.

        `section` is the section of the config, for the DataError if there is nothing to read;
        `trim` selects what is kept of each recording.
        """
        files = _find(section, paths)
        identity = [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
        key = json.dumps([1, trim.__name__ if trim else None, identity])
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        pcm_path, index_path = cache / f"{name}.pcm", cache / f"{name}.json"
        with wait_for_flock(cache / f"{name}.lock"):  # other processes wait, and find it done
            if not (index_path.exists() and pcm_path.exists()):
                _decode_all(section, files, pcm_path, index_path, trim)
        index = read_json(index_path)
        pcm = np.memmap(pcm_path, dtype=np.int16, mode="r")
        return cls(pcm, index["starts"], index["failures"])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def wave(self, index: int) -> NDArray[np.int16]:
        """One recording (T,), a view of mapped memory."""
        return self._pcm[self._starts[index] : self._starts[index + 1]]

    def crop(self, choice: float, offset: float, samples: int) -> NDArray[np.int16]:
        """A crop (samples,) of a recording, both drawn by numbers in [0, 1); short ones repeat."""
        recording = self.wave(int(choice * len(self)))
        start = int(offset * max(1, len(recording) - samples + 1))
        crop = recording[start : start + samples]
        return crop if len(crop) == samples else np.resize(crop, samples)


def _find(section: str, paths: Sequence[str]) -> list[Path]:
    remedy = f"give folders or files of recordings, or set {section}.probability to 0"
    if not paths:
        raise DataError(f"{section}.probability is above 0, but {section}.paths is empty; {remedy}")
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise DataError(f"{section}.paths: {path}: no such folder; {remedy}")
        below = [path] if path.is_file() else list(audio_files(path))
        if not below:
            suffixes = ", ".join(sorted(AUDIO_SUFFIXES))
            raise DataError(
                f"{section}.paths: {path}: contains no recordings ({suffixes}); {remedy}"
            )
        files += below
    return [Path(os.path.abspath(file)) for file in files]


def _decode_all(
    section: str, files: list[Path], pcm_path: Path, index_path: Path, trim: Trim | None
) -> None:
    """Write the PCM, one recording at a time, then its index."""
    starts, failures = [0], []
    with atomic_write(pcm_path) as temporary, open(temporary, "wb") as out:
        for file in files:
            try:
                with failures_of(str(file)):
                    wave = resample(*decode(file), SAMPLE_RATE)
                    pcm = to_int16(trim(wave) if trim else wave)
            except AudioError as error:
                failures.append(str(error))
                continue
            out.write(pcm.tobytes())
            starts.append(starts[-1] + len(pcm))
    if len(starts) == 1:
        pcm_path.unlink()
        raise DataError(
            f"{section}.paths: none of {len(files)} recordings can be read; "
            f"the first: {failures[0]}"
        )
    write_json(index_path, {"starts": starts, "failures": failures})
