"""Open-set identification: which enrolled speaker is in a recording, if any."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from timbral.calibration.argument_checks import check_prior
from timbral.calibration.calibration import NO_PROMISE, Calibration
from timbral.calibration.conditions import Conditions
from timbral.calibration.risk_warnings import is_narrow
from timbral.embeddings.vectors import unit_length
from timbral.errors import AudioError, ConfigError
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.evidence import CalibratedEvidence, CosineEvidence, evidence_of
from timbral.gallery.gallery_rates import GalleryRates
from timbral.gallery.identification import Candidate, Identification, without_speech
from timbral.gallery.posterior import posterior
from timbral.gallery.search_rates import SearchRates
from timbral.gallery.searched_recordings import SearchedRecording, read_recordings
from timbral.gallery.voice_search import Found, Voices
from timbral.io.types import Floats

if TYPE_CHECKING:
    from timbral.gallery.gallery import Gallery
    from timbral.inference.embedder import Embedder
    from timbral.inference.recordings import Recording

__all__ = ["Identifier"]


@dataclass(frozen=True)
class _Threshold:
    """The lowest llr at which a voice is named, for a promised rate."""

    llr: float
    reached: float
    """bound, with 95 % confidence, on the fraction of strangers' searches that reach it"""
    refusal: str = ""
    """why the bound does not hold for a recording; empty: it holds"""

    @property
    def bound(self) -> float | None:
        return None if self.refusal else self.reached


def _check(top: int, prior: float) -> None:
    check_prior(prior)
    if top < 1:
        raise ConfigError(f"top must be a number of candidates, 1 or more; got {top}")


