"""VCTK: English in many accents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from timbral.data.corpora.corpus import Corpus
from timbral.data.corpora.corpus_files import absolute_path, audio_files
from timbral.data.manifest import Utterance

__all__ = ["VCTK"]


def _scan_vctk(root: Path) -> Iterator[Utterance]:
    """VCTK: ``wav48_silence_trimmed/`` (0.92, first microphone), ``wav48/`` (0.80) or ``wav/``."""
    for name in ("wav48_silence_trimmed", "wav48", "wav"):
        if (root / name).is_dir():
            for path in audio_files(root / name):
                stem = path.stem.removesuffix("_mic1")
                if path.parent.parent == root / name and not stem.endswith("_mic2"):
                    yield Utterance(stem, path.parent.name, "", absolute_path(path), "vctk")
            return


VCTK = Corpus(
    _scan_vctk,
    (
        "wav48_silence_trimmed/SPEAKER/SPEAKER_NUMBER_mic1.flac",
        "or wav48/SPEAKER/SPEAKER_NUMBER.wav",
        "or wav/SPEAKER/SPEAKER_NUMBER.wav",
    ),
    folder="VCTK",
    size="44 h, 110 speakers",
    license="CC BY 4.0 (0.92), ODC-By 1.0 (0.80)",
    page="https://datashare.ed.ac.uk/handle/10283/3443",
)
