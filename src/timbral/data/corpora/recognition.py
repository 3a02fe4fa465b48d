"""Which layout a folder has, told by files that only one layout has."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from timbral.data.corpora.corpus_files import audio_files
from timbral.data.corpora.registry import CORPORA
from timbral.data.manifest import Manifest, Utterance
from timbral.errors import DataError

__all__ = ["AUTO", "check_speakers", "recognize_layout"]

AUTO = "auto"
"""the layout that stands for the one that is recognized"""
PLAIN = "folder"
SPLITS = re.compile(
    r"(train|dev|test|eval|valid|validation)([-_.].*)?|wavs?\d*([-_].*)?|audio|clips|data|flac|mp3",
    re.IGNORECASE,
)
"""names of folders that hold speakers and are none"""


def recognize_layout(root: Path) -> str:
    """A name of `LAYOUTS`: the first of `MARKS` that the folder has, else ``folder``."""
    return next((layout for layout, is_at in MARKS.items() if is_at(root)), PLAIN)


def check_speakers(rows: Manifest, root: Path) -> None:
    """Refuse to take folders for speakers that are most likely none.

    rows: what the layout ``folder`` found in `root`, when nobody named it.

    Raises DataError, with what can be named instead, when all recordings lie in several folders
    below a single one, or when a folder with folders has the name of a part of a corpus (``wav``,
    ``train``).
    """
    sessions: dict[str, set[str]] = {}
    columns = (rows.table[name].to_pylist() for name in ("speaker", "session"))
    for speaker, session in zip(*columns, strict=True):
        sessions.setdefault(speaker, set()).add(session)
    deep = [speaker for speaker, below in sessions.items() if below != {""}]
    wrong = next((speaker for speaker in deep if SPLITS.fullmatch(speaker)), None)
    if wrong is None and len(sessions) == 1 and deep and len(sessions[deep[0]]) > 1:
        wrong = deep[0]
    if wrong is None:
        return
    others = [name for name in CORPORA if name not in (PLAIN, "tree") and _fits(name, root)]
    fitting = f", {', '.join(others)} (their files lie here)" if others else ""
    raise DataError(
        f"{root}: all recordings below {wrong}/ would be of one speaker, {wrong!r}. Name the "
        f"corpus's `layout`{fitting}, or `folder` if that is right; where the speakers' folders "
        f"lie in {root / wrong}, name that folder instead"
    )


def _fits(layout: str, root: Path) -> bool:
    """Whether a corpus's scan finds an utterance; the first one answers."""
    try:
        return any(isinstance(row, Utterance) for row in CORPORA[layout].scan(root))
    except DataError:
        return False


def _is_kaldi(root: Path) -> bool:
    return (root / "wav.scp").is_file() and (root / "utt2spk").is_file()


def _is_lhotse(root: Path) -> bool:
    return all(
        any(root.glob(f"*{kind}*.jsonl")) or any(root.glob(f"*{kind}*.jsonl.gz"))
        for kind in ("recordings", "supervisions")
    )


def _is_commonvoice(root: Path) -> bool:
    """At the top, in a folder a language, or in these of a release."""
    folders = ("", "*/", "cv-corpus*/*/")  # "*/*/" would list every session of other corpora
    lists = (path for above in folders for path in root.glob(f"{above}validated.tsv"))
    return any((path.parent / "clips").is_dir() for path in lists)


def _is_vctk(root: Path) -> bool:
    """``wav48/p225/p225_001.wav`` and the like; VoxCeleb's names do not begin with speakers."""
    for name in ("wav48_silence_trimmed", "wav48", "wav"):
        first = next(audio_files(root / name), None) if (root / name).is_dir() else None
        if first is not None and first.parent.parent == root / name:
            return first.name.startswith(f"{first.parent.name}_")
    return False


def _has_chapters(separator: str) -> Callable[[Path], bool]:
    """``[SUBSET/]19/198/19-198-0001.flac``, with that separator in the name."""

    def is_at(root: Path) -> bool:
        first = next(audio_files(root), None)
        if first is None or len(first.relative_to(root).parts) not in (3, 4):
            return False
        speaker, chapter = first.parts[-3:-1]
        return (
            speaker.isdecimal()
            and chapter.isdecimal()
            and first.stem.startswith(f"{speaker}{separator}{chapter}{separator}")
        )

    return is_at


def _is_aishell3(root: Path) -> bool:
    """``train/wav/SSB0005/SSB00050001.wav``."""
    folder = root / "train" / "wav"
    first = next(audio_files(folder), None) if folder.is_dir() else None
    return first is not None and first.name.startswith("SSB") and first.parent.parent == folder


MARKS: dict[str, Callable[[Path], bool]] = {
    "kaldi": _is_kaldi,
    "lhotse": _is_lhotse,
    "commonvoice": _is_commonvoice,
    "vctk": _is_vctk,
    "aishell3": _is_aishell3,
    "librispeech": _has_chapters("-"),
    "libritts": _has_chapters("_"),
}
"""by layout: whether a folder has what only that layout has"""
