"""Folders and lists of other tools that cannot be used: each reader says so in one line."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from conftest import Ask
from timbral.bulk.check_sources import recordings_of
from timbral.data.corpora.passed_over import count_passed_over
from timbral.data.sources import find_utterances
from timbral.demo.shipped import VOICES
from timbral.errors import TimbralError

RECORDING = next(VOICES.glob("*/*.ogg"))
CONTENT = RECORDING.read_bytes()
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
Write = Callable[[Path], Path | None]


def files(**content: str | bytes) -> Write:
    """A folder of files; ``__`` in a name is a dot."""

    def write(folder: Path) -> None:
        for name, each in content.items():
            data = each.encode() if isinstance(each, str) else each
            (folder / name.replace("__", ".")).write_bytes(data)

    return write


def table(name: str, content: str) -> Write:
    def write(folder: Path) -> Path:
        (folder / name).write_text(content)
        return folder / name

    return write


def dataset(rows: int = 1, content: bytes | None = CONTENT, **columns: Any) -> Write:
    """A saved dataset; without columns its Arrow file is missing."""

    def write(folder: Path) -> None:
        (folder / "dataset_info.json").write_text("{}")
        if columns:
            audio = pa.array([{"bytes": content, "path": None}] * rows, AUDIO)
            whole = pa.table({"audio": audio, **columns})
            with pa.ipc.new_stream(str(folder / "data.arrow"), whole.schema) as file:
                file.write_table(whole)

    return write


def cuts(**changed: Any) -> Write:
    source = {"type": "file", "channels": [0], "source": str(RECORDING)}
    cut = {
        "id": "c",
        "start": 0,
        "duration": 1.0,
        "channel": 0,
        "supervisions": [{"speaker": "x"}],
        "recording": {"id": "r", "sources": [source], "duration": 2.0},
    }
    return files(cuts__jsonl=json.dumps({**cut, **changed}))


def tar(**members: bytes) -> bytes:
    """An archive; ``__`` in a name is a dot."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def row(**values: object) -> str:
    return json.dumps({"audio_filepath": str(RECORDING), "label": "x", **values})


CUT_OFF = gzip.compress(row().encode() * 50)[:60]
COMMAND = {"type": "command", "channels": [0], "source": "rm x"}
SHAR = {"cuts.000000.jsonl": json.dumps({"id": "c", "supervisions": [{"speaker": "x"}]})}
SHAR = {name.replace(".", "__"): each for name, each in SHAR.items()}
ONE = tar(x__ogg=CONTENT, x__json=b'{"speaker": "s"}')

