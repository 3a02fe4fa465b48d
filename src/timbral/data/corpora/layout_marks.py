"""Names of folders and files that identify a layout."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from timbral.data.corpora.corpus_files import audio_files
from timbral.data.corpora.hugging_face import is_saved_dataset
from timbral.data.lists.lhotse_cuts import is_cuts, is_shar

__all__ = ["MARKS", "fitting_layouts", "missing_half"]

SAMPLE_FILES = 200
"""number of recordings to check, the first by name"""


def fitting_layouts(root: Path) -> list[str]:
    """The names in `LAYOUTS` whose marks the folder has; usually one or none."""
    root = Path(os.path.abspath(root))  # a mark may lie in the folder's own name
    return [layout for layout, is_at in MARKS.items() if _is_marked(is_at, root)]


def _is_marked(is_at: Callable[[Path], bool], root: Path) -> bool:
    try:
        return is_at(root)
    except PermissionError:  # reported when the folder is listed
        return False


def missing_half(root: Path) -> str:
    """What is missing in a folder that has one of a layout's two lists; empty: nothing."""
    for layout, has, lacks in (
        ("kaldi", "wav.scp", "utt2spk"),
        ("kaldi", "utt2spk", "wav.scp"),
        ("lhotse", "*recordings*.jsonl*", "*supervisions*.jsonl*"),
        ("lhotse", "*supervisions*.jsonl*", "*recordings*.jsonl*"),
        ("datasets", "dataset_info.json", "**/*.arrow"),
        ("datasets", "dataset_dict.json", "**/*.arrow"),
    ):
        if any(root.glob(has)) and not any(root.glob(lacks)):
            lacking = lacks.removeprefix("**/")
            return f"contains {has} but no {lacking}; layout {layout} needs both"
    return ""


def _is_kaldi(root: Path) -> bool:
    return (root / "wav.scp").is_file() and (root / "utt2spk").is_file()


def _is_lhotse(root: Path) -> bool:
    return all(
        any(root.glob(f"*{kind}*.jsonl")) or any(root.glob(f"*{kind}*.jsonl.gz"))
        for kind in ("recordings", "supervisions")
    )


def _is_webdataset(root: Path) -> bool:
    """Tar archives and no recordings; not Shar, whose lists stand beside them."""
    return any(root.glob("*.tar")) and not is_cuts(root) and not _sample(root)


def _is_commonvoice(root: Path) -> bool:
    """`validated.tsv` beside `clips`: at the top, by language, or by language of a release."""
    folders = ("", "*/", "cv-corpus*/*/")  # "*/*/" would list every session of other corpora
    lists = (path for above in folders for path in root.glob(f"{above}validated.tsv"))
    return any((path.parent / "clips").is_dir() for path in lists)


def _most(paths: Sequence[Path], is_right: Callable[[Path], bool]) -> bool:
    """Whether more than half of the recordings fit, so that a misplaced one has no effect."""
    return sum(map(is_right, paths)) > len(paths) / 2


def _sample(folder: Path) -> list[Path]:
    return list(islice(audio_files(folder, []), SAMPLE_FILES)) if folder.is_dir() else []


def _is_vctk(root: Path) -> bool:
    """``wav48/p225/p225_001.wav`` and the like; VoxCeleb's names do not begin with speakers."""
    for name in ("wav48_silence_trimmed", "wav48", "wav"):
        if sample := _sample(root / name):
            return _most(sample, _is_named_by_speaker(root / name))
    return False


def _is_named_by_speaker(folder: Path) -> Callable[[Path], bool]:
    return lambda path: (
        path.parent.parent == folder and path.name.startswith(f"{path.parent.name}_")
    )


def _has_chapters(separator: str) -> Callable[[Path], bool]:
    """``19/198/19-198-0001.flac`` with that separator, below subsets or within these folders."""

    def is_right(path: Path) -> bool:
        speaker, chapter = path.parts[-3:-1]
        begins = f"{speaker}{separator}{chapter}{separator}"
        return speaker.isdecimal() and chapter.isdecimal() and path.stem.startswith(begins)

    def is_at(root: Path) -> bool:
        sample = _sample(root)
        return all(len(path.relative_to(root).parts) <= 4 for path in sample) and _most(
            sample, lambda path: len(path.parts) >= 3 and is_right(path)
        )

    return is_at


def _names(folder: str, pattern: str) -> Callable[[Path], bool]:
    """Whether the recordings in a folder below the corpus's have names that fit, from there on."""
    expression = re.compile(pattern)

    def is_at(root: Path) -> bool:
        below = root / folder
        return _most(
            _sample(below), lambda path: bool(expression.fullmatch(f"{path.relative_to(below)}"))
        )

    return is_at


VIDEOS = r"id\d{5}/[\w-]{6,}/\d+\.\w+"
GENRES = r"id\d{5}/[a-z_]+-\d+-\d+\.\w+"
_has_videos = _names("wav", VIDEOS)
_has_downloaded_videos = _names("dev/aac", VIDEOS)
_has_genres = _names("data", GENRES)


MARKS: dict[str, Callable[[Path], bool]] = {
    "kaldi": _is_kaldi,
    "lhotse": _is_lhotse,
    "lhotse-shar": is_shar,
    "lhotse-cuts": lambda root: is_cuts(root) and not is_shar(root),
    "datasets": is_saved_dataset,
    "webdataset": _is_webdataset,
    "commonvoice": _is_commonvoice,
    "vctk": _is_vctk,
    "aishell3": _names("train/wav", r"(SSB\d{4})/\1\d+\.wav"),
    "aidatatang_200zh": _names("train", r"(G\d{4})/T\d{4}\1S\d{4}\.wav"),
    "magicdata": _names("train", r"(\d+_\d+)/\1_.*\.wav"),
    "voxceleb1": lambda root: (root / "vox1_meta.csv").is_file() and _has_videos(root),
    "voxceleb2": lambda root: _has_videos(root) or _has_downloaded_videos(root),
    "cnceleb1": lambda root: (root / "dev" / "dev.lst").is_file() and _has_genres(root),
    "cnceleb2": _has_genres,
    "librispeech": _has_chapters("-"),
    "libritts": _has_chapters("_"),
}
"""by layout: whether a folder has features of only that layout"""
