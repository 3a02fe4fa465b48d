"""Find recordings that are copies of references: of another level, coding or rate, or a part.

The waves are compared, not their vectors: two recordings of one speaker who says the same are never
alike sample by sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from timbral.audio.decode import Wave, decode, resample
from timbral.cloning.clones import Clone, CloneSet
from timbral.cloning.encoded_recording import EncodedRecording
from timbral.cloning.encoder_view import have_same_samples
from timbral.errors import AudioError
from timbral.io.threads import map_ahead
from timbral.io.types import Floats, Ints

__all__ = ["Pair", "copies", "highest_correlation", "similar_pairs", "similar_real_pairs"]

Pair = tuple[str, str]
"""a synthesized recording and a reference of it; or a reference, and another real recording"""
LEAST_COSINE = 0.95
SECONDS_APART = 0.2
"""pairs are compared, which takes time, if their vectors are at least as similar or their durations
hardly differ: a copy at 8 kHz has another vector, a shortened one another duration"""
LONGEST_SECONDS = 600.0
"""longest recordings that are compared, because memory grows with them: 0.4 GB for two of these"""
MOST_REFERENCES = 3
"""most references that a clone is compared with, of nearly its duration, and of its vector: with
all recordings of a speaker as references, there are very many pairs"""
LEAST_CORRELATION = 0.8
"""copies have 0.93 or more, other recordings 0.70 or less (docs/decisions.md)"""
RATE = 4_000
"""rate at which waves are compared, in Hz"""
LEAST_SECONDS = 1.0
"""shortest overlap; in a shorter one, a few periods of a voice are enough for a correlation"""
LEAST_PARTS = (0.5, 0.02)
"""least parts of the two waves' energies that are in the overlap: of one, and of the other"""


def similar_pairs(clones: Iterable[Clone], encoded: Mapping[str, EncodedRecording]) -> set[Pair]:
    """The pairs of a clone and a reference that may be copies.

    Those with the same samples are known already.
    """
    return {
        (clone.synthesized, path)
        for clone in clones
        if clone.synthesized in encoded
        for path in _alike(clone.synthesized, clone.references, encoded)
    }


def similar_real_pairs(found: CloneSet, encoded: Mapping[str, EncodedRecording]) -> set[Pair]:
    """The pairs of a clone's only reference and a recording of its speaker that is no reference,
    which may be copies: a prompt, and what it was cut from.
    """
    references = {path for clone in found.clones for path in clone.references}
    others: dict[str, list[str]] = {}
    for each in found.real:
        if each.path not in references:
            others.setdefault(each.speaker, []).append(each.path)
    prompts = {
        (clone.references[0], clone.speaker)
        for clone in found.clones
        if len(clone.references) == 1 and clone.references[0] in encoded
    }
    return {
        (prompt, path)
        for prompt, speaker in prompts
        for path in _alike(prompt, others.get(speaker, ()), encoded)
    }


def _alike(
    recording: str, others: Iterable[str], encoded: Mapping[str, EncodedRecording]
) -> set[str]:
    """Those of other recordings that may be copies of one."""
    own = encoded[recording]
    apart: dict[str, float] = {}
    cosines: dict[str, float] = {}
    for path in others:
        other = encoded.get(path)
        if other is None or have_same_samples(own, other):
            continue
        if max(own.quality.seconds, other.quality.seconds) > LONGEST_SECONDS:
            continue
        apart[path] = abs(own.quality.seconds - other.quality.seconds)
        cosines[path] = float(own.vector @ other.vector)
    nearest = sorted(apart, key=apart.__getitem__)[:MOST_REFERENCES]
    alike = sorted(cosines, key=cosines.__getitem__, reverse=True)[:MOST_REFERENCES]
    return {path for path in nearest if apart[path] <= SECONDS_APART} | {
        path for path in alike if cosines[path] >= LEAST_COSINE
    }


def copies(pairs: Iterable[Pair]) -> set[Pair]:
    """The pairs of which one recording is a copy of the other, or of a part of it.

    Recordings that cannot be read are passed over.
    """
    listed = sorted(pairs)
    return {
        pair
        for pair, waves in zip(listed, map_ahead(_load, listed), strict=True)
        if waves and highest_correlation(*waves) >= LEAST_CORRELATION
    }


def _load(pair: Pair) -> Sequence[Wave]:
    """Both waves (T,) at `RATE`, without their lowest frequencies; nothing if one is unreadable."""
    try:
        waves = [resample(*decode(path), RATE) for path in pair]
    except AudioError:
        return ()
    return [np.diff(wave, prepend=np.float32(0)) for wave in waves]


def highest_correlation(one: Wave, other: Wave) -> float:
    """The highest correlation of two waves (T,) at `RATE` over all delays, from 0 to 1.

    It is normalized by the energies in the overlap, and is the envelope over delays: a fraction of
    a sample, the polarity and a filter's constant phase do not count.
    """
    size = 1 << (len(one) + len(other) - 2).bit_length()
    spectrum = np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size))
    envelope = 2 * np.abs(np.fft.ifft(spectrum, size))
    delays = np.arange(1 - len(other), len(one))
    starts, ends = np.maximum(delays, 0), np.minimum(len(one), delays + len(other))
    first = _energy_between(one, starts, ends)
    second = _energy_between(other, starts - delays, ends - delays)
    parts = first / max(first.max(), 1e-12), second / max(second.max(), 1e-12)
    usable = (
        (ends - starts >= LEAST_SECONDS * RATE)
        & (np.maximum(*parts) >= LEAST_PARTS[0])
        & (np.minimum(*parts) >= LEAST_PARTS[1])
    )
    if not usable.any():
        return 0.0
    values = envelope[delays[usable] % size] / np.sqrt(first[usable] * second[usable])
    return float(values.max())


def _energy_between(wave: Wave, starts: Ints, ends: Ints) -> Floats:
    sums: Floats = np.concatenate([[0.0], np.cumsum(wave.astype(np.float64) ** 2)])
    return sums[ends] - sums[starts]
