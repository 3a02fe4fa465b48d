"""The random streams of training, by name.

Every random number in training depends on the run's seed, a stream, and a position in that stream,
such as the step. Streams are independent, so a setting that draws more from one does not affect
another, and any step can be drawn without the previous ones.

The numbers are part of a run's identity: renumbering a stream changes every later run.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

__all__ = ["AugmentStream", "Stream", "random_generator", "random_seed"]


class Stream(IntEnum):
    """What is drawn; in parentheses the position in the stream."""

    SPEAKERS = 0
    """order of the speakers (pool, period)"""
    UTTERANCES = 1
    """order of a speaker's utterances (speaker, [session,] period)"""
    CROP_OFFSETS = 2
    """where crops begin, and at which speed (step)"""
    DROPOUT = 3
    """dropout, layer drop, masks inside encoders (batch, rank, micro-batch)"""
    CROP_LENGTHS = 4
    """length of a batch's crops (step)"""
    AUGMENTATION = 5
    """augmentation of waves and features (AugmentStream, step)"""


class AugmentStream(IntEnum):
    """Streams within `Stream.AUGMENTATION`, one for each kind of augmentation."""

    MUSIC = 0
    NOISE = 1
    BABBLE = 2
    RIR = 3
    GAIN = 4
    BANDPASS = 5
    SPEC_AUGMENT = 6
    TELEPHONE = 7


def random_generator(seed: int, stream: Stream, *position: int) -> np.random.Generator:
    """NumPy's generator at a position of a stream."""
    return np.random.default_rng([seed, stream, *position])


def random_seed(seed: int, stream: Stream, *position: int) -> int:
    """A seed (64 bits) for torch's generators at a position of a stream."""
    sequence = np.random.SeedSequence([seed, stream, *position])
    return int(sequence.generate_state(1, np.uint64)[0])
