"""The table of docs/corpora.md: odd ids, quotes, marks and bad lines in every list format."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from timbral.data.sources import find_utterances
from timbral.data.speakers import read_speakers
from timbral.errors import DataError
from timbral.scoring.trial_list import Trial
from timbral.scoring.trials import read_trials

ODD_IDS = ["001", "0001", "01", "1", "true", "NA", "1e3", "1.10", "2020-01-01", "an\u3000na"]
MARK = b"\xef\xbb\xbf"


def kaldi(folder: Path, *, mark: bytes = b"", end: bytes = b"\n", **files: list[str]) -> Path:
    for name, lines in files.items():
        path = folder / {"wav": "wav.scp"}.get(name, name)
        path.write_bytes(mark + b"".join(line.encode() + end for line in lines))
    return folder


def lhotse(folder: Path, supervisions: list[object], *, mark: bytes = b"", end: str = "\n") -> Path:
    source = {"type": "file", "channels": [0], "source": "/x/r.wav"}
    recording = {"id": "r", "sources": [source], "sampling_rate": 16_000, "duration": 9.0}
    with gzip.open(folder / "recordings.jsonl.gz", "wb") as file:
        file.write(mark + json.dumps(recording).encode() + end.encode())
    texts = (row if isinstance(row, str) else json.dumps(row) for row in supervisions)
    content = mark + "".join(text + end for text in texts).encode()
    (folder / "supervisions.jsonl").write_bytes(content)
    return folder


def supervision(name: object, **changes: object) -> dict[str, object]:
    row = {"id": name, "recording_id": "r", "start": 1, "duration": 2, "speaker": "s"}
    return {**row, **changes}


def speakers(source: Path, layout: str = "folder") -> list[str]:
    return [row.speaker for row in find_utterances(source, layout)]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_odd_ids_of_tables_stay_as_they_are(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"list{suffix}"
    rows = [{"path": f"{name}.wav", "speaker": name} for name in ODD_IDS]
    if suffix == ".parquet":
        pa.parquet.write_table(pa.Table.from_pylist(rows), path)
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        mark = "," if suffix == ".csv" else "\t"
        lines = [f"path{mark}speaker", *(f"{name}.wav{mark}{name}" for name in ODD_IDS)]
        path.write_text("\n".join(lines), "utf-8")
    assert speakers(path) == sorted(ODD_IDS)
    assert [row.utterance for row in find_utterances(path)] == [
        re.sub(r"\.wav$", "", f"{name}.wav") for name in sorted(ODD_IDS)
    ]


def test_odd_ids_of_folders_of_lists_stay_as_they_are(tmp_path: Path) -> None:
    utt2spk = [f"{name} {name}" for name in ODD_IDS]
    scp = [f"{name} /x/{name}.wav" for name in ODD_IDS]
    assert speakers(kaldi(tmp_path, wav=scp, utt2spk=utt2spk), "kaldi") == sorted(ODD_IDS)
    rows = [supervision(name, speaker=name) for name in ODD_IDS]
    assert speakers(lhotse(tmp_path, rows), "lhotse") == sorted(ODD_IDS)
    (tmp_path / "s.txt").write_text("\n".join(ODD_IDS), "utf-8")
    assert read_speakers(tmp_path / "s.txt") == ODD_IDS
    lines = "".join(f"1 {name} b\n0 {name} c\n" for name in ODD_IDS)
    (tmp_path / "t.txt").write_text(lines, "utf-8")
    assert [trial.first for trial in read_trials(tmp_path / "t.txt")[::2]] == ODD_IDS


def test_quotes_are_content_where_a_format_has_none(tmp_path: Path) -> None:
    folder = kaldi(tmp_path, wav=['u "/x/a".wav'], utt2spk=['u "a"'])
    [row] = find_utterances(folder, "kaldi")
    assert (row.speaker, row.path) == ('"a"', f'{tmp_path}/"/x/a".wav')
    (tmp_path / "s.txt").write_text('"a"\n')
    assert read_speakers(tmp_path / "s.txt") == ['"a"']
    (tmp_path / "t.txt").write_text('1 "a" b\n0 "a" c\n')
    assert read_trials(tmp_path / "t.txt")[0].first == '"a"'
    [row] = find_utterances(lhotse(tmp_path, [supervision("u", speaker='"a"')]), "lhotse")
    assert row.speaker == '"a"'


def test_numbers_in_json_are_the_text_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"path": "a.wav", "speaker": 1.10}\n{"path": "b.wav", "speaker": 17}\n'
        '{"path": "c.wav", "speaker": true}\n{"path": "d.wav", "speaker": "1.1"}\n'
    )
    assert speakers(tmp_path / "a.jsonl") == ["1.1", "1.10", "17", "true"]
    rows = [supervision(5, speaker=17, custom={"session": 3})]
    [row] = find_utterances(lhotse(tmp_path, rows), "lhotse")  # type: ignore[arg-type]
    assert (row.utterance, row.speaker, row.session) == ("5", "17", "3")


@pytest.mark.parametrize("session", [None, {}])
def test_no_session_is_not_called_none(tmp_path: Path, session: object) -> None:
    custom = {"session": None} if session is None else None
    [row] = find_utterances(lhotse(tmp_path, [supervision("u", custom=custom)]), "lhotse")
    assert row.session == ""


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.csv", 'path,speaker,text\n"a, b.wav",x,"He said ""no"""\nb.wav,y,5" wide\n', 2),
        ("a.csv", 'path,speaker,text\na.wav,x,"two\nlines"\nb.wav,y,\n', 2),
        ("a.csv", 'path,speaker,text\na.wav,x,"Yes\nb.wav,y,No\nc.wav,z,ok\n', 3),
        ("a.tsv", 'path\tspeaker\ttext\na.wav\tx\t"Yes," he said.\nb.wav\ty\t"No\n', 2),
        ("a.csv", 'path,speaker,text\na.wav,x,"Yes\nb.wav,y\nc.wav,z,ok\n', "a.csv:2: unexpected"),
        ("a.csv", 'path,speaker,text\na.wav,x,"Yes\nb.wav,y,No\n"c.wav",z,ok\n', "a.csv:2: .*quot"),
        (
            "a.csv",
            'path,speaker,text\na.wav,x,"Yes\nb.wav,y,No\nc.wav,z,"\n"d.wav",x,\n',
            "a.csv:2: a quoted value extends over the following rows",
        ),
    ],
)
def test_quotes_lose_no_rows(tmp_path: Path, name: str, text: str, expected: int | str) -> None:
    (tmp_path / name).write_text(text)
    if isinstance(expected, int):
        assert len(find_utterances(tmp_path / name)) == expected
        return
    with pytest.raises(DataError, match=expected):
        find_utterances(tmp_path / name)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", MARK], ids=["plain", "mark"])
