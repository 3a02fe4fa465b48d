"""Count the files of a corpus's folder that are not utterances, so that none is overlooked."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path, PurePath

from timbral.audio.segments import Segment
from timbral.data.manifest import Manifest, Utterance

__all__ = ["count_passed_over", "describe_passed_over"]

TOP_LIST = frozenset({"dataset_dict.json"})
LISTS_OF_DATASETS = TOP_LIST | {"dataset_info.json", "state.json"}
"""metadata files of a saved dataset, next to and above its Arrow files"""
SHARDS = ".embed"
"""beginning of the hidden folders of `embed`, at the top of a corpus with vectors beside audio"""
WRITTEN_BESIDE_AUDIO = ("_embedding", ".npy", "failures.jsonl")
NAMED_SUFFIXES = 5
"""suffixes named in a text; the rest are counted together"""


def count_passed_over(roots: Sequence[str | Path], utterances: Iterable[Utterance]) -> Counter[str]:
    """How many files below the folders of corpora are not recordings of `utterances`, by suffix.

    Hidden files and data that timbral prepared or embedded there are not counted. Nothing is
    counted for prepared data, precomputed mels, and recordings that are elsewhere, as those of
    tables, lists and URLs.
    """
    if not all(Path(root).is_dir() for root in roots):
        return Counter()
    if any(Path(root, "store.json").is_file() for root in roots):
        return Counter()
    inside = tuple(f"{os.path.abspath(root).rstrip('/')}/" for root in roots)
    taken: Counter[str] = Counter()
    in_segments: set[str] = set()
    for row in utterances:
        segment = Segment.of(row.path)
        if not segment.file.startswith(inside) or segment.file.endswith(".npy"):
            return Counter()
        if segment.is_whole:
            taken[_suffix(segment.file)] += 1
        else:
            in_segments.add(segment.file)
    failures = utterances.failures if isinstance(utterances, Manifest) else ()
    failed = (row.path for row in failures if row.path.startswith(inside))
    in_segments.update(path for path in failed if not Path(path).is_dir())
    taken.update(map(_suffix, in_segments))
    names = chain.from_iterable(_names(os.fspath(root)) for root in roots)
    return Counter(map(_suffix, names)) - taken


def describe_passed_over(passed_over: Counter[str]) -> str:
    """``passed over: 12 .txt, 3 .amr``; empty when nothing was."""
    if not passed_over:
        return ""
    most_first = sorted(passed_over.items(), key=lambda item: (-item[1], item[0]))
    words = [f"{count:,} {suffix}" for suffix, count in most_first[:NAMED_SUFFIXES]]
    if others := sum(count for _, count in most_first[NAMED_SUFFIXES:]):
        words.append(f"{others:,} others")
    return f"passed over: {', '.join(words)}"


def _suffix(path: str) -> str:
    return PurePath(path).suffix.lower() or "without suffix"


def _names(root: str) -> Iterator[str]:
    """The name of every file below `root`; links are followed, but not in circles."""
    seen: set[str] = set()
    written: tuple[str, ...] = ()
    for folder, folders, names in os.walk(root, followlinks=True):
        if folder == root and any(name.startswith(SHARDS) for name in folders):
            written = WRITTEN_BESIDE_AUDIO
        real = os.path.realpath(folder)
        if real in seen or (folder != root and _is_our_own(names)):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        lists = LISTS_OF_DATASETS if any(name.endswith(".arrow") for name in names) else TOP_LIST
        shown = (name for name in names if name[:1] != "." and name not in lists)
        yield from (name for name in shown if not name.endswith(written))


def _is_our_own(names: Iterable[str]) -> bool:
    """Whether a folder with these files is from `prepare` or `embed`."""
    return not {"store.json", "plan.json", "failures.jsonl"}.isdisjoint(names)
