"""One side of a comparison: one or several recordings of a speaker, and their risks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from timbral.audio.decode import Wave
from timbral.audio.quality.measures import Quality
from timbral.audio.quality.risks import is_speech
from timbral.calibration.conditions import Conditions
from timbral.calibration.risk_warnings import is_narrow, risk_warnings
from timbral.embeddings.vectors import unit_length
from timbral.errors import InputError
from timbral.inference.decision import Decision, PairScore, Question, decide, without_speech
from timbral.inference.loader import RecordingLoader
from timbral.inference.recordings import check_finite, name_of, several_recordings
from timbral.io.types import Vectors

__all__ = ["Side", "compare_sides", "load_sides"]


@dataclass(frozen=True)
class Side:
    """A voice, the conditions of its recordings, and their measures."""

    voice: Vectors
    """(E,), of unit length"""
    conditions: Conditions
    measured: tuple[tuple[str, Quality], ...]
    """names and measures of its recordings"""

    @property
    def holds_speech(self) -> bool:
        """Whether any of its recordings contains speech."""
        return any(is_speech(quality) for _, quality in self.measured)


@dataclass(frozen=True)
class _Loaded:
    """The recordings of one side before embedding."""

    names: tuple[str, ...]
    waves: tuple[Wave, ...]
    qualities: tuple[Quality, ...]

    def with_vectors(self, vectors: Vectors) -> Side:
        """The side, with these vectors (N, E) of its recordings."""
        check_finite(vectors, self.names)
        voice = vectors[0] if len(vectors) == 1 else unit_length(vectors.mean(axis=0))
        measured = tuple(zip(self.names, self.qualities, strict=True))
        return Side(voice, Conditions.of(self.qualities).together, measured)


def load_sides(
    loader: RecordingLoader,
    encode: Callable[[Sequence[Wave]], Vectors],
    given: Mapping[str, object],
    sample_rate: float | None,
) -> list[Side]:
    """Read sides, each a recording or a list of several, and embed all of them together.

    `given` are the sides by argument; `encode` maps preprocessed waves to vectors (N, E); the
    vectors of a side's recordings are averaged. Errors as for `Embedder.encode`.
    """
    loaded = [_load(loader, audio, name, sample_rate) for name, audio in given.items()]
    vectors = encode([wave for side in loaded for wave in side.waves])
    ends = np.cumsum([len(side.waves) for side in loaded])
    return [
        side.with_vectors(rows)
        for side, rows in zip(loaded, np.split(vectors, ends[:-1]), strict=True)
    ]


def _load(
    loader: RecordingLoader, audio: object, argument: str, sample_rate: float | None
) -> _Loaded:
    recordings = several_recordings(audio)
    given = [audio] if recordings is None else recordings
    if not given:
        raise InputError(f"{argument}: at least one recording is needed; the list is empty")
    loaded = [loader.load_measured(each, argument, sample_rate) for each in given]
    names = tuple(name_of(each, argument) for each in given)
    return _Loaded(names, *(tuple(column) for column in zip(*loaded, strict=True)))


def compare_sides(one: Side, other: Side, question: Question) -> Decision:
    """The decision of `Embedder.verify` on two sides, with warnings about their recordings.

    A calibration does not apply to sounds without speech, so there is no decision on them, except
    by a given threshold.
    """
    score = PairScore.of(one.voice, other.voice, question.calibration)
    decision = decide(score, question, one.conditions, other.conditions)
    if decision.probability is not None and question.threshold is None:
        silent = [side.measured[0][0] for side in (one, other) if not side.holds_speech]
        if silent:
            decision = without_speech(decision, list(dict.fromkeys(silent)))
    return _with_risks(decision, one, other)


def _with_risks(decision: Decision, *sides: Side) -> Decision:
    measured = [side.measured for side in sides]
    narrow = decision.probability is not None and all(
        is_narrow(quality.bandwidth_hz) for side in measured for _, quality in side
    )
    risks = [risk for side in measured for risk in risk_warnings(side, narrow_allowed=narrow)]
    once = dict.fromkeys(risks)  # once, if a recording is compared with itself
    return replace(decision, warnings=(*decision.warnings, *once))
