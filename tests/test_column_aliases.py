"""Tables whose columns have other tools' names; manifests of NeMo."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
import soundfile

import timbral
from conftest import Ask
from timbral.data.manifest_reader import read_manifest
from timbral.errors import DataError

NEMO = [
    {"audio_filepath": "a/1.wav", "offset": 0, "duration": 1.5, "label": "ann", "text": "x"},
    {"audio_filepath": "a/1.wav", "offset": 1.5, "duration": 0.5, "label": "ann", "text": "y"},
    {"audio_filepath": "b/1.wav", "offset": None, "duration": 2.0, "label": "007", "text": "z"},
]


def lines(rows: list[dict[str, object]]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.jsonl"])
def test_a_manifest_of_nemo(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(lines(NEMO))
    found = read_manifest(tmp_path / name)
    assert [(row.speaker, row.path.removeprefix(f"{tmp_path}/")) for row in found] == [
        ("007", "b/1.wav"),
        ("ann", "a/1.wav#t=0,1.5"),
        ("ann", "a/1.wav#t=1.5,2"),
    ]
    assert found.layout == "table, path is audio_filepath, speaker is label, start is offset"


TABLES = {
    "client_id,path\nx,1.wav\n": ("x", "1.wav"),
    "utt,spk,wav\nu,x,1.wav\n": ("x", "1.wav"),
    "file,speaker_id,label\n1.wav,x,yes\n": ("x", "1.wav"),
    "filename,label\n1.wav,x\n": ("x", "1.wav"),
    "Path,Speaker\n1.wav,x\n": ("x", "1.wav"),
    "PATH;Client_ID\n1.wav;x\n": ("x", "1.wav"),
    "Path,path,SPEAKER\n2.wav,1.wav,x\n": ("x", "1.wav"),
}


@pytest.mark.parametrize("content", TABLES)
def test_known_names_of_columns(content: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    (row,) = read_manifest(tmp_path / "t.csv")
    assert (row.speaker, row.path.removeprefix(f"{tmp_path}/")) == TABLES[content]
    assert row.utterance == ("u" if "utt" in content else "1")


def test_our_own_names_win(tmp_path: Path) -> None:
    table = pa.table({"path": ["1.wav"], "speaker": ["x"], "label": ["y"], "offset": ["3"]})
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    found = read_manifest(tmp_path / "t.parquet")
    assert [(row.speaker, row.path) for row in found] == [("x", f"{tmp_path}/1.wav")]
    assert found.layout == ""


BAD = {
    "Path,PATH,speaker\na.wav,b.wav,x\n": "t.csv: which column is path: Path or PATH",
    "wav,Spk,SPK\na.wav,x,y\n": "t.csv: which column is spk: Spk or SPK",
    "a,b\n1,2\n": "has no column 'path', nor audio_filepath, .* it has: a, b",
    "wav,x\n1.wav,2\n": "has no column 'path'|has no column 'speaker'",
    "wav,spk\n,x\n": "row 1 has no path",
    "wav,spk,offset,duration\na.wav,x,one,2\n": "'start' should be seconds, got 'one'",
    "wav,spk,offset,duration\na.wav,x,1,0\n": "start of 0 s or more and a later end, got 1 and 1",
    "wav,wav,spk\na.wav,a.wav,x\n": "has the column 'wav' 2 times",
}


@pytest.mark.parametrize("content", BAD)
def test_bad_tables_are_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(DataError, match=BAD[content]) as raised:
        read_manifest(tmp_path / "t.csv")
    assert "\n" not in str(raised.value)


def test_capitals_are_told_and_kept_from_further_columns(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Path,Speaker,Gender\n1.wav,x,f\n")
    found = read_manifest(tmp_path / "t.csv")
    assert found.layout == "table, path is Path, speaker is Speaker"
    assert found.further_names == ["Gender"]


def test_capitals_beside_path_and_speaker_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,speaker,Start,END,Session,Utterance\n1.wav,x,1,2,s,u\n")
    found = read_manifest(tmp_path / "t.csv")
    (row,) = found
    assert (row.path, row.session, row.utterance) == (f"{tmp_path}/1.wav#t=1,2", "s", "u")
    assert found.layout == (
        "table, utterance is Utterance, session is Session, start is Start, end is END"
    )
    assert found.further_names == []


def test_names_are_told(ask: Ask, voices: Path, tmp_path: Path) -> None:
    paths = sorted(voices.glob("*/*.ogg"))[:8]
    rows = [{"audio_filepath": str(path), "label": path.parent.name} for path in paths]
    (tmp_path / "m.json").write_text(lines(rows))
    answer = ask("export-list", tmp_path / "m.json", "--output", tmp_path / "l.csv", "--format",
                 "csv")  # fmt: skip
    assert answer.code == 0, answer.err
    assert "layout: table, path is audio_filepath, speaker is label, 2 speakers" in answer.err


def test_nemo_and_back(voices: Path, tmp_path: Path) -> None:
    paths = sorted(voices.glob("*/*.ogg"))[:3]
    table = {"path": [str(paths[0]), f"{paths[1]}#t=0.25,0.75", str(paths[2]), "/none.wav"],
             "speaker": ["x", "x", "y", "y"]}  # fmt: skip
    pa.parquet.write_table(pa.table(table), tmp_path / "t.parquet")
    output = tmp_path / "m.jsonl"
    for _ in range(2):  # its own output is written again
        done = timbral.export_list(tmp_path / "t.parquet", output, format="nemo")
    assert done == (3, 1)
    (failure,) = [json.loads(line) for line in open_lines(tmp_path / "m.jsonl.failures.jsonl")]
    assert failure["kind"] == "missing"
    rows = [json.loads(line) for line in open_lines(output)]
    info = soundfile.info(str(paths[0]))
    assert rows[0]["duration"] == pytest.approx(info.frames / info.samplerate, abs=1e-3)
    assert (rows[1]["offset"], rows[1]["duration"], rows[1]["label"]) == (0.25, 0.5, "x")
    again = read_manifest(output)
    assert {row.speaker for row in again} == {"x", "y"}
    assert f"{paths[1]}#t=0.25,0.75" in {row.path for row in again}


def open_lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()
