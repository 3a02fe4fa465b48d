"""AISHELL-3: Mandarin, recorded for TTS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from timbral.data.corpora.corpus import Corpus
from timbral.data.corpora.folders import utterances_below
from timbral.data.manifest import Utterance
from timbral.errors import AudioError

__all__ = ["AISHELL3"]


def _scan_aishell3(root: Path) -> Iterator[Utterance | AudioError]:
    """AISHELL-3: ``train/wav/SPEAKER/*.wav`` and ``test/wav/SPEAKER/*.wav``, other speakers."""
    for subset in ("test/wav", "train/wav", "wav"):
        if (root / subset).is_dir():
            yield from utterances_below(root / subset, "aishell3", {".wav"})


AISHELL3 = Corpus(
    _scan_aishell3,
    ("train/wav/SPEAKER/UTTERANCE.wav", "test/wav/SPEAKER/UTTERANCE.wav"),
    folder="AISHELL-3",
    size="85 h, 218 speakers",
    license="Apache-2.0",
    page="https://www.openslr.org/93",
)
