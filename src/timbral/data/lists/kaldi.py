"""Kaldi data directories (``wav.scp``, ``utt2spk``, ``segments``), read and written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from timbral.audio.segments import Segment, recording_ids
from timbral.data.corpora.corpus import Corpus
from timbral.data.lists.kaldi_further import TEXT, FurtherFiles, further_files
from timbral.data.lists.list_format import Failure, ListFormat, check_as_recorded
from timbral.data.lists.pipes import is_pipe, parse_pipe
from timbral.data.locations import listed_path
from timbral.data.manifest import Manifest, Utterance
from timbral.data.name_pairs import named_lines
from timbral.errors import AudioError, DataError
from timbral.io.files import atomic_write
from timbral.io.text import split_words

__all__ = ["KALDI"]

NEEDED = ("wav.scp", "utt2spk", "spk2utt")


def _scan(root: Path) -> Iterator[Utterance | AudioError]:
    """A Kaldi data directory, with or without ``segments``; its relative paths are below it.

    Sessions come from ``utt2session`` if it exists, which `_write` writes and Kaldi ignores.
    ``spk2gender``, ``spk2age``, ``utt2lang``, ``text`` and others become further columns (gender,
    age, lang, text). A line that cannot be used is a failure. An entry that is a command (a pipe)
    is read as the file and options that it stands for, if it is a known command, else it is a
    failure: no command in a list is run.
    """
    recordings, speakers = _read_pairs(root / "wav.scp"), _read_pairs(root / "utt2spk")
    sessions, segments = (
        _read_pairs(root / name) if (root / name).exists() else None
        for name in ("utt2session", "segments")
    )
    further = FurtherFiles.read(root)
    for pairs in filter(None, (recordings, speakers, sessions, segments)):
        yield from pairs.failures
    cut = segments is not None and bool(segments.entries or segments.failures)
    listed = segments if segments is not None and cut else recordings
    for utterance, (where, entry) in listed.entries.items():
        try:
            segment = _parse_segment(entry) if cut else Segment(utterance)
            taken = _in_recording(segment, recordings, root)
            if utterance not in speakers.entries:
                raise ValueError(f"utt2spk has no speaker for {utterance!r}")
        except ValueError as error:
            yield AudioError(where, f"{utterance}: {error}", "bad-line")
        else:
            _, speaker = speakers.entries[utterance]
            _, session = sessions.entries.get(utterance, ("", "")) if sessions else ("", "")
            known = further.values(utterance, speaker)
            yield Utterance(utterance, speaker, session, str(taken), "kaldi", further=known)


def _parse_segment(entry: str) -> Segment:
    """``RECORDING START END [CHANNEL]``; the end -1 is the recording's. Else ValueError."""
    with suppress(ValueError):
        recording, start, end, *channel = split_words(entry)
        segment = Segment(recording, float(start), math.inf if float(end) == -1 else float(end))
        if channel:
            segment = replace(segment, channel=int(*channel))
        if 0 <= segment.start < segment.end and (segment.channel or 0) >= 0:
            return segment
    raise ValueError(f"a recording, a start and a later end in seconds are needed, got {entry!r}")


def _in_recording(segment: Segment, recordings: _Pairs, root: Path) -> Segment:
    """A segment, whose file is a recording's id, in the file or URL that wav.scp names for it.

    An entry that is a known command stands for what it would take of its file; nothing is run.
    ValueError when there is none to be read.
    """
    if segment.file not in recordings.entries:
        raise ValueError(
            f"segments refers to the recording {segment.file!r}, which is not in wav.scp"
        )
    where, location = recordings.entries[segment.file]
    if not is_pipe(location):
        return replace(segment, file=listed_path(location, root))
    try:
        piped = parse_pipe(location)
    except ValueError as error:
        raise ValueError(
            f"{where}: is a command ({location!r}). timbral runs no commands from lists; it "
            f"understands some and reads the audio itself, but {error}. Write the audio to files "
            "and list those"
        ) from None
    if piped.speed != 1 and (segment.start or segment.end != math.inf):
        raise ValueError(f"{where}: segments of a recording with changed speed are not supported")
    end = min(segment.end + piped.start, piped.end)
    return replace(
        piped,
        file=listed_path(piped.file, root),
        start=segment.start + piped.start,
        end=end,
        channel=segment.channel if piped.channel is None else piped.channel,
    )


@dataclass(frozen=True)
class _Pairs:
    """Lines ``KEY VALUE`` of a list."""

    entries: dict[str, tuple[str, str]] = field(default_factory=dict)
    """FILE:LINE and value by key"""
    failures: list[AudioError] = field(default_factory=list)


def _read_pairs(path: Path) -> _Pairs:
    """Read a file of pairs; DataError if it cannot be read, or a key occurs twice."""
    pairs = _Pairs()
    for where, key, value in named_lines(path, "a list of a Kaldi data directory"):
        if value:
            pairs.entries[key] = (where, value)
        else:
            reason = f"should be two words, got {key!r}"
            pairs.failures.append(AudioError(where, reason, "bad-line"))
    return pairs


def _write(manifest: Manifest, folder: Path) -> Sequence[Failure]:
    """Write ``wav.scp``, ``utt2spk``, ``spk2utt``, sorted by id.

    ``utt2session`` is written when sessions are known, ``segments`` when an utterance is a segment
    of its recording, and ``spk2NAME`` or ``utt2NAME`` for each further column; those that an
    earlier list left behind are removed. Kaldi needs utterances that are sorted by speaker as well,
    so an id that does not begin with its speaker's id gets that in front, and blanks become ``_``.
    """
    check_as_recorded(manifest, "a list in Kaldi's format")
    listed = sorted(
        ((_word(_id_after_speaker(row)), _word(row.speaker), row) for row in manifest),
        key=lambda row: row[:2],
    )
    rows = [(name, speaker, _word(row.session), row.path) for name, speaker, row in listed]
    repeated = [name for name, count in Counter(row[0] for row in rows).items() if count > 1]
    if repeated:
        raise DataError(
            f"{folder}: ids of Kaldi cannot contain spaces, and without them {repeated[0]!r} "
            "would stand for more than one utterance; rename one of them"
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
        **further_files(listed),
    }
    for path in [*folder.glob("utt2*"), *folder.glob("spk2*"), folder / "segments", folder / TEXT]:
        if not files.get(path.name):
            path.unlink(missing_ok=True)
    for name, lines in files.items():
        if not lines and name not in NEEDED:
            continue
        with atomic_write(folder / name) as temporary, open(temporary, "w", encoding="utf-8") as f:
            f.writelines(lines)
    return ()


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
