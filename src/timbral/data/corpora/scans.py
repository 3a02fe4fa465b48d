"""How corpora are laid out on disk: one scan a layout, from a folder to its utterances.

Scans give utterances in an order that follows from the names alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from timbral.audio.decode import AUDIO_SUFFIXES
from timbral.data.manifest import Utterance
from timbral.errors import DataError

__all__ = [
    "Scan",
    "audio_files",
    "scan_aishell3",
    "scan_chapters",
    "scan_cnceleb",
    "scan_commonvoice",
    "scan_folder",
    "scan_speakers",
    "scan_tree",
    "scan_vctk",
    "scan_voxceleb1",
]

Scan = Callable[[Path], Iterator[Utterance]]

PADDLESPEECH_NATIONALITIES = {"australia", "canada", "ireland", "uk", "usa"}
"""those of VoxCeleb1's speakers that PaddleSpeech keeps"""


def audio_files(root: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Every audio file below `root`, in sorted order; hidden ones not.

    Links are followed, except those that lead back to a folder that they lie in (`above`: the real
    paths of the folders on the way down). Raises DataError for a folder that cannot be read.
    """
    real = os.path.realpath(root)
    if real in above:
        return
    try:
        with os.scandir(root) as unsorted:
            entries = sorted(unsorted, key=lambda entry: entry.name)
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


def _absolute(path: Path) -> str:
    return Path(os.path.abspath(path)).as_posix()


def _below(
    root: Path, corpus: str, suffixes: Collection[str], speakers: Collection[str] | None
) -> Iterator[Utterance]:
    """SPEAKER/**/UTTERANCE below `root`: folders in between are the session.

    Empty `suffixes` are any; `speakers` None are all.
    """
    for path in audio_files(root):
        relative = path.relative_to(root)
        folders = relative.parts[:-1]
        if not folders or (suffixes and path.suffix.lower() not in suffixes):
            continue
        if speakers is None or folders[0] in speakers:
            name = relative.with_suffix("").as_posix()
            yield Utterance(name, folders[0], "/".join(folders[1:]), _absolute(path), corpus)


def scan_tree(root: Path) -> Iterator[Utterance]:
    """Any tree: every recording, at any depth; the folder that it lies in is its speaker."""
    for path in audio_files(root):
        relative = path.relative_to(root)
        speaker = relative.parent.as_posix() if len(relative.parts) > 1 else root.name
        yield Utterance(relative.with_suffix("").as_posix(), speaker, "", _absolute(path), "tree")


def scan_folder(root: Path, corpus: str = "folder") -> Iterator[Utterance]:
    """Layout ``SPEAKER/**/UTTERANCE.*``: folders in between are the session."""
    return _below(root, corpus, (), None)


def scan_speakers(corpus: str, *folders: str, suffixes: Collection[str]) -> Scan:
    """``FOLDER/SPEAKER/**/UTTERANCE``, in the first of `folders` that exists."""

    def scan(root: Path) -> Iterator[Utterance]:
        existing = [root / folder for folder in folders if (root / folder).is_dir()]
        return _below(existing[0], corpus, suffixes, None) if existing else iter(())

    return scan


def scan_voxceleb1(root: Path) -> Iterator[Utterance]:
    """VoxCeleb1 as PaddleSpeech takes it: development speakers of five English-speaking nations.

    ``vox1_meta.csv`` (tab-separated) has a speaker's id first, the nationality fourth and the
    set last.
    """
    if not (root / "vox1_meta.csv").is_file() or not (root / "wav").is_dir():
        return iter(())
    lines = [line.strip().split("\t") for line in _lines(root / "vox1_meta.csv")][1:]
    for number, fields in enumerate(lines, start=2):
        if len(fields) < 5:
            raise DataError(
                f"{root}/vox1_meta.csv: line {number} should have five fields between tabs (id, "
                f"VGGFace id, gender, nationality, set), got {fields}"
            )
    kept = {
        line[0]
        for line in lines
        if line[-1] == "dev" and line[3].lower() in PADDLESPEECH_NATIONALITIES
    }
    return _below(root / "wav", "voxceleb1", {".wav"}, kept)


def scan_cnceleb(corpus: str) -> Scan:
    """CN-Celeb: ``data/SPEAKER/GENRE-SESSION-NUMBER.flac``; the genre is the session.

    CN-Celeb 1 has the evaluation's speakers in there too: only those of ``dev/dev.lst`` are taken.
    """

    def scan(root: Path) -> Iterator[Utterance]:
        listed = root / "dev" / "dev.lst"
        if not (root / "data").is_dir() or (corpus == "cnceleb1" and not listed.is_file()):
            return
        kept = set(map(str.strip, _lines(listed))) if corpus == "cnceleb1" else None
        for row in _below(root / "data", corpus, {".flac", ".wav"}, kept):
            genre = Path(row.path).name.partition("-")[0]
            yield Utterance(row.utterance, row.speaker, genre, row.path, corpus)

    return scan


def scan_aishell3(root: Path) -> Iterator[Utterance]:
    """AISHELL-3: ``train/wav/SPEAKER/*.wav`` and ``test/wav/SPEAKER/*.wav``, other speakers."""
    for subset in ("test/wav", "train/wav", "wav"):
        if (root / subset).is_dir():
            yield from _below(root / subset, "aishell3", {".wav"}, None)


def scan_commonvoice(root: Path) -> Iterator[Utterance]:
    """Common Voice: ``[RELEASE/][LANGUAGE/]validated.tsv`` beside ``clips/``.

    The speaker is the ``client_id``; only clips that listeners validated are taken.
    """
    lists = [path for depth in ("", "*/", "*/*/") for path in root.glob(f"{depth}validated.tsv")]
    for tsv in sorted(lists):
        try:
            table = pa.csv.read_csv(
                tsv,
                parse_options=pa.csv.ParseOptions(delimiter="\t", quote_char=False),
                convert_options=pa.csv.ConvertOptions(
                    include_columns=["client_id", "path"],
                    column_types={"client_id": pa.string(), "path": pa.string()},
                ),
            )
        except (pa.ArrowInvalid, KeyError) as error:
            raise DataError(f"{tsv}: cannot be read as Common Voice's list ({error})") from None
        clips = _absolute(tsv.parent / "clips")
        for batch in table.to_batches():
            for client, name in zip(batch["client_id"], batch["path"], strict=True):
                path = f"{clips}/{name.as_py()}"
                yield Utterance(Path(path).stem, client.as_py(), "", path, "commonvoice")


def scan_chapters(corpus: str) -> Scan:
    """LibriSpeech's and LibriTTS's layout ``[SUBSET/]SPEAKER/CHAPTER/UTTERANCE``."""

    def scan(root: Path) -> Iterator[Utterance]:
        for path in audio_files(root):
            speaker, _, chapter_utterance = path.stem.replace("-", "_").partition("_")
            chapter = chapter_utterance.partition("_")[0]
            if path.parts[-3:-1] == (speaker, chapter):
                yield Utterance(path.stem, speaker, chapter, _absolute(path), corpus)

    return scan


def scan_vctk(root: Path) -> Iterator[Utterance]:
    """VCTK: ``wav48_silence_trimmed/`` (0.92, first microphone), ``wav48/`` (0.80) or ``wav/``."""
    for name in ("wav48_silence_trimmed", "wav48", "wav"):
        if (root / name).is_dir():
            for path in audio_files(root / name):
                stem = path.stem.removesuffix("_mic1")
                if path.parent.parent == root / name and not stem.endswith("_mic2"):
                    yield Utterance(stem, path.parent.name, "", _absolute(path), "vctk")
            return


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