class Identifier:
    """Searches recordings among the voices that a gallery has when the Identifier is created."""

    def __init__(
        self,
        gallery: Gallery,
        encoder: Embedder,
        *,
        top: int = 5,
        false_accept: float | None = None,
        prior: float = 0.5,
        calibration: Calibration | str | Path | None = None,
        strangers: str | Path | None = None,
    ) -> None:
        """Load the voices of a gallery.

        Args:
            gallery: enrolled voices
            encoder: the gallery's encoder
            top: number of candidates to return for each recording
            false_accept: highest fraction of speakers not enrolled who may get any name; None: a
                voice is named if its probability exceeds one half
            prior: prior probability that the speaker is enrolled, in (0, 1)
            calibration: a calibration of the encoder, or its file; None: the encoder's own
            strangers: an `embed` folder, from the same encoder, of speakers who are not enrolled;
                used with the gallery's own recordings to estimate the false accept rate

        Raises DataError if the encoder is not the gallery's, ConfigError for a `false_accept` that
        the data cannot support, with what would be needed.
        """
        _check(top, prior)
        gallery.encoder.check_same(EncoderIdentity.of(encoder), gallery.location)
        self.encoder = encoder
        self._evidence = evidence_of(encoder, calibration)
        self._again = {each.name for each in gallery.voices() if each.enroll_again}
        snapshot = gallery.snapshot()
        self._voices = Voices.of(snapshot, self._evidence, gallery.migration)
        self._rates = GalleryRates(gallery, self._voices, strangers)
        self._set(top, false_accept, prior)

    def with_settings(self, *, top: int, false_accept: float | None, prior: float) -> Identifier:
        """The same voices with other settings, without copying or searching them again.

        Arguments and errors as for an Identifier.
        """
        other = copy.copy(self)
        vars(other).pop("_threshold_of_short", None)
        other._set(top, false_accept, prior)
        return other

    def _set(self, top: int, false_accept: float | None, prior: float) -> None:
        _check(top, prior)
        self.prior, self._top = prior, top
        self._false_accept = false_accept if self._voices.count else None
        self._threshold = None if self._false_accept is None else self._promised(self._false_accept)

    @property
    def is_calibrated(self) -> bool:
        """Whether all voices have a calibration, so that there are probabilities."""
        return bool(self._voices.calibrations) or not self._voices.count

    @property
    def rates(self) -> SearchRates:
        """How often a stranger gets any name; computed at first use."""
        return self._rates.of_all

    @cached_property
    def _short_seconds(self) -> float:
        """Recordings with less net speech than this have separate rates; 0: none have."""
        return max((each.short_seconds for _, each in self._voices.calibrations), default=0.0)

    def _promised(self, false_accept: float) -> _Threshold:
        """The threshold for all recordings; ConfigError for a rate that cannot be promised."""
        llr = self.rates.threshold(false_accept)
        return _Threshold(llr, self.rates.bound(llr))

    @cached_property
    def _threshold_of_short(self) -> _Threshold:
        """The threshold for recordings with little speech; that for all if none is promised."""
        assert self._threshold is not None
        assert self._false_accept is not None
        try:
            rates = self._rates.of_less_speech(self._short_seconds)
            llr = rates.threshold(self._false_accept)
        except ConfigError:
            refusal = (
                f"a rate of {self._false_accept:g} cannot be promised for recordings with less "
                f"than {self._short_seconds:g} s of net speech; more of such are needed in the "
                "gallery or among the `strangers`"
            )
            return replace(self._threshold, refusal=refusal)
        return _Threshold(llr, rates.bound(llr))

    def _threshold_of(self, searched: Conditions) -> _Threshold | None:
        """The threshold for a recording; None if no rate was requested."""
        is_short = float(searched.speech_seconds[0]) < self._short_seconds
        if self._threshold is None:
            return None
        return self._threshold_of_short if is_short else self._threshold

    def identify(self, recording: Recording, sample_rate: float | None = None) -> Identification:
        """Search one recording; raises AudioError if it cannot be used."""
        (found,) = self.identify_many([recording], sample_rate)
        if isinstance(found, AudioError):
            raise found
        return found

    def identify_many(
        self,
        recordings: Sequence[object],
        sample_rate: float | None = None,
        names: Sequence[str] | None = None,
    ) -> Iterator[Identification | AudioError]:
        """Search recordings, read in threads and embedded together; yields results or errors.

        Args:
            recordings: in any form that an Embedder takes
            sample_rate: rate in Hz of samples without a rate
            names: names of the recordings; None: their paths, or ``recordings[ROW]``
        """
        for each in read_recordings(self.encoder, recordings, sample_rate, names):
            yield each if isinstance(each, AudioError) else self.identify_searched(each)

    def identify_searched(self, searched: SearchedRecording) -> Identification:
        """Search one recording that already has its vector and measures."""
        if not self._voices.count:
            return Identification(
                recording=searched.name,
                name=None,
                candidates=(),
                nobody=1.0,
                num_voices=0,
                prior=self.prior,
                threshold=None,
                false_accept_bound=None,
                warnings=searched.risks(),
                why="the gallery is empty",
            )
        found = self._voices.likeliest(unit_length(searched.vector[None]), searched.conditions)
        candidates, nobody = self._candidates(found)
        threshold = self._threshold_of(searched.conditions)
        likeliest = found.rows[0, 0]
        outside = self._range_warnings(likeliest, searched.conditions)
        if threshold is not None and outside and not threshold.refusal:
            threshold = replace(threshold, refusal=NO_PROMISE)
        is_named = _is_named(float(found.llrs[0, 0]), candidates[0].probability, threshold)
        identified = Identification(
            recording=searched.name,
            name=candidates[0].name if is_named else None,
            candidates=candidates,
            nobody=nobody,
            num_voices=self._voices.count,
            prior=self.prior,
            threshold=self._shown_threshold(threshold),
            false_accept_bound=None if threshold is None else threshold.bound,
            warnings=(
                *outside,
                *([] if threshold is None or not threshold.refusal else [threshold.refusal]),
                *searched.risks(self.is_calibrated and self._is_narrow(likeliest)),
            ),
            why=self._why(is_named, threshold),
        )
        return identified if searched.holds_speech else without_speech(identified)

    def _candidates(self, found: Found) -> tuple[tuple[Candidate, ...], float | None]:
        """The likeliest voices of one search, and the probability of nobody, if there is one."""
        rows, cosines, llrs = found.rows[0], found.cosines[0], found.llrs[0]
        probabilities: Floats | None = None
        nobody = None
        if self.is_calibrated:  # the data show no stronger evidence against a voice than the limit
            seen = np.maximum(llrs, min(each.limits[0] for _, each in self._voices.calibrations))
            probabilities, nobody = posterior(
                seen, self._voices.count, self.prior, self.rates.least
            )
        candidates = tuple(
            Candidate(
                name=self._voices.names[rows[rank]],
                score=float(cosines[rank]),
                llr=float(llrs[rank]) if self.is_calibrated else None,
                probability=None if probabilities is None else float(probabilities[rank]),
                enroll_again=self._voices.names[rows[rank]] in self._again,
            )
            for rank in range(min(self._top, len(rows)))
        )
        return candidates, nobody

    def _shown_threshold(self, threshold: _Threshold | None) -> float | None:
        if self.is_calibrated or threshold is None:
            return None if threshold is None else threshold.llr
        evidence = self._evidence
        return evidence.cosine(threshold.llr) if isinstance(evidence, CosineEvidence) else None

    def _range_warnings(self, row: int, searched: Conditions) -> Sequence[str]:
        if not isinstance(self._evidence, CalibratedEvidence):
            return ()
        enrolled = self._voices.conditions.rows([row])
        return self._evidence.calibration.warnings(enrolled, searched)

    def _is_narrow(self, row: int) -> bool:
        """Whether a voice consists of telephone recordings."""
        return is_narrow(float(self._voices.conditions.bandwidth_hz[row]))

    def _why(self, is_named: bool, threshold: _Threshold | None) -> str:
        count = self._voices.count
        voices = f"{count:,} {'voice' if count == 1 else 'voices'}"
        if threshold is not None:
            reaches = "reaches" if is_named else "is below"
            why = (
                f"the likeliest of {voices} {reaches} the threshold, which at most "
                f"{threshold.reached:.2g} of searches for speakers who are not enrolled reach"
            )
            like_those = ", if the recordings are like those it was measured on"
            return why + like_those if threshold.refusal else why
        if not self.is_calibrated:
            return (
                f"the nearest of {voices}; without a calibration of this encoder, it is unknown "
                "whether it is that voice: give `false_accept` or `calibration`"
            )
        passes = "passes" if is_named else "does not pass"
        return (
            f"the probability of the likeliest of {voices} {passes} one half, with a prior of "
            f"{self.prior:g} that the speaker is enrolled"
        )


def _is_named(llr: float, probability: float | None, threshold: _Threshold | None) -> bool:
    if threshold is not None:
        return llr >= threshold.llr
    return probability is not None and probability > 0.5
