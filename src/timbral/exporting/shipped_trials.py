"""How a lower precision changes decisions: EERs in both, on trials of the shipped voices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timbral.audio.decode import Wave
from timbral.inference.shipped_voices import VOICES
from timbral.io.types import Vectors
from timbral.scoring.metrics import eer

__all__ = ["ShippedTrials", "trial_recordings"]

EVERY = 4
"""step through a voice's twelve recordings: three of them are compared"""
SECONDS = 2.0
"""length of each, from its start; whole recordings would give no errors at all"""
AT_ONCE = 8


@dataclass(frozen=True)
class ShippedTrials:
    """Short recordings of voices; every pair of one gender is a trial.

    Attributes:
        waves: (T,) each, preprocessed
        voices: the voice of each wave; the second letter of its name is the gender
    """

    waves: Sequence[Wave]
    voices: Sequence[str]

    @classmethod
    def of(cls, load: Callable[[Path], Wave], sample_rate: int, min_samples: int) -> ShippedTrials:
        """The shipped voices, read by `load` and cut to 2 s or to the minimum of an encoder.

        Recordings that are shorter than that are left out.
        """
        length = max(int(SECONDS * sample_rate), min_samples)
        loaded = [(path.parent.name, load(path)[:length]) for path in trial_recordings()]
        long = [(voice, wave) for voice, wave in loaded if len(wave) >= min_samples]
        return cls([wave for _, wave in long], [voice for voice, _ in long])

    @property
    def labels(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The trials: whether both are of one voice, and the rows of both (N,)."""
        one, other = np.triu_indices(len(self.voices), 1)
        voices = np.array(self.voices)
        genders = np.array([voice[1] for voice in self.voices])
        chosen = genders[one] == genders[other]
        one, other = one[chosen], other[chosen]
        return (voices[one] == voices[other]).astype(np.int8), one, other

    def eer(self, embed: Callable[[Sequence[Wave]], Vectors]) -> float:
        """The equal error rate in [0, 1] with the vectors (N, E) that `embed` computes."""
        blocks = range(0, len(self.waves), AT_ONCE)
        vectors = np.concatenate([embed(self.waves[first : first + AT_ONCE]) for first in blocks])
        labels, one, other = self.labels
        return eer((vectors[one] * vectors[other]).sum(axis=1), labels)[0]


def trial_recordings() -> list[Path]:
    """Three recordings of each shipped voice."""
    voices = sorted(path for path in VOICES.iterdir() if path.is_dir())
    return [path for voice in voices for path in sorted(voice.glob("*.ogg"))[::EVERY]]
