"""LibriSpeech and LibriTTS, read by chapters."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from timbral.data.corpora.corpus import Corpus, Scan
from timbral.data.corpora.corpus_files import absolute_path, audio_files
from timbral.data.corpora.folders import speaker_folders
from timbral.data.corpora.speaker_details import Details, file_above, lines_of, with_details
from timbral.data.manifest import Utterance
from timbral.errors import AudioError

__all__ = ["LIBRISPEECH", "LIBRISPEECH_OTHER", "LIBRITTS"]

NO_CHAPTER = "is not in SPEAKER/CHAPTER/, with a name that begins with these two"


def _scan_chapters(corpus: str) -> Scan:
    """LibriSpeech's and LibriTTS's layout ``[SUBSET/]SPEAKER/CHAPTER/UTTERANCE``.

    A recording whose name does not begin with these two is a failure.
    """

    def scan(root: Path) -> Iterator[Utterance | AudioError]:
        return with_details(by_chapter(root), _genders(root))

    def by_chapter(root: Path) -> Iterator[Utterance | AudioError]:
        unreadable: list[AudioError] = []
        top = Path(os.path.abspath(root))  # it may be a speaker's folder
        for path in audio_files(top, unreadable):
            speaker, _, chapter_utterance = path.stem.replace("-", "_").partition("_")
            chapter = chapter_utterance.partition("_")[0]
            if path.parts[-3:-1] == (speaker, chapter):
                yield Utterance(path.stem, speaker, chapter, absolute_path(path), corpus)
            else:
                yield AudioError(absolute_path(path), NO_CHAPTER, "no-speaker")
        yield from unreadable

    return scan


def _genders(root: Path) -> Details:
    """LibriSpeech's ``SPEAKERS.TXT`` (``14 | F | train-clean-360 | …``) and LibriTTS's
    ``speakers.tsv`` (``14<tab>F<tab>…``): M or F."""
    lines = lines_of(file_above(root, "SPEAKERS.TXT") or file_above(root, "SPEAKERS.txt"))
    fields = [line.split("|") for line in lines if not line.startswith(";")]
    fields += [line.split("\t") for line in lines_of(file_above(root, "speakers.tsv"))]
    pairs = [(words[0].strip(), words[1].strip()) for words in fields if len(words) > 2]
    return {speaker: {"gender": gender} for speaker, gender in pairs if gender in ("M", "F")}


def _scan_other(root: Path) -> Iterator[Utterance | AudioError]:
    scan = speaker_folders("librispeech_other", "train-other-500", suffixes={".flac"})
    return with_details(scan(root), _genders(root))


LIBRISPEECH = Corpus(
    _scan_chapters("librispeech"),
    ("[SUBSET/]SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac",),
    folder="LibriSpeech",
    size="1,000 h, 2,484 speakers",
    license="CC BY 4.0",
    page="https://www.openslr.org/12",
)
LIBRISPEECH_OTHER = Corpus(
    _scan_other,
    ("train-other-500/SPEAKER/CHAPTER/UTTERANCE.flac",),
    folder="LibriSpeech",
    size="497 h, 1,166 speakers",
    license="CC BY 4.0",
    page="https://www.openslr.org/12",
    trim="webrtc",
)
LIBRITTS = Corpus(
    _scan_chapters("libritts"),
    ("[SUBSET/]SPEAKER/CHAPTER/SPEAKER_CHAPTER_PARAGRAPH_SENTENCE.wav",),
    folder="LibriTTS",
    size="585 h, 2,456 speakers",
    license="CC BY 4.0",
    page="https://www.openslr.org/60",
)
