"""Inspect a corpus or prepared data: numbers, lengths, levels, and what looks wrong in it.

The limits are those of utterances for training. Risks of recordings that are to be compared
(`timbral.audio.quality.risks`) have limits of their own: they are of the speech frames, which take
longer to find. Both call the same recordings clipped.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from timbral.audio.decode import Wave, check_wave, failures_of
from timbral.audio.preprocessing import rms_dbfs_of
from timbral.audio.quality.clipping import clipped_fraction
from timbral.audio.quality.risks import CLIPPED_FRACTION
from timbral.data.corpora.passed_over import count_passed_over
from timbral.data.corpora.recognition import AUTO
from timbral.data.inspect.readers import DataReader, open_data
from timbral.data.manifest import Manifest
from timbral.errors import AudioError
from timbral.io.types import Floats, Ints, Progress

__all__ = ["MEASURED_UTTERANCES", "Inspection", "Suspect", "SuspectKind", "inspect_data"]

MEASURED_UTTERANCES = 2_000
"""utterances whose waves are measured, spread evenly over the data"""
SHORT_SECONDS, LONG_SECONDS = 1.0, 60.0
"""limits of the duration, with pauses"""
QUIET_DBFS = -50.0
"""RMS level of the whole utterance, with pauses"""
PAUSE_FRACTION = 0.8
PAUSE_POWER = 1e-4
"""relative to the loudest 30 ms: 40 dB below it is a pause"""
NARROW_BAND_HZ = 4_200.0
NARROW_BAND_FRACTION = 1e-6
"""fraction of power above `NARROW_BAND_HZ`, below which a recording was once telephone speech"""
SPECTRUM_SECONDS = 10
PROBE_BYTES = 8_192

SuspectKind = Literal[
    "beyond full scale",
    "clipped",
    "long",
    "mostly pauses",
    "narrow band",
    "only one of its speaker",
    "quiet",
    "short",
    "unreadable",
    "unusable",
]


@dataclass(frozen=True)
class Suspect:
    """One utterance that deserves a look, and why."""

    utterance: str
    path: str
    kind: SuspectKind
    detail: str

    @property
    def reason(self) -> str:
        return f"{self.kind}: {self.detail}"


@dataclass
class Inspection:
    """The results of an inspection."""

    source: str
    kind: str
    """what the data is, in words"""
    utterances: int
    speakers: int
    sessions: int
    """number of named sessions; 0 if no utterance has one"""
    seconds: Floats
    """lengths of the utterances that have one"""
    per_speaker: Ints
    """utterances of each speaker"""
    rates: Counter[int]
    """numbers of recordings by rate in Hz"""
    rms_dbfs: list[float] = field(default_factory=list)
    """RMS levels of the measured utterances"""
    measured: int = 0
    """number of measured utterances"""
    duplicates: list[list[str]] = field(default_factory=list)
    """paths of equal content"""
    suspects: list[Suspect] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    """files of a corpus's folder that are no recordings, by suffix"""

    @property
    def hours(self) -> float:
        return float(self.seconds.sum()) / 3600

    def suspects_by_kind(self) -> Counter[SuspectKind]:
        """Number of suspects of each kind."""
        return Counter(suspect.kind for suspect in self.suspects)


def inspect_data(
    source: str | Path | Manifest,
    layout: str = AUTO,
    progress: Progress = lambda done, total: None,
) -> Inspection:
    """Look through a store, precomputed mels, or any other source that `find_utterances` takes.

    source: prepared data, a corpus, a table of utterances, a URL, or utterances.
    layout: how the folder of a corpus is laid out, a name of `CORPORA`.
    progress: called with the waves measured and how many will be.

    Lengths and rates are of every utterance; the waves of `MEASURED_UTTERANCES`, evenly spread,
    are measured. Raises DataError when the source cannot be read.
    """
    data = open_data(source, layout)
    roots = [] if isinstance(source, Manifest) else [source]
    speakers, sessions = (data.manifest.table[name].to_pylist() for name in ("speaker", "session"))
    readable = [row for row in range(len(speakers)) if row not in data.unreadable]
    per_speaker = Counter(speakers)
    inspection = Inspection(
        source="a list of utterances" if isinstance(source, Manifest) else str(source),
        kind=data.kind,
        utterances=len(data.manifest),
        speakers=len(per_speaker),
        sessions=len({each for each in zip(speakers, sessions, strict=True) if each[1]}),
        seconds=data.seconds[readable],
        per_speaker=np.array(list(per_speaker.values())),
        rates=Counter(rate for rate in data.rates if rate > 0),
        duplicates=_duplicates(data),
        passed_over=count_passed_over(roots, data.manifest),
    )
    inspection.suspects += [
        Suspect("", failure.path, "unusable", failure.reason) for failure in data.manifest.failures
    ]
    for row, speaker in enumerate(speakers):
        if per_speaker[speaker] == 1:
            suspect = _suspect(data, row, "only one of its speaker", speaker)
            inspection.suspects.append(suspect)
    for row, seconds in enumerate(data.seconds):
        if row in data.unreadable:
            reason = data.unreadable[row].reason
            inspection.suspects.append(_suspect(data, row, "unreadable", reason))
        elif seconds < SHORT_SECONDS:
            inspection.suspects.append(_suspect(data, row, "short", f"{seconds:.2f} s"))
        elif seconds > LONG_SECONDS:
            inspection.suspects.append(_suspect(data, row, "long", f"{seconds:.2f} s"))
    if data.holds_waves:
        _measure(data, inspection, progress)
    return inspection


