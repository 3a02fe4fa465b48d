"""Corpora on disk: where their utterances lie, who speaks, which session.

A corpus is one scan function and one line in `CORPORA`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from timbral.audio import AUDIO_SUFFIXES
from timbral.data.manifest import Utterance, check_unique
from timbral.errors import DataError, did_you_mean

__all__ = ["CORPORA", "Corpus", "audio_files", "scan_corpus", "scan_folder", "scan_kaldi"]


@dataclass(frozen=True)
class Corpus:
    """A layout: how to scan it and how it looks."""

    scan: Callable[[Path], Iterator[Utterance]]
    expected: str
    """the tree below the folder that is given"""


def audio_files(root: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Every audio file below `root`, in sorted order; hidden ones not.

    Links are followed, except those that lead back to a folder that they lie in. Raises
    DataError for a folder that cannot be read, rather than pass it over.
    """
    real = os.path.realpath(root)
    if real in above:
        return
    try:
        with os.scandir(root) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{root}: the folder cannot be read ({error.strerror}); make it readable, or move it "
            "out of the corpus"
        ) from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from audio_files(Path(entry.path), (*above, real))
        elif Path(entry.name).suffix.lower() in AUDIO_SUFFIXES:
            yield Path(entry.path)


def scan_folder(root: Path, corpus: str = "folder") -> Iterator[Utterance]:
    """Layout ``speaker/**/utterance.*``: folders in between are the session."""
    for path in audio_files(root):
        parts = path.relative_to(root).parts
        if len(parts) >= 2:
            name = path.relative_to(root).with_suffix("").as_posix()
            yield Utterance(name, parts[0], "/".join(parts[1:-1]), _absolute(path), corpus)


def scan_tree(root: Path) -> Iterator[Utterance]:
    """Any tree: every recording, at any depth; the folder that it lies in is its speaker."""
    for path in audio_files(root):
        place = path.relative_to(root)
        speaker = place.parent.as_posix() if len(place.parts) > 1 else root.name
        yield Utterance(place.with_suffix("").as_posix(), speaker, "", _absolute(path), "tree")


def _absolute(path: Path) -> str:
    return Path(os.path.abspath(path)).as_posix()


def scan_chapters(corpus: str) -> Callable[[Path], Iterator[Utterance]]:
    """LibriSpeech's and LibriTTS's layout ``[subset/]speaker/chapter/utterance``."""

    def scan(root: Path) -> Iterator[Utterance]:
        for path in audio_files(root):
            speaker, _, chapter_utterance = path.stem.replace("-", "_").partition("_")
            chapter = chapter_utterance.partition("_")[0]
            if path.parts[-3:-1] == (speaker, chapter):
                yield Utterance(path.stem, speaker, chapter, _absolute(path), corpus)

    return scan


def scan_vctk(root: Path) -> Iterator[Utterance]:
    """VCTK: ``wav/``, ``wav48/`` (0.80) or ``wav48_silence_trimmed/`` (0.92, first microphone)."""
    for name in ("wav48_silence_trimmed", "wav48", "wav"):
        if (root / name).is_dir():
            for path in audio_files(root / name):
                stem = path.stem.removesuffix("_mic1")
                if path.parent.parent == root / name and not stem.endswith("_mic2"):
                    yield Utterance(stem, path.parent.name, "", _absolute(path), "vctk")
            return


def scan_kaldi(root: Path) -> Iterator[Utterance]:
    """A Kaldi data directory: ``wav.scp`` and ``utt2spk``, relative paths from the folder itself.

    An entry that is a command (a pipe) is refused: timbral runs nothing that a list names.
    """
    paths, speakers = _read_pairs(root / "wav.scp"), _read_pairs(root / "utt2spk")
    if (root / "segments").exists():
        raise DataError(f"{root}/segments: segments of longer recordings are not supported")
    for utterance, location in paths.items():
        if location.endswith("|") or location.startswith("|"):
            raise DataError(
                f"{root}/wav.scp: {utterance} is a command ({location!r}), and timbral runs no "
                "commands from lists; write the audio to files and name those"
            )
        if utterance not in speakers:
            raise DataError(f"{root}/utt2spk: has no speaker for {utterance!r} of wav.scp")
        beside = root / location
        path = beside if beside.exists() or not Path(location).exists() else Path(location)
        yield Utterance(utterance, speakers[utterance], "", _absolute(path), "kaldi")


def _read_pairs(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); a Kaldi data directory has wav.scp and utt2spk"
        ) from None
    pairs = [line.strip().split(maxsplit=1) for line in lines if line.strip()]
    for number, pair in enumerate(pairs, start=1):
        if len(pair) != 2:
            raise DataError(f"{path}: entry {number} should be two words, got {' '.join(pair)!r}")
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise DataError(f"{path}: {twice!r} stands there more than once; keep one of its lines")
    return found


CORPORA: dict[str, Corpus] = {
    "folder": Corpus(scan_folder, "SPEAKER/[SESSION/]UTTERANCE.wav"),
    "kaldi": Corpus(scan_kaldi, "wav.scp and utt2spk"),
    "librispeech": Corpus(
        scan_chapters("librispeech"), "[SUBSET/]SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac"
    ),
    "libritts": Corpus(
        scan_chapters("libritts"), "[SUBSET/]SPEAKER/CHAPTER/SPEAKER_CHAPTER_PARAGRAPH_SENTENCE.wav"
    ),
    "tree": Corpus(scan_tree, "recordings at any depth"),
    "vctk": Corpus(scan_vctk, "wav|wav48|wav48_silence_trimmed/SPEAKER/SPEAKER_NUMBER.wav"),
}


def scan_corpus(layout: str, root: Path) -> list[Utterance]:
    """Every utterance of a corpus, sorted by speaker and utterance.

    Raises DataError when the layout is unknown, the folder is missing or no audio lies in it.
    """
    if layout not in CORPORA:
        raise DataError(f"unknown layout {layout!r}{did_you_mean(layout, CORPORA)}")
    corpus = CORPORA[layout]
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "no such folder"
        raise DataError(f"{root}: {what}; layout {layout} expects {corpus.expected} below it")
    rows = list(corpus.scan(root))
    if not rows:
        raise DataError(
            f"{root}: no audio found in layout {layout}, which expects {corpus.expected} below "
            f"the folder; found: {_glimpse(root)}"
        )
    return check_unique(rows, root)


def _glimpse(root: Path) -> str:
    names = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return (", ".join(names[:6]) or "nothing") + more
