"""The corpora that timbral knows: one entry of `CORPORA` each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from timbral.data.corpora.scans import (
    Scan,
    scan_aishell3,
    scan_chapters,
    scan_cnceleb,
    scan_commonvoice,
    scan_folder,
    scan_speakers,
    scan_tree,
    scan_vctk,
    scan_voxceleb1,
)
from timbral.data.lists.kaldi import scan_kaldi
from timbral.data.lists.lhotse import scan_lhotse
from timbral.data.manifest import Manifest, Utterance, check_unique
from timbral.errors import DataError, did_you_mean

__all__ = ["CORPORA", "Corpus", "scan_corpus", "scan_datasets"]

OUTLINE_ENTRIES, OUTLINE_DEPTH = 6, 4
"""of a folder in an error message"""


@dataclass(frozen=True)
class Corpus:
    """A layout: how to scan it, how it looks, and where it comes from."""

    scan: Scan
    expected: tuple[str, ...]
    """files below the corpus's folder, as patterns"""
    folder: str = ""
    """its folder below the root of several corpora (`scan_datasets`); empty: it is none of them"""
    size: str = ""
    license: str = ""
    page: str = ""
    trim: str = "none"
    """how silence is usually cut: PaddleSpeech's five corpora with webrtc"""


CORPORA: dict[str, Corpus] = {
    "folder": Corpus(scan_folder, ("SPEAKER/[SESSION/]UTTERANCE.wav",)),
    "tree": Corpus(scan_tree, ("recordings at any depth",)),
    "kaldi": Corpus(scan_kaldi, ("wav.scp", "utt2spk")),
    "lhotse": Corpus(scan_lhotse, ("recordings.jsonl[.gz]", "supervisions.jsonl[.gz]")),
    "librispeech_other": Corpus(
        scan_speakers("librispeech_other", "train-other-500", suffixes={".flac"}),
        ("train-other-500/SPEAKER/CHAPTER/UTTERANCE.flac",),
        folder="LibriSpeech",
        size="497 h, 1,166 speakers",
        license="CC BY 4.0",
        page="https://www.openslr.org/12",
        trim="webrtc",
    ),
    "voxceleb1": Corpus(
        scan_voxceleb1,
        ("vox1_meta.csv", "wav/SPEAKER/VIDEO/UTTERANCE.wav"),
        folder="VoxCeleb1",
        size="352 h, 1,251 speakers; of these the development set's English-speaking nations",
        license="CC BY 4.0, the recordings' own rights aside",
        page="https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html",
        trim="webrtc",
    ),
    "voxceleb2": Corpus(
        scan_speakers("voxceleb2", "wav", "dev/aac", suffixes={".wav", ".m4a"}),
        ("wav/SPEAKER/VIDEO/UTTERANCE.wav", "or dev/aac/SPEAKER/VIDEO/UTTERANCE.m4a"),
        folder="VoxCeleb2",
        size="2,442 h, 6,112 speakers",
        license="CC BY 4.0, the recordings' own rights aside",
        page="https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox2.html",
        trim="webrtc",
    ),
    "aidatatang_200zh": Corpus(
        scan_speakers("aidatatang_200zh", "train", suffixes={".wav"}),
        ("train/SPEAKER/UTTERANCE.wav",),
        folder="aidatatang_200zh",
        size="200 h, 600 speakers",
        license="CC BY-NC-ND 4.0",
        page="https://www.openslr.org/62",
        trim="webrtc",
    ),
    "magicdata": Corpus(
        scan_speakers("magicdata", "train", suffixes={".wav"}),
        ("train/SPEAKER/UTTERANCE.wav",),
        folder="magicdata",
        size="755 h, 1,080 speakers",
        license="CC BY-NC-ND 4.0",
        page="https://www.openslr.org/68",
        trim="webrtc",
    ),
    "librispeech": Corpus(
        scan_chapters("librispeech"),
        ("[SUBSET/]SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac",),
        folder="LibriSpeech",
        size="1,000 h, 2,484 speakers",
        license="CC BY 4.0",
        page="https://www.openslr.org/12",
    ),
    "libritts": Corpus(
        scan_chapters("libritts"),
        ("[SUBSET/]SPEAKER/CHAPTER/SPEAKER_CHAPTER_PARAGRAPH_SENTENCE.wav",),
        folder="LibriTTS",
        size="585 h, 2,456 speakers",
        license="CC BY 4.0",
        page="https://www.openslr.org/60",
    ),
    "vctk": Corpus(
        scan_vctk,
        (
            "wav48_silence_trimmed/SPEAKER/SPEAKER_NUMBER_mic1.flac",
            "or wav48/SPEAKER/SPEAKER_NUMBER.wav",
            "or wav/SPEAKER/SPEAKER_NUMBER.wav",
        ),
        folder="VCTK",
        size="44 h, 110 speakers",
        license="CC BY 4.0 (0.92), ODC-By 1.0 (0.80)",
        page="https://datashare.ed.ac.uk/handle/10283/3443",
    ),
    "aishell3": Corpus(
        scan_aishell3,
        ("train/wav/SPEAKER/UTTERANCE.wav", "test/wav/SPEAKER/UTTERANCE.wav"),
        folder="AISHELL-3",
        size="85 h, 218 speakers",
        license="Apache-2.0",
        page="https://www.openslr.org/93",
    ),
    "cnceleb1": Corpus(
        scan_cnceleb("cnceleb1"),
        ("dev/dev.lst", "data/SPEAKER/GENRE-SESSION-NUMBER.flac"),
        folder="CN-Celeb_flac",
        size="274 h, 1,000 speakers; of these the 800 of the development set",
        license="CC BY-SA 4.0",
        page="https://www.openslr.org/82",
    ),
    "cnceleb2": Corpus(
        scan_cnceleb("cnceleb2"),
        ("data/SPEAKER/GENRE-SESSION-NUMBER.flac",),
        folder="CN-Celeb2_flac",
        size="1,090 h, 2,000 speakers",
        license="CC BY-SA 4.0",
        page="https://www.openslr.org/82",
    ),
    "commonvoice": Corpus(
        scan_commonvoice,
        (
            "[RELEASE/][LANGUAGE/]validated.tsv",
            "[RELEASE/][LANGUAGE/]clips/UTTERANCE.mp3 beside it",
        ),
        folder="CommonVoice",
        size="by language and release",
        license="CC0-1.0",
        page="https://commonvoice.mozilla.org/datasets",
    ),
}