def test_marks_and_line_ends_are_no_content(tmp_path: Path, mark: bytes, end: str) -> None:
    def write(name: str, *lines: str) -> Path:
        (tmp_path / name).write_bytes(mark + "".join(line + end for line in lines).encode())
        return tmp_path / name

    assert speakers(write("a.csv", "path,speaker", "a.wav,x", "b.wav,y")) == ["x", "y"]
    assert speakers(write("a.tsv", "path\tspeaker", "a.wav\tx", "b.wav\ty")) == ["x", "y"]
    assert read_speakers(write("s.txt", "x", "", " y ")) == ["x", "y"]
    trials = read_trials(write("t.txt", "1 a b", "0 a c"))
    assert trials == [Trial(1, "a", "b"), Trial(0, "a", "c")]
    lists = {"wav": ["u /x/a.wav", "v /x/b.wav"], "utt2spk": ["u x", "v y"]}
    folder = kaldi(tmp_path, mark=mark, end=end.encode(), **lists)
    assert [(r.speaker, r.path) for r in find_utterances(folder, "kaldi")] == [
        ("x", "/x/a.wav"),
        ("y", "/x/b.wav"),
    ]
    if end != "\r":  # JSON lines end with a line feed
        assert speakers(write("a.jsonl", '{"path": "a.wav", "speaker": "x"}')) == ["x"]
        assert speakers(lhotse(tmp_path, [supervision("u")], mark=mark, end=end), "lhotse") == ["s"]


@pytest.mark.parametrize("quote", ["", '"'])
def test_semicolons_of_a_spreadsheet_separate_columns(tmp_path: Path, quote: str) -> None:
    """As Excel saves UTF-8 where a comma is the decimal point; commas belong to the values."""
    rows = ("path;speaker;seconds", f"{quote}a, b.wav{quote};x;3,5", "c.wav;y, z;2")
    table = tmp_path / "a.csv"
    table.write_text("\r\n".join(rows) + "\r\n", encoding="utf-8-sig", newline="")
    assert [(row.path, row.speaker) for row in find_utterances(table)] == [
        (str(tmp_path / "a, b.wav"), "x"),
        (str(tmp_path / "c.wav"), "y, z"),
    ]
    table.write_text("path;speaker\na.wav\n")
    with pytest.raises(DataError, match=r"a\.csv:2: has 1 values, but the header has 2"):
        find_utterances(table)


