"""aidatatang_200zh: Mandarin on phones."""

from __future__ import annotations

from timbral.data.corpora.corpus import Corpus
from timbral.data.corpora.folders import speaker_folders

__all__ = ["AIDATATANG"]

AIDATATANG = Corpus(
    speaker_folders("aidatatang_200zh", "train", suffixes={".wav"}),
    ("train/SPEAKER/UTTERANCE.wav",),
    folder="aidatatang_200zh",
    size="200 h, 600 speakers",
    license="CC BY-NC-ND 4.0",
    page="https://www.openslr.org/62",
    trim="webrtc",
)
