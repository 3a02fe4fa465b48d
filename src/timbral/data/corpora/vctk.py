"""VCTK: English in many accents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from timbral.data.corpora.corpus import Corpus
from timbral.data.corpora.corpus_files import absolute_path, audio_files
from timbral.data.corpora.speaker_details import Details, file_above, lines_of, with_details
from timbral.data.further_columns import Value
from timbral.data.manifest import Utterance
from timbral.errors import AudioError
from timbral.io.text import split_words

__all__ = ["VCTK"]


def _scan_vctk(root: Path) -> Iterator[Utterance | AudioError]:
    return with_details(_recordings(root), _speaker_info(root))


def _speaker_info(root: Path) -> Details:
    """``speaker-info.txt``: ID, age, gender, accent (one word each), a region; ``(comments)``."""
    details: dict[str, dict[str, Value]] = {}
    for line in lines_of(file_above(root, "speaker-info.txt")):
        words = split_words(line.partition("(")[0], maxsplit=4)
        if len(words) < 4 or not words[1].isdigit():  # the header
            continue
        speaker, age, gender, accent, *region = words
        known: dict[str, Value] = {"age": int(age), "gender": gender, "accent": accent}
        if region:
            known["region"] = " ".join(split_words(region[0]))
        details[speaker] = known
        details.setdefault(f"p{speaker}", known)  # 0.80 writes 225 for p225
    return details


def _recordings(root: Path) -> Iterator[Utterance | AudioError]:
    """VCTK: ``wav48_silence_trimmed/`` (0.92, first microphone), ``wav48/`` (0.80) or ``wav/``."""
    for name in ("wav48_silence_trimmed", "wav48", "wav"):
        if (root / name).is_dir():
            unreadable: list[AudioError] = []
            for path in audio_files(root / name, unreadable):
                stem = path.stem.removesuffix("_mic1")
                if path.parent.parent == root / name and not stem.endswith("_mic2"):
                    yield Utterance(stem, path.parent.name, "", absolute_path(path), "vctk")
            yield from unreadable
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
