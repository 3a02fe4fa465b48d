"""MAGICDATA: read Mandarin on phones."""

from __future__ import annotations

from timbral.data.corpora.corpus import Corpus
from timbral.data.corpora.folders import speaker_folders

__all__ = ["MAGICDATA"]

MAGICDATA = Corpus(
    speaker_folders("magicdata", "train", suffixes={".wav"}),
    ("train/SPEAKER/UTTERANCE.wav",),
    folder="magicdata",
    size="755 h, 1,080 speakers",
    license="CC BY-NC-ND 4.0",
    page="https://www.openslr.org/68",
    trim="webrtc",
)
