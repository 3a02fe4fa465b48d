"""AISHELL-3: Mandarin, recorded for TTS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from timbral.data.corpora.corpus import Corpus
from timbral.data.corpora.folders import utterances_below
from timbral.data.corpora.speaker_details import Details, file_above, lines_of, with_details
from timbral.data.manifest import Utterance
from timbral.errors import AudioError

__all__ = ["AISHELL3"]


def _scan_aishell3(root: Path) -> Iterator[Utterance | AudioError]:
    """AISHELL-3: ``train/wav/SPEAKER/*.wav`` and ``test/wav/SPEAKER/*.wav``, other speakers."""
    details = _speaker_info(root)
    for subset in ("test/wav", "train/wav", "wav"):
        if (root / subset).is_dir():
            yield from with_details(utterances_below(root / subset, "aishell3", {".wav"}), details)


def _speaker_info(root: Path) -> Details:
    """``spk-info.txt``: speaker, age group (A to D), gender, accent, after lines with ``#``."""
    fields = [line.split("\t") for line in lines_of(file_above(root, "spk-info.txt"))]
    return {
        words[0]: {"age_group": words[1], "gender": words[2], "accent": words[3]}
        for words in fields
        if len(words) == 4 and not words[0].startswith("#")
    }


AISHELL3 = Corpus(
    _scan_aishell3,
    ("train/wav/SPEAKER/UTTERANCE.wav", "test/wav/SPEAKER/UTTERANCE.wav"),
    folder="AISHELL-3",
    size="85 h, 218 speakers",
    license="Apache-2.0",
    page="https://www.openslr.org/93",
)
