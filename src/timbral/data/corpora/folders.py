"""Recordings in one folder per speaker, and in any tree of folders."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from timbral.data.corpora.corpus import Corpus, Scan
from timbral.data.corpora.corpus_files import absolute_path, audio_files
from timbral.data.manifest import Utterance
from timbral.errors import AudioError

__all__ = ["FOLDER", "TREE", "speaker_folders", "utterances_below"]

NO_SPEAKER = (
    "is not in a speaker's folder; move it into one, or use the layout `tree`, where the folder "
    "that contains a recording is its speaker"
)


def utterances_below(
    root: Path,
    corpus: str,
    suffixes: Collection[str] = (),
    speakers: Collection[str] | None = None,
) -> Iterator[Utterance | AudioError]:
    """``SPEAKER/**/UTTERANCE`` below `root`: folders in between are the session.

    A recording outside of speakers' folders is a failure. Empty `suffixes`: any; `speakers` None:
    all.
    """
    unreadable: list[AudioError] = []
    for path in audio_files(root, unreadable):
        relative = path.relative_to(root)
        folders = relative.parts[:-1]
        if suffixes and path.suffix.lower() not in suffixes:
            continue
        if not folders:
            yield AudioError(absolute_path(path), NO_SPEAKER, "no-speaker")
        elif speakers is None or folders[0] in speakers:
            name = relative.with_suffix("").as_posix()
            yield Utterance(name, folders[0], "/".join(folders[1:]), absolute_path(path), corpus)
    yield from unreadable


def speaker_folders(corpus: str, *folders: str, suffixes: Collection[str]) -> Scan:
    """``FOLDER/SPEAKER/**/UTTERANCE``, in the first of `folders` that exists."""

    def scan(root: Path) -> Iterator[Utterance | AudioError]:
        existing = [root / folder for folder in folders if (root / folder).is_dir()]
        return utterances_below(existing[0], corpus, suffixes) if existing else iter(())

    return scan


def _scan_tree(root: Path) -> Iterator[Utterance | AudioError]:
    """Any tree: every recording at any depth, with its folder as speaker."""
    root = Path(os.path.abspath(root))  # the name of "." is empty
    unreadable: list[AudioError] = []
    for path in audio_files(root, unreadable):
        relative = path.relative_to(root)
        speaker = relative.parent.as_posix() if len(relative.parts) > 1 else root.name
        yield Utterance(
            relative.with_suffix("").as_posix(), speaker, "", absolute_path(path), "tree"
        )
    yield from unreadable


def _scan_folder(root: Path) -> Iterator[Utterance | AudioError]:
    return utterances_below(root, "folder")


FOLDER = Corpus(_scan_folder, ("SPEAKER/[SESSION/]UTTERANCE.wav",))
TREE = Corpus(_scan_tree, ("recordings at any depth",))
