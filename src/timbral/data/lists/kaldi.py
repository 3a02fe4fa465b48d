"""Kaldi data directories (``wav.scp``, ``utt2spk``, ``segments``), read and written."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from timbral.audio.segments import Segment, recording_ids
from timbral.data.manifest import Utterance
from timbral.errors import DataError
from timbral.io.files import atomic_write

__all__ = ["scan_kaldi", "write_kaldi"]


def scan_kaldi(root: Path) -> Iterator[Utterance]:
    """A Kaldi data directory, with ``segments`` or without; its relative paths are below it.

    Sessions come from ``utt2session``, a file of ours that Kaldi passes over, when it is there.
    An entry that is a command (a pipe) is refused: timbral runs nothing that a list names.
    """
    paths, speakers = _read_pairs(root / "wav.scp"), _read_pairs(root / "utt2spk")
    listed = root / "utt2session"
    sessions = _read_pairs(listed) if listed.exists() else {}
    spans = _read_segments(root, paths) if (root / "segments").exists() else {}
    for utterance, span in (spans or {name: Segment(name) for name in paths}).items():
        location = paths[span.file]
        if location.endswith("|") or location.startswith("|"):
            raise DataError(
                f"{root}/wav.scp: {span.file} is a command ({location!r}), and timbral runs no "
                "commands from lists; write the audio to files and name those"
            )
        if utterance not in speakers:
            raise DataError(f"{root}/utt2spk: has no speaker for {utterance!r}")
        beside = root / location
        path = beside if beside.exists() or not Path(location).exists() else Path(location)
        absolute = Path(os.path.abspath(path)).as_posix()
        part = str(replace(span, file=absolute))
        yield Utterance(utterance, speakers[utterance], sessions.get(utterance, ""), part, "kaldi")


def _read_segments(root: Path, recordings: Container[str]) -> dict[str, Segment]:
    """Of each utterance the recording's name, start and end; the end -1 is the recording's."""
    found: dict[str, Segment] = {}
    for utterance, rest in _read_pairs(root / "segments").items():
        try:
            recording, start, end = rest.split()
            span = Segment(recording, float(start), math.inf if float(end) == -1 else float(end))
        except ValueError:
            span = Segment("", 1, 0)
        if not 0 <= span.start < span.end:
            raise DataError(
                f"{root}/segments: {utterance}: a recording, a start and a later end in seconds "
                f"are needed, got {rest!r}"
            )
        if span.file not in recordings:
            raise DataError(f"{root}/wav.scp: has no recording {span.file!r}, as segments names it")
        found[utterance] = span
    return found


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


def write_kaldi(utterances: Iterable[Utterance], folder: Path) -> int:
    """Write ``wav.scp``, ``utt2spk``, ``spk2utt``, sorted by id.

    ``utt2session`` is written when sessions are known, ``segments`` when an utterance is a part
    of its recording; else one that an earlier list left behind is removed. Kaldi wants utterances
    sorted by speaker as well, so an id that does not begin with its speaker's gets that in front,
    and blanks become ``_``. Returns the number of utterances.
    """
    rows = sorted(
        (_word(_led_by(row)), _word(row.speaker), _word(row.session), row.path)
        for row in utterances
    )
    twice = [name for name, count in Counter(row[0] for row in rows).items() if count > 1]
    if twice:
        raise DataError(
            f"{folder}: Kaldi's ids hold no blanks, and without them {twice[0]!r} stands for more "
            "than one utterance; rename one of them"
        )
    by_speaker: dict[str, list[str]] = {}
    for name, speaker, _, _ in rows:
        by_speaker.setdefault(speaker, []).append(name)
    sessions = [f"{name} {session}\n" for name, _, session, _ in rows if session]
    recordings, segments = _recordings({name: Segment.of(path) for name, _, _, path in rows})
    files = {
        "wav.scp": [f"{name} {path}\n" for name, path in sorted(recordings.items())],
        "utt2spk": [f"{name} {speaker}\n" for name, speaker, _, _ in rows],
        "spk2utt": [f"{name} {' '.join(own)}\n" for name, own in sorted(by_speaker.items())],
        "utt2session": sessions,
        "segments": segments,
    }
    for name, lines in files.items():
        if not lines and name in ("utt2session", "segments"):
            (folder / name).unlink(missing_ok=True)
            continue
        with atomic_write(folder / name) as temporary, open(temporary, "w", encoding="utf-8") as f:
            f.writelines(lines)
    return len(rows)


def _recordings(spans: dict[str, Segment]) -> tuple[dict[str, str], list[str]]:
    """Files by their names, and the lines of ``segments``: none when no utterance is a part."""
    if all(span.is_whole for span in spans.values()):
        return {name: span.file for name, span in spans.items()}, []
    ids = recording_ids(spans)
    lines = [
        f"{name} {ids[span.file]} {span.start:.6f} "
        + ("-1\n" if span.end == math.inf else f"{span.end:.6f}\n")
        for name, span in spans.items()
    ]
    return {name: file for file, name in ids.items()}, lines


def _led_by(row: Utterance) -> str:
    led = row.utterance.startswith(row.speaker)
    return row.utterance if led else f"{row.speaker}-{row.utterance}"


def _word(text: str) -> str:
    return "_".join(text.split())
