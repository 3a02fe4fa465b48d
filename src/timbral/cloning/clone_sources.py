"""Find the recordings to compare: from lists, from folders matched by name, or from meta.lst."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from timbral.audio.decode import AUDIO_SUFFIXES
from timbral.cloning.clone_lists import ListedClone, read_clone_list, read_meta
from timbral.cloning.clones import Clone, CloneSet, RealRecording, unique
from timbral.data.corpora.corpus_files import audio_files
from timbral.data.sources import find_utterances
from timbral.errors import AudioError, DataError
from timbral.io.storage import is_url

__all__ = ["NO_SPEAKERS", "find_clones"]

NO_SPEAKERS = (
    "the speakers of the references are unknown, so each recording counts as a speaker of its "
    "own. There is no anchor for the same speaker, and the nearest other speaker may be the same "
    "one. Give speakers in a column speaker, or with a `corpus` that contains the references"
)
PROMPTS_ALONE = (
    "speakers are known by their prompts only. If two prompts are of one speaker, the nearest "
    "other speaker may be the same one, and intervals are too narrow. Give a `corpus` that "
    "contains both prompts"
)

SAME_NAME = "differ only in their suffixes, so it is unclear which one is meant; keep one"
NAMING = (
    "; list pairs in a file (lines `synthesized reference`), or put the clones of each speaker "
    "into a folder of the speaker's name and set `to_speaker`"
)


def find_clones(
    sources: Sequence[str | Path],
    *,
    meta: str | Path | None = None,
    corpus: str | Path | None = None,
    layout: str = "auto",
    to_speaker: bool = False,
) -> CloneSet:
    """The clones in `sources`, with real recordings of their speakers and of others.

    Args:
        sources: lists (`read_clone_list`), one per system; or folders of synthesized recordings,
            one per system, followed by the folder of the references, whose recordings have the same
            names; with `meta`, only the folders of synthesized recordings
        meta: a meta.lst of seed-tts-eval
        corpus: more recordings of the references' speakers, and of others (`find_utterances`)
        layout: layout of the references' folder and of `corpus`
        to_speaker: compare with the mean of the speaker's recordings except the clone's reference

    Raises DataError if nothing can be compared.
    """
    real = _real_recordings(corpus, layout) if corpus is not None else ()
    paths = [Path(source) for source in sources]
    if meta is not None:
        found = _of_meta(read_meta(Path(meta)), paths, real)
    elif all(path.is_file() for path in paths):
        found = _of_lists(paths, real)
    else:
        found = _of_folders(paths, layout, real, to_speaker)
    if not found.clones:
        named = ", ".join(map(str, paths if meta is not None else paths[:-1] or paths))
        why = f"the first: {found.failures[0]}" if found.failures else f"{named} contains no audio"
        if why.endswith(f"of the same name in {paths[-1]}"):
            why += NAMING
        raise DataError(f"no synthesized recording has a reference; {why}")
    return _against_speakers(found) if to_speaker else found


def _real_recordings(corpus: str | Path, layout: str) -> tuple[RealRecording, ...]:
    rows = find_utterances(corpus, layout)
    return tuple(RealRecording(row.path, row.speaker, row.session) for row in rows)


def _of_lists(paths: Sequence[Path], real: tuple[RealRecording, ...]) -> CloneSet:
    recordings = [path for path in paths if path.suffix.lower() in AUDIO_SUFFIXES]
    if recordings:
        raise DataError(
            f"{recordings[0]}: is a recording. Give folders of recordings or a list of pairs "
            "(lines: synthesized, reference); `timbral verify` compares two recordings"
        )
    listed = [
        replace(clone, system=clone.system or system)
        for path, system in zip(paths, _systems(paths), strict=True)
        for clone in read_clone_list(path)
    ]
    return _with_speakers(listed, real)


def _of_meta(
    listed: Sequence[ListedClone], folders: Sequence[Path], real: tuple[RealRecording, ...]
) -> CloneSet:
    clones, failures = [], []
    for folder, system in zip(folders, _systems(folders), strict=True):
        if not folder.is_dir():
            raise DataError(
                f"{folder}: is not a folder; give the folder of the synthesized recordings"
            )
        by_name = _by_name(folder)
        for each in listed:
            path = by_name.get(each.name)
            if path is None:
                missing = f"{folder}/{each.name}.wav"
                failures.append(AudioError(missing, "no such file", "missing"))
            else:
                clones.append(replace(each, synthesized=path, system=system))
    return replace(_with_speakers(clones, real), failures=tuple(failures))


def _of_folders(
    paths: Sequence[Path], layout: str, real: tuple[RealRecording, ...], to_speaker: bool
) -> CloneSet:
    if len(paths) < 2 or not all(path.is_dir() for path in paths[:-1]):
        raise DataError(
            "give a list of clones and references, or the folder of the synthesized recordings "
            f"followed by that of the references; got {', '.join(map(str, paths))}"
        )
    *folders, last = paths
    references, known = _references(last, layout)
    names: dict[str, RealRecording] = {}
    for each in references:
        before = names.setdefault(_name(each.path, last), each)
        if before is not each:
            raise DataError(f"{each.path} and {before.path}: {SAME_NAME}")
    stems = _unique_stems(names)
    speakers = {each.speaker for each in references} if known else set()
    listed, of_folders, failures = [], [], []
    for system, name, path in _synthesized(folders):
        speaker = _speaker_of_folder(name, speakers)
        found = names.get(name) or stems.get(Path(name).name)
        if found is not None and speaker in ("", found.speaker):
            own = found.speaker if known else ""
            listed.append(ListedClone(name, path, found.path, own, system))
        elif speaker and to_speaker:
            of_folders.append(Clone(name, system, path, (), speaker))
        else:
            reason = f"has no reference of the same name in {last}"
            if speaker:
                reason += f"; `to_speaker` compares it with all recordings of {speaker}"
            failures.append(AudioError(path, reason, "missing"))
    clones = _with_speakers(listed, (*references, *real) if known else real)
    return replace(clones, clones=(*clones.clones, *of_folders), failures=tuple(failures))


def _synthesized(folders: Sequence[Path]) -> Iterator[tuple[str, str, str]]:
    """System, name and path of each recording in the folders."""
    for folder, system in zip(folders, _systems(folders), strict=True):
        for name, path in sorted(_by_name(folder).items()):
            yield system, name, path


def _speaker_of_folder(name: str, speakers: Collection[str]) -> str:
    """The speaker in whose folder a synthesized recording is; empty if there is none."""
    return next((each for each in Path(name).parts[:-1] if each in speakers), "")


def _references(folder: Path, layout: str) -> tuple[tuple[RealRecording, ...], bool]:
    """The references, and whether their speakers are known; not in a folder without subfolders."""
    inside = list(folder.iterdir()) if folder.is_dir() and layout == "auto" else []
    is_flat = not any(each.is_dir() for each in inside)
    if is_flat and any(each.suffix.lower() in AUDIO_SUFFIXES for each in inside):
        files = [os.path.abspath(path) for path in audio_files(folder)]
        return tuple(RealRecording(path, path) for path in files), False
    return _real_recordings(folder, layout), True


def _with_speakers(listed: Sequence[ListedClone], real: Iterable[RealRecording]) -> CloneSet:
    """Clones with the speakers of their references: from the list, else from the real recordings,
    else each reference is a speaker of its own.
    """
    known = {each.path: each for each in real}
    clones, used, notes = [], [], set()
    first_of = _linked(listed)
    for each in listed:
        recording = known.get(each.reference)
        speaker = each.speaker or (recording.speaker if recording else "")
        if not speaker:
            notes.add(PROMPTS_ALONE if each.truth else NO_SPEAKERS)
        speaker = speaker or first_of[each.reference]
        clones.append(Clone(each.name, each.system, each.synthesized, (each.reference,), speaker))
        used.append(recording or RealRecording(each.reference, speaker))
        if each.truth:
            used.append(RealRecording(each.truth, speaker, "recording of the text"))
    return CloneSet(tuple(clones), unique([*used, *known.values()]), notes=tuple(sorted(notes)))


def _linked(listed: Sequence[ListedClone]) -> dict[str, str]:
    """The speaker of each reference, named after the first reference known to be of that speaker.

    A line of meta.lst says that its two recordings are of one speaker, and each may occur in other
    lines, too.
    """
    first_of: dict[str, str] = {}
    for each in listed:
        one = first_of.setdefault(each.reference, each.reference)
        other = first_of.setdefault(each.truth, one) if each.truth else one
        if other != one:
            first_of = {path: one if first == other else first for path, first in first_of.items()}
    return first_of


def _against_speakers(found: CloneSet) -> CloneSet:
    """Each clone with all recordings of its speaker except its reference."""
    of_speaker: dict[str, list[str]] = {}
    for each in found.bounded().real:
        of_speaker.setdefault(each.speaker, []).append(each.path)
    clones, failures = [], list(found.failures)
    for clone in found.clones:
        others = [path for path in of_speaker[clone.speaker] if path not in clone.references]
        if others:
            clones.append(replace(clone, references=tuple(others)))
        else:
            reason = f"its speaker {clone.speaker} has no other recording than the reference"
            failures.append(AudioError(clone.synthesized, reason, "missing"))
    if not clones:
        raise DataError(f"to_speaker: {failures[-1].reason}; give more of them as `corpus`")
    return replace(found, clones=tuple(clones), failures=tuple(failures))


def _by_name(folder: Path) -> dict[str, str]:
    """The path of each recording below a folder, by its relative path without the suffix."""
    paths: dict[str, str] = {}
    for file in audio_files(folder):
        path = os.path.abspath(file)
        before = paths.setdefault(_name(os.fspath(file), folder), path)
        if before != path:
            raise DataError(f"{before} and {path}: {SAME_NAME}")
    return paths


def _name(path: str, folder: Path) -> str:
    """The name of a recording: its path relative to the folder, without the suffix."""
    if is_url(path) or not os.path.abspath(path).startswith(f"{os.path.abspath(folder)}/"):
        return Path(path).stem
    return os.path.relpath(path, folder).rpartition(".")[0]


def _unique_stems(names: dict[str, RealRecording]) -> dict[str, RealRecording]:
    stems: dict[str, list[RealRecording]] = {}
    for name, recording in names.items():
        stems.setdefault(Path(name).name, []).append(recording)
    return {stem: found[0] for stem, found in stems.items() if len(found) == 1}


def _systems(paths: Sequence[Path]) -> list[str]:
    """The names of systems: as much of the path of their folders or lists as makes them unique."""
    whole = [Path(os.path.abspath(path)) for path in paths]
    repeated = next((path for path in whole if whole.count(path) > 1), None)
    if repeated is not None:
        raise DataError(f"{repeated}: is given twice; give each system once")
    ends = [each.with_suffix("") if each.is_file() else each for each in whole]
    length = 1
    while length < max(len(each.parts) for each in ends):
        names = ["/".join(each.parts[-length:]) for each in ends]
        if len(set(names)) == len(names):
            return names
        length += 1
    return [str(each) for each in whole]
