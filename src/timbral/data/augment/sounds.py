"""Noise, music and room responses: decoded once, then read from mapped memory.

The recordings of some folders lie end to end in one file of 16-bit PCM in the cache. Its name
follows from their paths, sizes and times, so that it is made once and never out of date.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbral.audio.decode import AUDIO_SUFFIXES, SAMPLE_RATE, Wave, decode, resample, to_int16
from timbral.data.corpora.scans import audio_files
from timbral.errors import AudioError, DataError
from timbral.io.files import atomic_write, read_json, write_json

__all__ = ["Rooms", "Sounds", "fast_size"]

MAX_ROOM_SECONDS = 1.0  # later reflections cost more than they matter
MAX_SPECTRA_BYTES = 2**28  # above this, spectra are computed when they are used


class Sounds:
    """Recordings at 16 kHz, end to end in mapped memory."""

    def __init__(self, pcm: NDArray[np.int16], starts: list[int], failures: list[str]) -> None:
        self._pcm = pcm
        self._starts = np.array(starts, dtype=np.int64)  # one more than there are recordings
        self.failures = failures
        """recordings that could not be read, with the reason"""

    @classmethod
    def open(cls, key: str, paths: Sequence[str], cache: Path, *, rooms: bool = False) -> Sounds:
        """Open what lies below `paths` (folders or files); the first time it is decoded.

        `key` is the section of the config, for the DataError when there is nothing to read;
        `rooms` cuts each recording to what counts of a room's response.
        """
        files = _find(key, paths)
        about = [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
        name = hashlib.sha256(json.dumps([1, rooms, about]).encode()).hexdigest()[:16]
        pcm_path, index = cache / f"{name}.pcm", cache / f"{name}.json"
        with _locked(cache / f"{name}.lock"):  # other processes wait, and find it done
            if not (index.exists() and pcm_path.exists()):
                _decode_all(key, files, pcm_path, index, rooms)
        found = read_json(index)
        pcm = np.memmap(pcm_path, dtype=np.int16, mode="r")
        return cls(pcm, found["starts"], found["failures"])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def whole(self, number: int) -> NDArray[np.int16]:
        """One recording (T,), a view of mapped memory."""
        return self._pcm[self._starts[number] : self._starts[number + 1]]

    def crop(self, choice: float, place: float, samples: int) -> NDArray[np.int16]:
        """Part of a recording (samples,), both told by numbers in [0, 1); short ones repeat."""
        sound = self.whole(int(choice * len(self)))
        start = int(place * max(1, len(sound) - samples + 1))
        part = sound[start : start + samples]
        return part if len(part) == samples else np.resize(part, samples)


class Rooms:
    """Spectra of room responses, ready to be multiplied with those of speech."""

    def __init__(self, sounds: Sounds) -> None:
        self._sounds = sounds
        self.longest = max(len(sounds.whole(number)) for number in range(len(sounds)))
        self._cached: dict[int, Tensor] = {}

    def spectra(self, choices: NDArray[np.float64], samples: int) -> Tensor:
        """Spectra (n, N / 2 + 1) for speech of `samples`; choices (n,) in [0, 1).

        N is `fast_size`: long enough that nothing of the convolution wraps round.
        """
        size = fast_size(samples + self.longest - 1)
        rows = (choices * len(self._sounds)).astype(np.int64)
        if 4 * size * len(self._sounds) > MAX_SPECTRA_BYTES:
            return self._transform(rows, size)
        if size not in self._cached:
            self._cached[size] = self._transform(np.arange(len(self._sounds)), size)
        return self._cached[size][torch.from_numpy(rows)]

    def _transform(self, rows: NDArray[np.int64], size: int) -> Tensor:
        responses = torch.zeros(max(2, len(rows)), size)  # MKL rounds single rows otherwise
        for index, row in enumerate(rows):
            pcm = self._sounds.whole(int(row))
            responses[index, : len(pcm)] = torch.from_numpy(pcm.astype(np.float32))
        spectra: Tensor = torch.fft.rfft(responses / 32_768.0)[: len(rows)]
        return spectra


def fast_size(least: int) -> int:
    """Return the smallest even size of at least `least` without prime factors above 5."""
    best = 1 << (least - 1).bit_length()
    five = 2
    while five < best:
        three = five
        while three < best:
            twos = (-(-least // three) - 1).bit_length()
            best = min(best, three << twos)
            three *= 3
        five *= 5
    return best


def room_response(wave: Wave) -> Wave:
    """From the direct sound on, so that nothing is delayed; peak 1.

    The end is cut where less than a ten-thousandth of the energy follows, and after a second.
    """
    response = wave[int(np.abs(wave).argmax()) :][: round(MAX_ROOM_SECONDS * SAMPLE_RATE)]
    response = response / np.abs(response[0])
    left = np.cumsum(np.square(response[::-1], dtype=np.float64))[::-1]
    return np.asarray(response[: int((left >= 1e-4 * left[0]).sum())], dtype=np.float32)


def _find(key: str, paths: Sequence[str]) -> list[Path]:
    expected = f"folders (or files) of recordings: {', '.join(sorted(AUDIO_SUFFIXES))}"
    if not paths:
        raise DataError(
            f"{key}.probability is above 0, but {key}.paths names nothing; it takes {expected}; "
            f"or set {key}.probability to 0"
        )
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise DataError(f"{key}.paths: {path}: no such folder; expected are {expected}")
        below = [path] if path.is_file() else list(audio_files(path))
        if not below:
            raise DataError(f"{key}.paths: {path}: no recordings in it; expected are {expected}")
        files += below
    return [Path(os.path.abspath(file)) for file in files]


def _decode_all(key: str, files: list[Path], pcm_path: Path, index: Path, rooms: bool) -> None:
    """Write the PCM, one recording at a time, then its index."""
    starts, failures = [0], []
    with atomic_write(pcm_path) as temporary, open(temporary, "wb") as out:
        for file in files:
            try:
                wave, rate = decode(file)
            except AudioError as error:
                failures.append(str(error))
                continue
            wave = resample(wave, rate, SAMPLE_RATE)
            pcm = to_int16(room_response(wave) if rooms else wave)
            out.write(pcm.tobytes())
            starts.append(starts[-1] + len(pcm))
    if len(starts) == 1:
        pcm_path.unlink()
        raise DataError(
            f"{key}.paths: none of {len(files)} recordings can be read; the first: {failures[0]}"
        )
    write_json(index, {"starts": starts, "failures": failures})


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