def _suspect(data: DataReader, row: int, kind: SuspectKind, detail: str) -> Suspect:
    utterance = data.manifest[row]
    return Suspect(utterance.utterance, utterance.path, kind, detail)


def _duplicates(data: DataReader) -> list[list[str]]:
    """Paths of equal content: equal in size, then in a few bytes of the middle, then in all."""
    groups: list[list[int]] = [list(range(len(data.sizes)))]
    keys: list[Callable[[int], object]] = [
        lambda row: data.sizes[row],
        lambda row: data.content(row, _middle(data.sizes[row])),
        lambda row: hashlib.sha256(data.content(row, slice(0, None))).digest(),
    ]
    for key in keys:
        groups = [equal for group in groups for equal in _grouped(group, key) if len(equal) > 1]
    return [[data.manifest[row].path for row in group] for group in groups]


def _middle(size: int) -> slice:
    start = max(0, size // 2 - PROBE_BYTES // 2)
    return slice(start, start + PROBE_BYTES)


def _grouped(rows: list[int], key: Callable[[int], object]) -> list[list[int]]:
    groups: dict[object, list[int]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return list(groups.values())


def _measure(data: DataReader, inspection: Inspection, progress: Progress) -> None:
    """Measure RMS levels and audible defects of some of the utterances."""
    rows = range(0, inspection.utterances, -(-inspection.utterances // MEASURED_UTTERANCES))
    for done, row in enumerate(rows, start=1):
        path = data.manifest[row].path
        try:
            with failures_of(path):
                as_it_is, rate = data.wave(row)
                wave = check_wave(as_it_is, path)
                suspicions = list(_suspicions(as_it_is, wave, rate))
        except AudioError as error:
            if row not in data.unreadable:
                inspection.suspects.append(_suspect(data, row, "unusable", error.reason))
        else:
            inspection.measured += 1
            inspection.rms_dbfs.append(_rms_dbfs(wave))
            inspection.suspects += [_suspect(data, row, *suspicion) for suspicion in suspicions]
        progress(done, len(rows))


def _suspicions(as_it_is: Wave, wave: Wave, rate: int) -> Iterator[tuple[SuspectKind, str]]:
    """What looks wrong in a wave, which is given as decoded and scaled to [-1, 1]."""
    peak = float(np.abs(as_it_is).max())
    if peak > 1.0:
        gain = float(np.abs(wave).max()) / peak
        yield "beyond full scale", f"peak {peak:.4g}; all of it is multiplied by {gain:.3g}"
    clipped = clipped_fraction(wave)
    if clipped >= CLIPPED_FRACTION:
        yield "clipped", f"{100 * clipped:.1f} % of the samples"
    rms_dbfs = _rms_dbfs(wave)
    if rms_dbfs < QUIET_DBFS:
        yield "quiet", f"{rms_dbfs:.0f} dBFS"
    size = rate // 33 or 1
    frames = wave[: wave.size - wave.size % size].reshape(-1, size)
    if len(frames):
        power = np.mean(np.square(frames), axis=1)
        pauses = float(np.mean(power < power.max() * PAUSE_POWER))
        if pauses > PAUSE_FRACTION:
            yield "mostly pauses", f"{100 * pauses:.0f} % is 40 dB below the loudest 30 ms"
    if rate > 2.5 * NARROW_BAND_HZ and _is_narrow_band(wave, rate):
        yield "narrow band", f"nothing above 4 kHz at a rate of {rate} Hz"


def _is_narrow_band(wave: Wave, rate: int) -> bool:
    """Whether the first seconds have almost no power above `NARROW_BAND_HZ`.

    It uses the first seconds without digital silence, which has no spectrum.
    """
    excerpt = wave[: SPECTRUM_SECONDS * rate]
    if not excerpt.any():
        first = int(np.argmax(wave != 0))
        excerpt = wave[first : first + SPECTRUM_SECONDS * rate]
    power = np.abs(np.fft.rfft(excerpt)) ** 2
    above = power[int(len(power) * 2 * NARROW_BAND_HZ / rate) :].sum()
    return float(above) < NARROW_BAND_FRACTION * float(power.sum())


def _rms_dbfs(wave: Wave) -> float:
    return rms_dbfs_of(float(np.mean(np.square(wave))))
