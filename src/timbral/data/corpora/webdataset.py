"""WebDataset: tar archives in which the files of a sample have one name up to its first dot.

``a/0001.flac``, ``a/0001.json``: the speaker stands in the JSON, under a name that tools use
(`timbral.data.column_aliases`), or is the text of ``a/0001.cls``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from timbral.audio.decode import AUDIO_SUFFIXES
from timbral.data.column_aliases import find_columns
from timbral.data.corpora.corpus import Corpus
from timbral.data.corpora.tar_members import TarMember, tar_members
from timbral.data.manifest import Utterance
from timbral.errors import AudioError
from timbral.io.json_parsing import parse_json

__all__ = ["WEBDATASET", "samples_of_archive"]


def _scan(root: Path) -> Iterator[Utterance | AudioError]:
    absolute = Path(os.path.abspath(root))
    for archive in sorted(absolute.rglob("*.tar")):
        shard = archive.relative_to(absolute).with_suffix("").as_posix()
        yield from samples_of_archive(archive, shard)


def samples_of_archive(archive: Path, shard: str) -> Iterator[Utterance | AudioError]:
    """The samples of one archive; `shard` begins their ids."""
    samples: dict[str, dict[str, TarMember]] = {}
    for member in tar_members(archive):
        if isinstance(member, AudioError):
            yield member
            continue
        folder, _, file = member.name.rpartition("/")
        key, _, ending = file.partition(".")
        name = f"{folder}/{key}" if folder else key
        samples.setdefault(name.removeprefix("./"), {})[ending.lower()] = member
    for name, files in samples.items():
        yield _utterance(f"{shard}/{name}", files)


def _utterance(name: str, files: Mapping[str, TarMember]) -> Utterance | AudioError:
    audio = [member for ending, member in files.items() if f".{ending}" in AUDIO_SUFFIXES]
    where = f"{next(iter(files.values())).archive}: {name}"
    if len(audio) != 1:
        problem = f"has {len(audio)} recordings ({', '.join(files)})"
        return AudioError(where, f"{problem}; one sample is one recording", "bad-line")
    try:
        fields, further = _fields(files)
    except ValueError as error:
        return AudioError(where, f"its JSON or cls cannot be read ({error})", "bad-line")
    if not fields.get("speaker"):
        reason = "its JSON (speaker, spk, …) or cls file does not contain a speaker"
        return AudioError(where, reason, "no-speaker")
    session = fields.get("session", "")
    recording = audio[0].recording
    speaker = fields["speaker"]
    return Utterance(name, speaker, session, recording, "webdataset", further=further)


def _fields(files: Mapping[str, TarMember]) -> tuple[dict[str, str], dict[str, Any]]:
    """Speaker and session of a sample as text, and the further values of its JSON."""
    fields: dict[str, str] = {}
    further: dict[str, Any] = {}
    if "json" in files:
        content: Any = parse_json(files["json"].text())
        if not isinstance(content, dict):
            raise ValueError("a JSON object is needed")
        columns = find_columns(list(content))
        further = {name: content[name] for name in content if name not in columns.values()}
        for name, column in columns.items():
            if isinstance(content[column], str | int):
                fields[name] = str(content[column])
    if "speaker" not in fields and "cls" in files:
        fields["speaker"] = files["cls"].text().strip()
    return fields, further


WEBDATASET = Corpus(_scan, ("*.tar, in it NAME.flac, NAME.json (or NAME.cls)",))
