"""What a corpus, a store or precomputed mels holds, and what in it looks wrong."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timbral.audio.decode import SAMPLE_RATE, Wave, decode, read_header
from timbral.audio.segments import Segment
from timbral.data.manifest import Manifest, file_size
from timbral.data.prepared.base import prepared_format
from timbral.data.prepared.mels import PrecomputedMels, holds_mels
from timbral.data.prepared.store import Store
from timbral.data.sources import find_utterances
from timbral.errors import AudioError

__all__ = ["Inspection", "Suspect", "inspect_data"]

Progress = Callable[[int, int], None]

LISTENED = 2_000
"""utterances whose sound is looked at, spread evenly over the data"""
SHORT_SECONDS, LONG_SECONDS = 1.0, 60.0
CLIPPED_SHARE = 1e-3
QUIET_DBFS = -50.0
PAUSE_SHARE = 0.8
NARROW_HZ = 4_200.0
NARROW_SHARE = 1e-6
"""power above 4.2 kHz, of all, under which a recording was once telephone speech"""
PROBE_BYTES = 8_192


@dataclass(frozen=True)
class Suspect:
    """One utterance that deserves a look, and why."""

    utterance: str
    path: str
    reason: str


@dataclass
class Inspection:
    """What was found. RMS levels in dBFS of the `listened` utterances."""

    source: str
    kind: str
    utterances: int
    speakers: int
    sessions: int
    seconds: NDArray[np.float64]
    per_speaker: NDArray[np.int64]
    rates: Counter[int]
    rms_dbfs: list[float] = field(default_factory=list)
    listened: int = 0
    duplicates: list[list[str]] = field(default_factory=list)
    """paths of equal content"""
    suspects: list[Suspect] = field(default_factory=list)

    @property
    def hours(self) -> float:
        return float(self.seconds.sum()) / 3600

    def reasons(self) -> Counter[str]:
        """How many suspects there are of each kind."""
        return Counter(item.reason.partition(":")[0] for item in self.suspects)


@dataclass(frozen=True)
class _Source:
    """How the data is reached: rows, lengths, sound and bytes."""

    kind: str
    manifest: Manifest
    seconds: NDArray[np.float64]
    rates: Sequence[int]
    sizes: Sequence[int]
    """equal content has equal size"""
    content: Callable[[int, slice], bytes]
    """bytes of a row between two places"""
    wave: Callable[[int], tuple[Wave, int]] | None
    """a row's sound and rate; None in precomputed mels"""
    unreadable: dict[int, str] = field(default_factory=dict)
    """rows without a length, and why"""


def inspect_data(
    root: str | Path, layout: str = "folder", progress: Progress = lambda done, total: None
) -> Inspection:
    """Look through a store, precomputed mels, or any other source that `find_utterances` takes.

    Lengths and rates are of every utterance; `LISTENED` of them, evenly spread, are listened to.
    Calls `progress(done, total)` over these.
    """
    source = _open(root, layout)
    speakers, sessions = (
        source.manifest.table[name].to_pylist() for name in ("speaker", "session")
    )
    known = [row for row in range(len(speakers)) if row not in source.unreadable]
    found = Inspection(
        source=str(root),
        kind=source.kind,
        utterances=len(source.manifest),
        speakers=len(set(speakers)),
        sessions=len(set(zip(speakers, sessions, strict=True))),
        seconds=source.seconds[known],
        per_speaker=np.array(list(Counter(speakers).values())),
        rates=Counter(rate for rate in source.rates if rate > 0),
        duplicates=_duplicates(source),
    )
    firsts = {name: row for row, name in reversed(list(enumerate(speakers)))}
    for name, count in Counter(speakers).items():
        if count == 1:
            found.suspects.append(
                _suspect(source, firsts[name], f"only one of its speaker: {name}")
            )
    for row, seconds in enumerate(source.seconds):
        if row in source.unreadable:
            found.suspects.append(_suspect(source, row, f"unreadable: {source.unreadable[row]}"))
        elif seconds < SHORT_SECONDS or seconds > LONG_SECONDS:
            length = "short" if seconds < SHORT_SECONDS else "long"
            found.suspects.append(_suspect(source, row, f"{length}: {seconds:.2f} s"))
    if source.wave is not None:
        _listen(source, source.wave, found, progress)
    return found


def _suspect(source: _Source, row: int, reason: str) -> Suspect:
    item = source.manifest[row]
    return Suspect(item.utterance, item.path, reason)


def _open(root: str | Path, layout: str) -> _Source:
    folder = Path(root)
    if layout == "folder" and holds_mels(folder):
        return _open_tree(PrecomputedMels.open(folder))
    if prepared_format(folder) == "arrow":
        return _open_store(Store.open(folder))
    return _open_files(find_utterances(root, layout), "recordings")


def _open_store(store: Store) -> _Source:
    return _Source(
        kind="store of 16 kHz PCM",
        manifest=Manifest(store.table),
        seconds=store.samples / SAMPLE_RATE,
        rates=store.table["sample_rate"].to_pylist(),
        sizes=(2 * store.samples).tolist(),
        content=lambda row, part: store.pcm(row).tobytes()[part],
        wave=lambda row: (store.pcm(row).astype(np.float32) / np.float32(32_768), SAMPLE_RATE),
    )


