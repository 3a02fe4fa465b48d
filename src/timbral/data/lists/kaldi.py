"""Kaldi data directories (``wav.scp``, ``utt2spk``, ``segments``), read and written."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import replace
from pathlib import Path

from timbral.audio.segments import Segment, recording_ids
from timbral.data.corpora.corpus import Corpus
from timbral.data.lists.list_format import ListFormat
from timbral.data.manifest import Manifest, Utterance
from timbral.errors import DataError
from timbral.io.files import atomic_write

__all__ = ["KALDI"]


def _scan(root: Path) -> Iterator[Utterance]:
    """A Kaldi data directory, with ``segments`` or without; its relative paths are below it.

    Sessions come from ``utt2session``, which `_write` writes and Kaldi ignores, when it is
    there. An entry that is a command (a pipe) is refused: timbral runs nothing that a list names.
    """
    paths, speakers = _read_pairs(root / "wav.scp"), _read_pairs(root / "utt2spk")
    listed = root / "utt2session"
    sessions = _read_pairs(listed) if listed.exists() else {}
    segments = _read_segments(root, paths) if (root / "segments").exists() else {}
    if not segments:
        segments = {name: Segment(name) for name in paths}
    for utterance, segment in segments.items():
        location = paths[segment.file]
        if location.endswith("|") or location.startswith("|"):
            raise DataError(
                f"{root}/wav.scp: {segment.file} is a command ({location!r}), and timbral runs no "
                "commands from lists; write the audio to files and name those"
            )
        if utterance not in speakers:
            raise DataError(f"{root}/utt2spk: has no speaker for {utterance!r}")
        beside = root / location
        path = beside if beside.exists() or not Path(location).exists() else Path(location)
        absolute = Path(os.path.abspath(path)).as_posix()
        named = str(replace(segment, file=absolute))
        yield Utterance(utterance, speakers[utterance], sessions.get(utterance, ""), named, "kaldi")


def _read_segments(root: Path, recordings: Container[str]) -> dict[str, Segment]:
    """The segment of each utterance, by the id of its recording; the end -1 is the recording's."""
    segments: dict[str, Segment] = {}
    for utterance, entry in _read_pairs(root / "segments").items():
        segment = _parse_segment(entry)
        if segment is None:
            raise DataError(
                f"{root}/segments: {utterance}: a recording, a start and a later end in seconds "
                f"are needed, got {entry!r}"
            )
        if segment.file not in recordings:
            raise DataError(
                f"{root}/wav.scp: has no recording {segment.file!r}, as segments names it"
            )
        segments[utterance] = segment
    return segments


def _parse_segment(entry: str) -> Segment | None:
    """``RECORDING START END``; None when it is not of that form or ends before it starts."""
    try:
        recording, start, end = entry.split()
        segment = Segment(recording, float(start), math.inf if float(end) == -1 else float(end))
    except ValueError:
        return None
    return segment if 0 <= segment.start < segment.end else None


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
    by_key = dict(pairs)
    if len(by_key) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        repeated = next(key for key, count in counts.items() if count > 1)
        raise DataError(f"{path}: {repeated!r} stands there more than once; keep one of its lines")
    return by_key


def _write(manifest: Manifest, folder: Path) -> tuple[int, int]:
    """Write ``wav.scp``, ``utt2spk``, ``spk2utt``, sorted by id.

    ``utt2session`` is written when sessions are known, ``segments`` when an utterance is a segment
    of its recording; else one that an earlier list left behind is removed. Kaldi wants utterances
    sorted by speaker as well, so an id that does not begin with its speaker's gets that in front,
    and blanks become ``_``.
    """
    rows = sorted(
        (_word(_id_after_speaker(row)), _word(row.speaker), _word(row.session), row.path)
        for row in manifest
    )
    repeated = [name for name, count in Counter(row[0] for row in rows).items() if count > 1]
    if repeated:
        raise DataError(
            f"{folder}: Kaldi's ids hold no blanks, and without them {repeated[0]!r} stands for "
            "more than one utterance; rename one of them"
        )
    by_speaker: dict[str, list[str]] = {}
    for name, speaker, _, _ in rows:
        by_speaker.setdefault(speaker, []).append(name)
    sessions = [f"{name} {session}\n" for name, _, session, _ in rows if session]
    recordings, segments = _recordings({name: Segment.of(path) for name, _, _, path in rows})
    files = {
        "wav.scp": [f"{name} {path}\n" for name, path in sorted(recordings.items())],
        "utt2spk": [f"{name} {speaker}\n" for name, speaker, _, _ in rows],
        "spk2utt": [f"{name} {' '.join(names)}\n" for name, names in sorted(by_speaker.items())],
        "utt2session": sessions,
        "segments": segments,
    }
    for name, lines in files.items():
        if not lines and name in ("utt2session", "segments"):
            (folder / name).unlink(missing_ok=True)
            continue
        with atomic_write(folder / name) as temporary, open(temporary, "w", encoding="utf-8") as f:
            f.writelines(lines)
    return len(rows), 0


def _recordings(segments: dict[str, Segment]) -> tuple[dict[str, str], list[str]]:
    """Files by their ids, and the lines of ``segments``: none when all are whole recordings."""
    if all(segment.is_whole for segment in segments.values()):
        return {name: segment.file for name, segment in segments.items()}, []
    ids = recording_ids(segments)
    lines = []
    for name, segment in segments.items():
        end = "-1" if segment.end == math.inf else f"{segment.end:.6f}"
        lines.append(f"{name} {ids[segment.file]} {segment.start:.6f} {end}\n")
    return {name: file for file, name in ids.items()}, lines


def _id_after_speaker(row: Utterance) -> str:
    """The utterance's id, with its speaker's in front unless it begins with that."""
    if row.utterance.startswith(row.speaker):
        return row.utterance
    return f"{row.speaker}-{row.utterance}"


def _word(text: str) -> str:
    """The text without blanks, which separate Kaldi's fields."""
    return "_".join(text.split())


KALDI = ListFormat(_write, layout=Corpus(_scan, ("wav.scp", "utt2spk")))
