"""Streaming verification with a sequential test.

Wald's test (Sequential tests of statistical hypotheses, Annals of Mathematical Statistics 1945)
stops when the likelihood ratio of all speech so far leaves an interval. Whenever it stops, a true
likelihood ratio reaches 1 / α for different speakers in at most a fraction α of the cases (Ville's
inequality), so frequent tests do not raise the error rate, as they would with a fixed threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from timbral.audio.decode import as_float32
from timbral.calibration.calibration import Calibration
from timbral.calibration.conditions import Conditions
from timbral.errors import AudioError, ConfigError, InputError
from timbral.io.masked_arrays import refuse_masked
from timbral.io.types import Vectors

__all__ = ["Enrolled", "StoppingBounds", "StreamState", "StreamingVerifier"]

FIRST_LOOK = 1.0
"""seconds of net speech before anything is decided"""
LOOK_FACTOR = 1.25
"""factor of net speech until the next look, so that all looks cost a few times the last one"""

Verdict: TypeAlias = Literal["same", "different", "undecided"]
Measure: TypeAlias = Callable[[Vectors, str, float], tuple[Vectors, Conditions] | None]
"""from samples, their name in errors and rate in Hz to a vector (E,) and conditions; None without
speech"""
NOTHING_YET = ("empty", "silent", "too-short", "trimmed-away")
"""kinds of errors that may vanish with more samples"""
NO_SPEECH = "no speech was found so far; noise, music and tones identify nobody"


@dataclass(frozen=True)
class StoppingBounds:
    """The log-likelihood ratios at which the promised rates are reached."""

    calibration: Calibration
    accept_llr: float
    reject_llr: float

    @classmethod
    def of(
        cls,
        calibration: Calibration | None,
        false_accept: float,
        false_reject: float,
        enrolled_seconds: float = math.inf,
    ) -> Self:
        """Wald's bounds, or those of the calibration's data if these are stricter.

        `enrolled_seconds` is the net speech of the enrolled side; if there is little, the bounds
        are those for such trials. Raises ConfigError for rates that the calibration cannot promise,
        or without a calibration.
        """
        if calibration is None:
            raise ConfigError(
                "error rates can only be promised with a calibration, which this encoder does "
                "not have; `timbral calibrate` makes one"
            )
        rates = false_accept, false_reject
        accepts, rejects = calibration.thresholds(*rates, speech_seconds=enrolled_seconds)
        accept = max(accepts.llr, -math.log(false_accept))
        reject = min(rejects.llr, math.log(false_reject))
        low, high = calibration.limits
        if accept > high or reject < low:
            raise ConfigError(
                f"false_accept {false_accept:g} and false_reject {false_reject:g} need an llr of "
                f"{accept:.1f} and {reject:.1f}, but the data of the calibration support only "
                f"{high:.1f} and {low:.1f}; allow more errors"
            )
        return cls(calibration, accept, reject)


@dataclass(frozen=True)
class Enrolled:
    """The enrolled speaker."""

    vector: Vectors
    """(E,)"""
    conditions: Conditions
    bounds: StoppingBounds


@dataclass(frozen=True)
class StreamState:
    """The result after a given amount of speech."""

    verdict: Verdict = "undecided"
    """``undecided`` until the promised rates of errors are reached"""
    llr: float | None = None
    """natural logarithm of the likelihood ratio at the last look; None before the first"""
    speech_seconds: float = 0.0
    """net speech at the last look"""
    seconds: float = 0.0
    """seconds of all samples so far"""
    warnings: tuple[str, ...] = ()
    """conditions of both sides outside of the calibration's ranges at the last look, where its
    rates are not guaranteed"""


class StreamingVerifier:
    """Compares a stream of samples with an enrolled speaker; created by `Embedder.verifier`.

    The first test is at 1 s of net speech, or at the amount from which the calibration makes its
    general promises; further tests follow after every quarter more. Each test encodes all speech so
    far. A verdict does not change afterward.

    Attributes:
        sample_rate: rate of the stream in Hz
        state: the result so far
    """

    def __init__(self, measure: Measure, enrolled: Enrolled, sample_rate: int) -> None:
        self._measure = measure
        self._enrolled = enrolled
        self._chunks: list[Vectors] = []
        self._seconds_at_look = 0.0
        self._least_seconds = 0.0
        calibration = enrolled.bounds.calibration
        least, _ = calibration.ranges.speech_seconds
        self._next_look = max(FIRST_LOOK, least, calibration.short_seconds)
        self.sample_rate = sample_rate
        self.state = StreamState()

    def add(self, samples: ArrayLike) -> StreamState:
        """Add samples (T,) at `sample_rate`, and return the result so far.

        Floats must be in [-1, 1]; integers are PCM: int8, int16 or int32. Raises InputError for
        other shapes and masked samples, AudioError for other types, NaN, and floats out of range.
        """
        refuse_masked(samples, "samples")
        chunk = np.asarray(samples)
        if chunk.ndim != 1 or (self._chunks and chunk.dtype != self._chunks[0].dtype):
            raise InputError(
                "samples: one channel of shape (T,), of the same type in all chunks, is needed; "
                f"got {chunk.dtype} of shape {chunk.shape}"
            )
        as_float32(chunk[:1], "samples")  # raises an error if the full scale is unknown
        if not np.isfinite(chunk).all():
            raise AudioError("samples", "they contain NaN or infinite values", "not-finite")
        seconds = self.state.seconds + len(chunk) / self.sample_rate
        self.state = replace(self.state, seconds=seconds)
        if self.state.verdict == "undecided":
            self._chunks.append(chunk)
            most_speech = self.state.speech_seconds + seconds - self._seconds_at_look
            if most_speech >= self._next_look and seconds >= self._least_seconds:
                self._look()
        return self.state

    def _look(self) -> None:
        """Encode all samples so far, and decide if the evidence is sufficient."""
        self._seconds_at_look = self.state.seconds
        try:
            measured = self._measure(np.concatenate(self._chunks), "samples", self.sample_rate)
        except AudioError as error:
            if error.kind not in NOTHING_YET:
                raise
            return
        if measured is None:
            self._least_seconds = self.state.seconds * LOOK_FACTOR
            self.state = replace(self.state, warnings=(NO_SPEECH,))
            return
        vector, conditions = measured
        speech = float(conditions.speech_seconds[0])
        self.state = replace(self.state, speech_seconds=speech)
        if speech < self._next_look:
            self.state = replace(self.state, warnings=())
            return
        self._next_look = speech * LOOK_FACTOR
        bounds, enrolled = self._enrolled.bounds, self._enrolled
        score = bounds.calibration.scores(enrolled.vector, vector)
        llr = float(bounds.calibration.unlimited_llr(score, enrolled.conditions, conditions)[0])
        verdict: Verdict = "undecided"
        if llr >= bounds.accept_llr or llr <= bounds.reject_llr:
            verdict = "same" if llr > 0 else "different"
            self._chunks.clear()
        shown = min(max(llr, bounds.calibration.limits[0]), bounds.calibration.limits[1])
        outside = tuple(bounds.calibration.warnings(enrolled.conditions, conditions))
        self.state = replace(self.state, llr=shown, verdict=verdict, warnings=outside)