def test_bars_of_coqui_separate_columns(tmp_path: Path) -> None:
    """As in the lists that its XTTS recipe trains on; commas and quotes belong to the texts."""
    table = tmp_path / "metadata_train.csv"
    table.write_text('audio_file|text|speaker_name\nwavs/a.wav|Yes, "he|x\nwavs/b.wav|No|y\n')
    assert [(row.path, row.speaker) for row in find_utterances(table)] == [
        (str(tmp_path / "wavs/a.wav"), "x"),
        (str(tmp_path / "wavs/b.wav"), "y"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        "|path|speaker|text|\n|---|---|---|\n|a, b.wav|x|\\||\n|c.wav|y||\n",
        "path | speaker | text\n:--- | :-: | --:\na, b.wav | x | \\|\n\n| c.wav | y | |\n",
    ],
)
def test_the_rule_of_a_markdown_table_is_no_recording(tmp_path: Path, content: str) -> None:
    table = tmp_path / "a.csv"
    table.write_text(content)
    rows = find_utterances(table)
    assert [(row.utterance, row.speaker, row.further["text"]) for row in rows] == [
        ("a, b", "x", "|"),
        ("c", "y", None),
    ]
    table.write_text("|path|speaker|\n|--|--|\n|a.wav|x|\n|b.wav|\n")
    with pytest.raises(DataError, match=r"a\.csv:4: has 1 values, but the header has 2"):
        find_utterances(table)


