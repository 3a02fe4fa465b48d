"""Lhotse's CutSets: ``cuts*.jsonl[.gz]``, and Shar, in which tar archives hold their audio."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from timbral.data.corpora.corpus import Corpus
from timbral.data.corpora.tar_members import TarMember, tar_members
from timbral.data.lists.lhotse_rows import (
    Line,
    ListedRecording,
    further_of,
    read_lines_in,
    read_lines_of,
)
from timbral.data.manifest import Manifest, Utterance
from timbral.errors import AudioError, DataError

__all__ = ["LHOTSE_CUTS", "LHOTSE_SHAR", "is_cut_file", "is_cuts", "is_shar", "read_cut_file"]


def is_shar(root: Path) -> bool:
    """Whether a folder is one that `to_shar` wrote."""
    return is_cuts(root) and any(root.glob("recording.*.tar"))


def is_cuts(root: Path) -> bool:
    """Whether a folder holds a CutSet."""
    return any(root.glob("cuts*.jsonl")) or any(root.glob("cuts*.jsonl.gz"))


def is_cut_file(path: Path) -> bool:
    """Whether a file is a CutSet, by its suffix and its first line.

    Raises DataError for one that is compressed and damaged.
    """
    name = path.name.lower()
    if not name.endswith((".jsonl", ".jsonl.gz")):
        return False
    try:
        first = next(read_lines_in(path, "cuts"), None)
    except DataError:
        if name.endswith(".gz"):
            raise
        return False
    return first is not None and {"supervisions", "duration"} <= first.row.keys()


def read_cut_file(path: Path, root: str | Path) -> Manifest:
    """The utterances of one file of cuts; relative paths of recordings start from `root`."""
    utterances = _utterances_of(read_lines_in(path, "cuts"), Path(root))
    return Manifest.of(utterances, "lhotse-cuts")


def _scan_cuts(root: Path) -> Iterator[Utterance | AudioError]:
    yield from _utterances_of(read_lines_of(root, "cuts"), root)


def _utterances_of(lines: Iterable[Line], root: Path) -> Iterator[Utterance | AudioError]:
    """A cut is an utterance: seconds of a recording, of one speaker."""
    for line in lines:
        try:
            given = Line(line.where, _object(line, "recording"))
            recording = ListedRecording.of(given, root)
            channels = set(map(str, line.list("channel"))) or {"0"}
            segment = recording.segment(channels, line.seconds("start"), line.seconds("duration"))
            yield _utterance(line, str(segment))
        except ValueError as error:
            yield line.failure(error)


def _scan_shar(root: Path) -> Iterator[Utterance | AudioError]:
    """A cut's audio is the member of an archive that is called as it."""
    audio: dict[str, TarMember] = {}
    for archive in sorted(Path(os.path.abspath(root)).glob("recording.*.tar")):
        for member in tar_members(archive):
            if isinstance(member, AudioError):
                yield member
            elif PurePosixPath(member.name).suffix not in (".json", ".nodata", ".nometa"):
                audio[member.name.rpartition(".")[0]] = member
    for line in read_lines_of(root, "cuts"):
        try:
            name = line.text("id")
            if name not in audio:
                raise ValueError("no recording.*.tar contains its audio")
            yield _utterance(line, audio[name].recording)
        except ValueError as error:
            yield line.failure(error)


def _utterance(line: Line, path: str) -> Utterance:
    """The utterance of a cut; ValueError where it names no speaker, or several."""
    given = line.list("supervisions")
    supervisions = [row for row in given if isinstance(row, dict)]
    speakers = {row["speaker"] for row in supervisions if isinstance(row.get("speaker"), str)}
    speakers.discard("")
    if len(speakers) != 1:
        names = ", ".join(sorted(speakers)) or "no speaker"
        raise ValueError(f"one speaker is needed in its supervisions, found {names}")
    sessions = [
        custom["session"]
        for row in (line.row, *supervisions)
        if isinstance(custom := row.get("custom"), dict) and isinstance(custom.get("session"), str)
    ]
    session = (sessions or [""])[0]
    further = further_of(*supervisions, line.row)
    return Utterance(line.text("id"), speakers.pop(), session, path, "lhotse", further=further)


def _object(line: Line, key: str) -> Mapping[str, object]:
    value = line.row.get(key)
    if not isinstance(value, dict):
        raise ValueError(f"has no {key!r}, which cuts of recorded audio have")
    return value


LHOTSE_CUTS = Corpus(_scan_cuts, ("cuts*.jsonl[.gz]",))
LHOTSE_SHAR = Corpus(_scan_shar, ("cuts.*.jsonl[.gz]", "recording.*.tar"))
