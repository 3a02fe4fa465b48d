"""Batches of random crops of precomputed mels."""

from __future__ import annotations

import numpy as np
import torch

from timbral.data.augment.augment_config import AugmentConfig
from timbral.data.augment.plan import Augmenter
from timbral.data.batches.batch import MelBatch
from timbral.data.batches.data_config import DataConfig
from timbral.data.batches.sampler import SpeakerSampler, number_speakers
from timbral.data.batches.source import BatchSource
from timbral.data.prepared.mels import PrecomputedMels
from timbral.data.random_streams import Stream, random_generator
from timbral.encoders.mel_config import GE2E_MEL
from timbral.errors import ConfigError
from timbral.io.types import Ints

__all__ = ["MelCrops"]


class MelCrops(BatchSource[MelBatch]):
    """Random crops of `rows` of precomputed mels, in batches of S speakers × U utterances.

    As with `WaveCrops`, a batch depends only on (seed, step). Raises ConfigError for an augmenter
    that would change anything.
    """

    def __init__(
        self,
        mels: PrecomputedMels,
        rows: Ints,
        config: DataConfig,
        seed: int,
        augmenter: Augmenter | None = None,
    ) -> None:
        if augmenter and augmenter.config != AugmentConfig():
            raise ConfigError(
                "precomputed mels contain no waves to augment; prepare the recordings as a store "
                "(format arrow), or remove the config's augment section"
            )
        self._mels = mels
        self._rows = rows
        self._config = config
        self._seed = seed
        speakers = number_speakers(mels, rows, config)
        self._sampler = SpeakerSampler.of_data(mels, rows, speakers, config, seed)

    @property
    def num_speakers(self) -> int:
        return self._sampler.num_speakers

    def batch(self, step: int, rows: slice = slice(None)) -> MelBatch:
        speakers, drawn = self._sampler.batch(step)  # (S,), (S, U)
        frames = self._config.crop_samples(self._seed, step) // GE2E_MEL.hop_samples
        utterances = self._rows[drawn.ravel()]  # (B,)
        offsets = random_generator(self._seed, Stream.CROP_OFFSETS, step).random(len(utterances))
        own = utterances[rows]
        mels = np.empty((len(own), frames, GE2E_MEL.n_mels), dtype=np.float32)
        for mel, utterance, offset in zip(mels, own.tolist(), offsets[rows], strict=True):
            start = int(offset * max(1, int(self._mels.frames[utterance]) - frames + 1))
            crop = self._mels.mel(utterance, start, frames)
            mel[:] = np.resize(crop, mel.shape)  # a short one is repeated
        return MelBatch(
            mels=torch.from_numpy(mels),
            frame_lengths=torch.full((len(own),), frames),
            speakers=torch.from_numpy(np.repeat(speakers, drawn.shape[1])[rows]),
            rows=torch.from_numpy(own),
        )
