"""Find the utterances of corpora's folders, with errors that show what was expected there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from timbral.data.corpora.folders import TREE
from timbral.data.corpora.hub_dataset import dataset_hint
from timbral.data.corpora.registry import CORPORA, find_layout
from timbral.data.manifest import Manifest, Utterance, sorted_manifest
from timbral.errors import DataError, did_you_mean
from timbral.io.near_names import beside

__all__ = ["dataset_folders", "scan_corpus", "scan_datasets", "scan_rows"]

OUTLINE_ENTRIES, OUTLINE_DEPTH = 6, 4
"""size of a folder's outline in an error message"""


def scan_corpus(layout: str, root: str | Path) -> Manifest:
    """Every utterance of a corpus, sorted by speaker and utterance.

    Raises DataError if the layout is unknown, or the folder is missing or has no audio.
    """
    return sorted_manifest(scan_rows(layout, root), root)


def scan_datasets(root: str | Path, names: Sequence[str]) -> Manifest:
    """Every utterance of the corpora of these names, each in its folder below `root`.

    ``NAME/SUBSET`` takes only a subset: ``librispeech/train-clean-100``. Ids are PaddleSpeech's:
    a speaker is the path of its folder below `root`, an utterance the path below that, with ``_``
    for ``/``. Raises DataError as `scan_corpus` does.
    """
    root = Path(os.path.abspath(root))
    manifests: list[Manifest] = []
    for name, folder in zip(names, dataset_folders(root, names), strict=True):
        rows = scan_rows(name.partition("/")[0], folder)
        renamed = Manifest.of(_with_paddlespeech_ids(row, root) for row in rows)
        manifests.append(Manifest(renamed.table, rows.failures, left_out=rows.left_out))
    failures = [failure for rows in manifests for failure in rows.failures]
    utterances = Manifest.of(row for rows in manifests for row in rows)
    left_out = {name: why for rows in manifests for name, why in rows.left_out.items()}
    return sorted_manifest(Manifest(utterances.table, failures, left_out=left_out), root)


def dataset_folders(root: Path, names: Sequence[str]) -> list[Path]:
    """The folder of each corpus that `scan_datasets` looks through; DataError for unknown names."""
    known = [name for name, corpus in CORPORA.items() if corpus.folder]
    folders = []
    for name in names:
        corpus, _, subset = name.partition("/")
        if corpus not in known:
            raise DataError(f"unknown dataset {corpus!r}{did_you_mean(corpus, known)}")
        folders.append(root / CORPORA[corpus].folder / subset)
    return folders


def _with_paddlespeech_ids(row: Utterance, root: Path) -> Utterance:
    names = row.path[len(str(root)) + 1 :].rpartition(".")[0].split("/")
    if row.speaker in names[:-1]:  # the speaker has a folder
        depth = names.index(row.speaker) + 1
        speaker, name = "_".join(names[:depth]), "_".join(names[depth:])
    else:
        speaker, name = f"{names[0]}_{row.speaker}", names[-1]
    return replace(row, speaker=speaker, utterance=f"{speaker}/{name}")


def scan_rows(layout: str, root: str | Path) -> Manifest:
    """Like `scan_corpus`, in the scan's order; utterance ids may be repeated. Errors as there.

    A layout of the user's own is named ``path.py:NAME``, a recipe of Lhotse ``lhotse:NAME``.
    """
    corpus = find_layout(layout)
    root = Path(root)
    if root.is_dir():
        rows = Manifest.of(corpus.scan(root), layout)
        in_folders = layout in CORPORA  # whose recordings may lie where another layout fits
        if len(rows) or any(
            failure.kind != "no-speaker" or not in_folders for failure in rows.failures
        ):
            return rows
        problem = f"{root}: no audio found in layout {layout}"
        if any(True for _ in TREE.scan(root)):
            problem += "; layout tree finds recordings at any depth"
    elif root.exists():
        problem = f"{root}: is not a folder"
    else:
        problem = f"{root}: no such folder{dataset_hint(str(root)) or beside(root)}"
    expected = ["expected below it:", *corpus.expected]
    present = ["found:", *_outline(root)]
    width = max(map(len, expected)) + 3
    pairs = zip_longest(expected, present, fillvalue="")
    raise DataError("\n".join([problem, *(f"  {left:{width}}{right}" for left, right in pairs)]))


def _outline(root: Path) -> list[str]:
    """A text of a folder's content: its first entries, and the path down to the first file."""
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
    """Names in a folder, folders with a slash; empty if it is missing or cannot be read."""
    try:
        return sorted(f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir())
    except OSError:
        return []