def test_a_quotation_over_several_rows_with_bars_joins_none(tmp_path: Path) -> None:
    """Else the first would get the last one's speaker; a value in quotes may contain a bar."""
    table = tmp_path / "a.csv"
    table.write_text('path|text|speaker\na.wav|"Yes|x\nb.wav|I do."|y\nc.wav||y\n')
    rows = find_utterances(table)
    assert [(row.utterance, row.speaker) for row in rows] == [("a", "x"), ("b", "y"), ("c", "y")]
    assert [row.further["text"] for row in rows] == ['"Yes', 'I do."', None]
    for content in ('path|text|speaker\na.wav|"Y|n"|x\n', '"path"|"speaker"\n"a.wav"|"x"\n'):
        table.write_text(content)
        assert [(row.utterance, row.speaker) for row in find_utterances(table)] == [("a", "x")]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"path,speaker\na.wav\n", "a.csv:2: has 1 values, but the header has 2"),
        ("a.csv", b"path\tspeaker\na.wav\tx\n", "columns are separated by commas, semicolons or"),
        ("a.csv", b"path,speaker,speaker\na.wav,x,y\n", "has the column 'speaker' 2 times"),
        ("a.csv", b"path,speaker\n\xe9.wav,x\n", "is not UTF-8; save the table as UTF-8"),
        ("a.csv", "path,speaker\na.wav,x\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ("a.csv", b"path,speaker\na\0.wav,x\n", "row 1 has a NUL character"),
        ("a.csv", b"path,speaker\nC:\\d\\e.wav,x\n", "row 1 has the Windows path"),
        ("a.csv", b"path,speaker\nfile://host/e.wav,x\n", "is not a file on this machine"),
        ("a.jsonl", b'{"path": "a", "speaker": "b"}\n[]\n', "a.jsonl:2: an object is needed"),
        (
            "a.jsonl",
            b'{"path": "a", "speaker": "b"}\n{"pa\n',
            "a.jsonl:2: cannot be read as a table",
        ),
        ("a.jsonl", b'{"path": "a", "speaker": "b\\u0000"}\n', "row 1 has a NUL character"),
    ],
)
def test_bad_lines_of_tables_are_named(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        find_utterances(tmp_path / name)


def test_what_is_not_used_of_a_table_may_be_anything(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"path,speaker,t\xe9xt,t\xe9xt\na.wav,x,\xe9,1\n")
    assert speakers(tmp_path / "a.csv") == ["x"]


def test_numbers_that_once_were_ids_are_refused(tmp_path: Path) -> None:
    """pandas turns a column of 007 and nothing into 7.0 and NaN."""
    pa.parquet.write_table(pa.table({"path": ["a"], "speaker": [7.0]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="'speaker' should be text, got double; write it as string"):
        find_utterances(tmp_path / "a.parquet")


def test_locations_of_lists(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "path,speaker\ns3://b/a.wav,1\nfile:///x/a%20b.wav,2\nfile:/x/c.wav#t=1.5,3\nd/e.wav,4\n"
    )
    paths = ["s3://b/a.wav", "/x/a b.wav", "/x/c.wav#t=1.5", f"{tmp_path}/d/e.wav"]
    assert [row.path for row in find_utterances(tmp_path / "a.csv")] == paths
    scp = ["u s3://b/a.wav", "v file:///x/a%20b.wav", "w file:/x/c.wav#t=1.5", "x d/e.wav"]
    folder = kaldi(tmp_path, wav=scp, utt2spk=["u 1", "v 2", "w 3", "x 4"])
    assert [row.path for row in find_utterances(folder, "kaldi")] == paths


def test_bad_lines_of_a_kaldi_folder_are_failures(tmp_path: Path) -> None:
    segments = ["u r 0 1", "v r 3 2", "w r", "x other 0 1", "y r 1 2 1", "z pipe 0 1", "q"]
    folder = kaldi(
        tmp_path, wav=["r /x/r.wav", "pipe wget -O - r.wav |", "d"], segments=segments,
        utt2spk=["u a", "v a", "w a", "x a", "y b", "z a"],
    )  # fmt: skip
    found = find_utterances(folder, "kaldi")
    assert [row.path for row in found] == ["/x/r.wav#t=0,1", "/x/r.wav#t=1,2&channel=1"]
    reasons = {failure.path: failure.reason for failure in found.failures}
    assert list(reasons) == [
        f"{tmp_path}/{place}"
        for place in ("wav.scp:3", "segments:7", "segments:2", "segments:3", "segments:4")
    ] + [f"{tmp_path}/segments:6"]
    assert "a later end in seconds are needed, got 'r 3 2'" in reasons[f"{tmp_path}/segments:2"]
    assert "runs no commands" in reasons[f"{tmp_path}/segments:6"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"id": "v"}, "v: has no 'recording_id'"),
        (supervision("v", start=None), "v: has no 'start'"),
        (supervision("v", start=[1]), r"v: 'start' cannot be \[\"1\"\]"),
        (supervision("v", duration="x"), "v: 'duration' cannot be \"x\""),
        (supervision("v", speaker=["a"]), "v: 'speaker' cannot be"),
        (supervision("v", speaker=None), "v: names no speaker"),
        (supervision("v", recording_id="q"), "v: belongs to recording 'q', which is not listed"),
        (supervision("v", channel=3), "v: uses the channels"),
        (supervision("v", custom={"session": ["a"]}), "v: 'session' cannot be"),
        ("[1]", "is not a JSON object"),
        ("{", "is not a JSON object"),
    ],
)
def test_bad_lines_of_lhotse_are_failures(tmp_path: Path, row: object, words: str) -> None:
    found = find_utterances(lhotse(tmp_path, [supervision("u"), row]), "lhotse")
    assert [row.path for row in found] == ["/x/r.wav#t=1,3"]
    [failure] = found.failures
    assert failure.path == f"{tmp_path}/supervisions.jsonl:2"
    assert re.match(words, failure.reason)


def test_names_of_lists_that_are_not_utf8(tmp_path: Path) -> None:
    folder = kaldi(tmp_path, wav=["u /x/a.wav"], utt2spk=["u a"])
    (folder / "utt2spk").write_bytes(b"u \xe9\n")
    with pytest.raises(DataError, match="utt2spk:1: is not UTF-8; save the file as UTF-8"):
        find_utterances(folder, "kaldi")
    lhotse(tmp_path, [supervision("u")])
    row = json.dumps(supervision("v", speaker="E")).encode().replace(b"E", b"\xe9")
    with open(tmp_path / "supervisions.jsonl", "ab") as file:
        file.write(row + b"\n")
    found = find_utterances(tmp_path, "lhotse")
    assert [row.utterance for row in found] == ["u"]
    assert "the name is not UTF-8" in found.failures[0].reason


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1 a b.wav c", "separate the columns by tabs"),
        ("2 a b", "t.txt:2: a trial should be `label path path`"),
        ("1 a\0 b", "t.txt:2: contains a NUL"),
        ("1 \udce9 b", "t.txt:2: is not UTF-8"),
    ],
)
def test_bad_trials_are_named(tmp_path: Path, line: str, words: str) -> None:
    text = f"1 a b\n{line}\n0 a c\n"
    (tmp_path / "t.txt").write_text(text, "utf-8", errors="surrogateescape")
    with pytest.raises(DataError, match=words):
        read_trials(tmp_path / "t.txt")