BAD: dict[str, tuple[Write, str, str]] = {
    "dataset without its file": (dataset(), "auto", r"but no \*\.arrow; layout datasets"),
    "dataset of no rows": (dataset(0, speaker=pa.array([], pa.string())), "auto", "are empty"),
    "dataset without audio": (dataset(content=b"", speaker=["x"]), "auto", "row 1: has no audio"),
    "dataset without speakers": (dataset(text=["x"]), "auto", "with a column of speakers"),
    "dataset of unknown speakers": (dataset(speaker=[None]), "datasets", "no audio|no speaker"),
    "dataset of lists of speakers": (
        dataset(speaker=[["x"]]),
        "auto",
        "'speaker', .* contains lists",
    ),
    "dataset's file cut off": (
        files(dataset_info__json="{}", a__arrow=b"ARROW1"),
        "auto",
        "cannot be read as a dataset's Arrow file",
    ),
    "no dataset": (files(a__txt=""), "datasets", "no audio found in layout datasets"),
    "cuts that are no objects": (files(cuts__jsonl='1\n"x"\n'), "auto", "has no 'recording'"),
    "cuts cut off": (files(cuts__jsonl__gz=CUT_OFF), "auto", "Compressed file ended"),
    "cuts that are no gzip": (files(cuts__jsonl__gz="x"), "auto", "Not a gzipped file"),
    "no cuts": (files(cuts__jsonl=""), "auto", r"\(layout lhotse-cuts\) are empty"),
    "cut of 0 s": (cuts(duration=0), "auto", "'duration' cannot be 0"),
    "cut that begins at no number": (cuts(start="x"), "auto", "'start' cannot be \"x\""),
    "cut of another channel": (cuts(channel=9), "auto", r"uses the channels \['9'\]"),
    "cut of nobody": (cuts(supervisions=[]), "auto", "found no speaker"),
    "cut without sources": (cuts(recording={}), "auto", "has no 'sources'"),
    "cut of a command": (
        cuts(recording={"sources": [COMMAND], "duration": 1}),
        "auto",
        "its source is of the type 'command'",
    ),
    "Shar without archives": (files(**SHAR), "lhotse-shar", r"no recording\.\*\.tar contains"),
    "Shar's archive damaged": (
        files(**SHAR, recording__000000__tar=b"x" * 2_000),
        "auto",
        "cannot be read as an uncompressed tar archive",
    ),
    "recordings without supervisions": (
        files(recordings__jsonl="{}"),
        "auto",
        r"contains \*recordings\*\.jsonl\* but no \*supervisions",
    ),
    "NeMo as a JSON array": (
        table("m.json", f"[{row()}]"),
        "auto",
        "is a JSON array; one object per",
    ),
    "NeMo without labels": (
        table("m.json", row(label=None)),
        "auto",
        "has no speaker, which every row",
    ),
    "NeMo before its beginning": (
        table("m.json", row(offset=-1, duration=1)),
        "auto",
        "got -1 and",
    ),
    "NeMo with lists": (table("m.json", row(label=["x"])), "auto", "'label' should be text"),
    "NeMo's bad line": (table("m.json", f"{row()}\n{{"), "auto", "m.json:2: .*not JSON"),
    "NeMo's empty": (table("m.jsonl", ""), "auto", "m.jsonl: is empty; a table with columns"),
    "tar damaged": (files(a__tar="x" * 2_000), "auto", "uncompressed tar archive .invalid header"),
    "tar compressed": (files(a__tar=gzip.compress(ONE)), "auto", "uncompressed tar archive"),
    "tar cut off": (files(a__tar=ONE[:3_000]), "auto", "unexpected end of data"),
    "tar of nothing": (files(a__tar=""), "auto", "empty file"),
    "tar with a list as JSON": (
        files(a__tar=tar(x__ogg=CONTENT, x__json=b"[1]")),
        "auto",
        "object is needed",
    ),
    "tar with an object as speaker": (
        files(a__tar=tar(x__ogg=CONTENT, x__json=b'{"speaker": {}}')),
        "auto",
        "cls file does not contain a speaker",
    ),
    "Kaldi without utt2spk": (
        files(wav__scp=f"a {RECORDING}\n"),
        "auto",
        r"contains wav\.scp but no utt2spk; layout kaldi needs both",
    ),
    "Kaldi without wav.scp": (files(utt2spk="a x\n"), "auto", r"contains utt2spk but no wav\.scp"),
    "Kaldi with a pipe": (
        files(wav__scp="a curl http://x/a.wav |\n", utt2spk="a x\n"),
        "auto",
        "curl is not one of the commands understood",
    ),
    "Kaldi's segment backwards": (
        files(wav__scp=f"a {RECORDING}\n", utt2spk="u x\n", segments="u a 1 0\n"),
        "auto",
        "a start and a later end in seconds are needed",
    ),
    "Kaldi's ages no text": (
        files(wav__scp=f"a {RECORDING}\n", utt2spk="a x\n", spk2age=b"x \xff\n"),
        "auto",
        "spk2age:1: is not UTF-8",
    ),
    "list of nothing": (table("l.txt", "\n\n"), "auto", "contains no recording"),
    "layout that raises": (
        files(l__py="def scan(folder):\n    raise RuntimeError('one\\ntwo')\n"),
        "l.py:scan",
        "RuntimeError: one two",
    ),
    "layout of numbers": (
        files(l__py="def scan(folder):\n    return [1]\n"),
        "l.py:scan",
        "it returned a int instead of an Utterance",
    ),
    "layout that is no function": (files(l__py="x = 1\n"), "l.py:x", "or a function that takes"),
    "layout that is not there": (files(l__py="x = 1\n"), "l.py:y", "has no y"),
    "layout that is no Python": (files(l__py="def ("), "l.py:x", "cannot be run .SyntaxError"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, layout, words = BAD[case]
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    source = write(corpus) or corpus
    monkeypatch.chdir(corpus)
    with pytest.raises(TimbralError, match=words) as raised:
        found = find_utterances(source, layout)
        raise found.failures[0]
    line, *more = str(raised.value).splitlines()
    assert not more or (case == "no dataset" and more[0].split()[0] == "expected"), line


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus with a folder that the system refuses to list, also for who may read everything."""
    for name in ("anna", "berta", "locked"):
        (tmp_path / "corpus" / name).mkdir(parents=True)
        (tmp_path / "corpus" / name / f"{name}_1.ogg").write_bytes(CONTENT)
    scan = os.scandir

    def scandir(path: str | Path) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return tmp_path / "corpus"


@pytest.mark.parametrize("layout", ["auto", "folder", "tree"])
def test_a_folder_that_cannot_be_read_is_a_failure(closed: Path, layout: str) -> None:
    found = find_utterances(closed, layout)
    assert [row.speaker for row in found] == ["anna", "berta"]
    (failure,) = found.failures
    assert (failure.path, failure.kind) == (str(closed / "locked"), "unreadable")
    assert "Permission denied" in failure.reason
    assert not count_passed_over([closed], found)  # the recording in it cannot be seen


def test_check_reads_all_but_a_folder_that_cannot_be_read(closed: Path, ask: Ask) -> None:
    (closed / "anna" / "broken.wav").write_bytes(b"no sound")
    answer = ask("check", closed)
    assert (answer.code, answer.out.count(" s of speech in ")) == (1, 2)
    assert f"{closed / 'locked'}: the folder cannot be read (Permission denied)" in answer.err
    assert "1 recording and 1 folder could not be read" in answer.err


def test_a_corpus_that_cannot_be_read_at_all(closed: Path) -> None:
    with pytest.raises(TimbralError, match="the folder cannot be read"):
        find_utterances(closed / "locked", "folder")


def test_marks_of_layouts_in_a_folder_that_cannot_be_read(
    closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`stat` of a file in it is refused, which is no answer to whether the file is there."""
    stat = Path.stat

    def refused(path: Path, **options: bool) -> os.stat_result:
        if "locked" in path.parts[:-1]:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(TimbralError, match="the folder cannot be read"):
        recordings_of([closed / "locked"], "auto")
