"""Settings of batches."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from timbral.audio.decode import SAMPLE_RATE
from timbral.data.random_streams import Stream, random_generator
from timbral.errors import ConfigError, check_choice, check_ranges

__all__ = ["DataConfig"]

NUM_CROP_LENGTHS = 5
"""number of lengths in a range of crops; each needs its own memory and FFT plans"""


@dataclass(frozen=True)
class DataConfig:
    """The size of a batch: S speakers × U utterances × crop."""

    speakers_per_batch: int = 64
    utterances_per_speaker: int = 10
    crop_seconds: float = 1.6
    """length of the random crop of each utterance; shorter utterances are repeated to fill it"""
    max_crop_seconds: float | None = None
    """each batch draws its length from five between `crop_seconds` and this"""
    recordings_as_speakers: bool = False
    """count every recording as a speaker of its own, whatever its label: for audio without labels,
    and losses that need none"""
    teacher_input: str = "recordings"
    """recordings: a teacher's vectors are of whole recordings, computed once | crops: of the crops
    that the student gets, before their augmentation, computed in each step"""
    sessions: str = "any"
    """any: a speaker's utterances, whatever their session | distinct: from as many sessions as
    possible"""
    corpus_weights: dict[str, float] = field(default_factory=dict)
    """corpus: its fraction of a batch's speakers, up to a common factor; without weights all
    speakers are drawn equally often"""
    one_corpus_per_batch: bool = False
    """every batch is of one corpus; `corpus_weights` then weigh the batches"""

    def __post_init__(self) -> None:
        # 2 or more: GE2E and its kin compare utterances of one speaker and of different ones
        check_ranges(
            self,
            "data",
            speakers_per_batch=(2, math.inf),
            utterances_per_speaker=(2, math.inf),
            crop_seconds=(0.2, 60.0),
            max_crop_seconds=(self.crop_seconds, 60.0),
        )
        check_choice("data.sessions", self.sessions, ("any", "distinct"))
        check_choice("data.teacher_input", self.teacher_input, ("recordings", "crops"))
        weights = self.corpus_weights.values()
        if weights and not (min(weights) >= 0 and sum(weights) > 0):
            raise ConfigError(
                f"data.corpus_weights must not be negative, and not all zero: {self.corpus_weights}"
            )

    def crop_samples(self, seed: int, step: int) -> int:
        """Length of a step's crops, in samples."""
        shortest, longest = self.crop_seconds, self.max_crop_seconds or self.crop_seconds
        choice = int(random_generator(seed, Stream.CROP_LENGTHS, step).integers(NUM_CROP_LENGTHS))
        seconds = shortest + (longest - shortest) * choice / (NUM_CROP_LENGTHS - 1)
        return round(seconds * SAMPLE_RATE)