def _open_tree(tree: PrecomputedMels) -> _Source:
    return _Source(
        kind="precomputed mels",
        manifest=Manifest(tree.table),
        seconds=tree.samples / SAMPLE_RATE,
        rates=[],
        sizes=tree.frames.tolist(),
        content=lambda row, part: tree.mel(row).tobytes()[part],
        wave=None,
    )


def _open_files(manifest: Manifest, kind: str) -> _Source:
    paths = manifest.table["path"].to_pylist()

    unreadable: dict[int, str] = {}

    def header(row: int) -> tuple[float, int]:
        try:
            rate, samples, _ = read_header(paths[row])
        except AudioError as error:
            unreadable[row] = error.reason
            return 0.0, 0
        return samples / rate, rate

    def content(row: int, part: slice) -> bytes:
        try:
            if not Segment.of(paths[row]).is_whole:
                return decode(paths[row])[0].tobytes()[part]
            with open(paths[row], "rb") as file:
                file.seek(part.start or 0)
                return file.read(-1 if part.stop is None else part.stop - (part.start or 0))
        except (OSError, AudioError):
            return str(row).encode()  # equal to no other

    with ThreadPoolExecutor(4) as pool:
        headers = list(pool.map(header, range(len(paths))))
        sizes = list(pool.map(file_size, paths))
    for row, (seconds, rate) in enumerate(headers):
        if not Segment.of(paths[row]).is_whole:
            sizes[row] = 4 * round(seconds * rate)
    return _Source(
        kind=kind,
        manifest=manifest,
        seconds=np.array([seconds for seconds, _ in headers]),
        rates=[rate for _, rate in headers],
        sizes=sizes,
        content=content,
        wave=lambda row: decode(paths[row]),
        unreadable=unreadable,
    )


def _duplicates(source: _Source) -> list[list[str]]:
    """Paths of equal content: equal in size, then in a few bytes of the middle, then in all."""
    groups: list[list[int]] = [list(range(len(source.sizes)))]
    keys: list[Callable[[int], object]] = [
        lambda row: source.sizes[row],
        lambda row: source.content(row, _middle(source.sizes[row])),
        lambda row: hashlib.sha256(source.content(row, slice(0, None))).digest(),
    ]
    for key in keys:
        groups = [part for group in groups for part in _split(group, key) if len(part) > 1]
    return [[source.manifest[row].path for row in group] for group in groups]


def _middle(size: int) -> slice:
    start = max(0, size // 2 - PROBE_BYTES // 2)
    return slice(start, start + PROBE_BYTES)


def _split(rows: list[int], key: Callable[[int], object]) -> list[list[int]]:
    parts: dict[object, list[int]] = defaultdict(list)
    for row in rows:
        parts[key(row)].append(row)
    return list(parts.values())


def _listen(
    source: _Source,
    wave_of: Callable[[int], tuple[Wave, int]],
    found: Inspection,
    progress: Progress,
) -> None:
    """RMS levels, and what the ear would notice, of some of the utterances."""
    rows = range(0, found.utterances, -(-found.utterances // LISTENED))
    for done, row in enumerate(rows, start=1):
        try:
            wave, rate = wave_of(row)
        except AudioError as error:
            if row not in source.unreadable:
                found.suspects.append(_suspect(source, row, f"unusable: {error.reason}"))
            continue
        finally:
            progress(done, len(rows))
        found.listened += 1
        found.rms_dbfs.append(_dbfs(wave))
        found.suspects += [_suspect(source, row, reason) for reason in _complaints(wave, rate)]


def _complaints(wave: Wave, rate: int) -> Iterator[str]:
    clipped = float(np.mean(np.abs(wave) >= 0.999))
    if clipped > CLIPPED_SHARE:
        yield f"clipped: {100 * clipped:.1f} % of the samples"
    level = _dbfs(wave)
    if level < QUIET_DBFS:
        yield f"quiet: {level:.0f} dBFS"
    windows = wave[: wave.size - wave.size % (rate // 33 or 1)].reshape(-1, rate // 33 or 1)
    if len(windows):
        power = np.mean(np.square(windows), axis=1)
        pauses = float(np.mean(power < power.max() * 1e-4))
        if pauses > PAUSE_SHARE:
            yield f"mostly pauses: {100 * pauses:.0f} % is 40 dB below the loudest part"
    if rate > 2.5 * NARROW_HZ:
        spectrum = np.abs(np.fft.rfft(wave[: 10 * rate])) ** 2
        share = float(spectrum[int(len(spectrum) * 2 * NARROW_HZ / rate) :].sum() / spectrum.sum())
        if share < NARROW_SHARE:
            yield f"narrow band: nothing above 4 kHz at a rate of {rate} Hz"


def _dbfs(wave: Wave) -> float:
    return 10.0 * float(np.log10(max(float(np.mean(np.square(wave))), 1e-12)))
