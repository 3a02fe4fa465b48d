"""Kaldi data directories: ``wav.scp`` and ``utt2spk``, read and written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from timbral.data.manifest import Utterance
from timbral.errors import DataError
from timbral.files import written_whole

__all__ = ["scan_kaldi", "write_kaldi"]

TOLERANCE_SECONDS = 0.05


def scan_kaldi(root: Path) -> Iterator[Utterance]:
    """A Kaldi data directory; relative paths are taken from the folder itself.

    Sessions come from ``utt2session``, a file of ours that Kaldi passes over, when it is there.
    An entry that is a command (a pipe) is refused: timbral runs nothing that a list names.
    """
    paths, speakers = _read_pairs(root / "wav.scp"), _read_pairs(root / "utt2spk")
    listed = root / "utt2session"
    sessions = _read_pairs(listed) if listed.exists() else {}
    recordings = _whole_segments(root, paths) if (root / "segments").exists() else {}
    for utterance, recording in (recordings or {name: name for name in paths}).items():
        location = paths[recording]
        if location.endswith("|") or location.startswith("|"):
            raise DataError(
                f"{root}/wav.scp: {recording} is a command ({location!r}), and timbral runs no "
                "commands from lists; write the audio to files and name those"
            )
        if utterance not in speakers:
            raise DataError(f"{root}/utt2spk: has no speaker for {utterance!r}")
        beside = root / location
        path = beside if beside.exists() or not Path(location).exists() else Path(location)
        absolute = Path(os.path.abspath(path)).as_posix()
        session = sessions.get(utterance, "")
        yield Utterance(utterance, speakers[utterance], session, absolute, "kaldi")


def _whole_segments(root: Path, paths: dict[str, str]) -> dict[str, str]:
    """Recording of each utterance, where ``segments`` has every recording once and whole."""
    found: dict[str, str] = {}
    lengths = _read_pairs(root / "reco2dur") if (root / "reco2dur").exists() else {}
    for utterance, rest in _read_pairs(root / "segments").items():
        try:
            recording, start, end = rest.split()
            whole = float(start) < TOLERANCE_SECONDS and (
                abs(float(end) - float(lengths[recording])) < TOLERANCE_SECONDS
            )
        except (ValueError, KeyError):
            whole = False
        if not whole or recording not in paths or recording in found.values():
            raise DataError(
                f"{root}/segments: {utterance} is not known to be one whole recording (by "
                "reco2dur), and timbral takes whole ones; cut the recordings into files first"
            )
        found[utterance] = recording
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
    """Write ``wav.scp``, ``utt2spk``, ``spk2utt`` and, if known, ``utt2session``; sorted by id.

    Kaldi wants utterances sorted by speaker as well, so an id that does not begin with its
    speaker's gets that in front, and blanks become ``_``. Returns the number of utterances.
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
    files = {
        "wav.scp": [f"{name} {path}\n" for name, _, _, path in rows],
        "utt2spk": [f"{name} {speaker}\n" for name, speaker, _, _ in rows],
        "spk2utt": [f"{name} {' '.join(own)}\n" for name, own in sorted(by_speaker.items())],
        **({"utt2session": sessions} if sessions else {}),
    }
    for name, lines in files.items():
        with written_whole(folder / name) as temporary, open(temporary, "w", encoding="utf-8") as f:
            f.writelines(lines)
    return len(rows)


def _led_by(row: Utterance) -> str:
    led = row.utterance.startswith(row.speaker)
    return row.utterance if led else f"{row.speaker}-{row.utterance}"


def _word(text: str) -> str:
    return "_".join(text.split())