def scan_corpus(layout: str, root: str | Path) -> Manifest:
    """Every utterance of a corpus, sorted by speaker and utterance.

    Raises DataError when the layout is unknown, the folder is missing or no audio lies in it.
    """
    if layout not in CORPORA:
        raise DataError(f"unknown layout {layout!r}{did_you_mean(layout, CORPORA)}")
    return check_unique(_scan(layout, Path(root)), root)


def scan_datasets(root: str | Path, names: Sequence[str]) -> Manifest:
    """Every utterance of the corpora of these names, each in its folder below `root`.

    ``NAME/SUBSET`` takes only a subset: ``librispeech/train-clean-100``. Ids are PaddleSpeech's:
    a speaker is the path of its folder below `root`, an utterance the path below that, with ``_``
    for ``/``. Raises DataError as `scan_corpus` does.
    """
    root = Path(os.path.abspath(root))
    known = [name for name, corpus in CORPORA.items() if corpus.folder]
    utterances: list[Manifest] = []
    for name in names:
        corpus, _, subset = name.partition("/")
        if corpus not in known:
            raise DataError(f"unknown dataset {corpus!r}{did_you_mean(corpus, known)}")
        rows = _scan(corpus, root / CORPORA[corpus].folder / subset)
        utterances.append(Manifest.of(_with_paddlespeech_ids(row, root) for row in rows))
    return check_unique((row for manifest in utterances for row in manifest), root)


def _with_paddlespeech_ids(row: Utterance, root: Path) -> Utterance:
    names = row.path[len(str(root)) + 1 :].rpartition(".")[0].split("/")
    if row.speaker in names[:-1]:  # the speaker has a folder
        depth = names.index(row.speaker) + 1
        speaker, name = "_".join(names[:depth]), "_".join(names[depth:])
    else:
        speaker, name = f"{names[0]}_{row.speaker}", names[-1]
    return replace(row, speaker=speaker, utterance=f"{speaker}/{name}")


def _scan(layout: str, root: Path) -> Manifest:
    if root.is_dir():
        rows = Manifest.of(CORPORA[layout].scan(root))
        if len(rows):
            return rows
        problem = f"{root}: no audio found in layout {layout}"
    else:
        problem = f"{root}: " + ("is not a folder" if root.exists() else "no such folder")
    expected = ["expected below it:", *CORPORA[layout].expected]
    present = ["found:", *_outline(root)]
    width = max(map(len, expected)) + 3
    pairs = zip_longest(expected, present, fillvalue="")
    raise DataError("\n".join([problem, *(f"  {left:{width}}{right}" for left, right in pairs)]))


def _outline(root: Path) -> list[str]:
    """What lies in a folder: its first entries, and the way down to the first file."""
    if not root.is_dir():
        beside = ", ".join(_entries(root.parent)[:OUTLINE_ENTRIES])
        return ["nothing", f"beside it: {beside}"] if beside else ["nothing"]
    names = _entries(root)
    lines = names[:OUTLINE_ENTRIES]
    if len(names) > OUTLINE_ENTRIES:
        lines.append(f"and {len(names) - OUTLINE_ENTRIES} more")
    folder = root
    while folders := [name for name in _entries(folder) if name.endswith("/")]:
        folder = folder / folders[0]
        if len(folder.relative_to(root).parts) == OUTLINE_DEPTH:
            break
    files = [name for name in _entries(folder) if not name.endswith("/")]
    if folder != root:
        lines.append((folder.relative_to(root) / (files[0] if files else "")).as_posix())
    return lines or ["nothing"]


def _entries(folder: Path) -> list[str]:
    """Names in a folder, those of folders with a slash; none where it cannot be read."""
    try:
        return sorted(f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir())
    except OSError:
        return []
