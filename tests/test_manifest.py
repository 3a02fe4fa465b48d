"""Tables of utterances, and lists for other tools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import soundfile

from timbral.audio.preprocessing import Preprocessing, load
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.lists.export import write_list
from timbral.data.lists.registry import LIST_FORMATS
from timbral.data.manifest import Manifest, Utterance
from timbral.data.manifest_reader import read_manifest
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.data.sources import find_utterances
from timbral.data.text_columns import TABLE_SUFFIXES
from timbral.errors import AudioError, DataError

ROWS = [
    Utterance("b/2", "b", "s", "/x/b/2.wav", "c"),
    Utterance("a/1", "a", "", "/x/a/1.wav", "c"),
    Utterance("a/0", "a", "é", "/x/a/0.wav", "c"),
]


def test_manifest_is_a_sequence() -> None:
    manifest = Manifest.of(ROWS)
    assert list(manifest) == ROWS
    assert manifest[1] == ROWS[1]
    assert manifest[-1] == ROWS[2]
    assert manifest[1:] == ROWS[1:]
    assert manifest[::-2] == ROWS[::-2]
    assert len(Manifest.of([])) == 0
    with pytest.raises(IndexError):
        manifest[3]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv", ".jsonl"])
def test_tables_of_every_suffix_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"table{suffix}"
    columns = {"speaker": ["7", "3"], "path": ["b/x.y.wav", "/a/z.wav"], "extra": [1, 2]}
    table = pa.table(columns)
    if suffix == ".parquet":
        pa.parquet.write_table(table, path)
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        options = pa.csv.WriteOptions(delimiter="\t" if suffix == ".tsv" else ",")
        pa.csv.write_csv(table, path, options)
    assert list(read_manifest(path)) == [
        Utterance("/a/z", "3", "", "/a/z.wav", "manifest"),
        Utterance("b/x.y", "7", "", f"{tmp_path}/b/x.y.wav", "manifest"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "place,speaker\na,b\n", "no column 'path'.*it has: place, speaker"),
        ("a.csv", "path,speaker\na.wav,b\nb.wav,\n", "row 2 has no speaker"),
        ("a.csv", "path,speaker,utterance\na,b,u\nb,b,u\n", "more than one file, such as 'u'"),
        ("a.csv", "path,speaker\n", "contains no utterances"),
        ("a.jsonl", "{", "cannot be read as a table"),
        ("a.jsonl", '{"path": ["a"], "speaker": "b"}\n', "column 'path' should be text"),
        ("a.parquet", "x", "cannot be read as a table"),
        ("a.xlsx", "x", r"a table \(\.parquet, \.csv"),
    ],
)
def test_unusable_tables_are_errors(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=words):
        read_manifest(tmp_path / name)


@pytest.mark.parametrize("format", LIST_FORMATS)
def test_lists_survive_every_format(voices: Path, tmp_path: Path, format: str) -> None:
    rows = scan_corpus("folder", voices)
    suffix = f".{format}" if LIST_FORMATS[format].layout is None else ""
    assert write_list(rows, tmp_path / f"list{suffix}", format) == (48, 0)
    assert (tmp_path / f"list{suffix}").exists()
    if not suffix or suffix in TABLE_SUFFIXES:  # others are only written
        back = find_utterances(tmp_path / f"list{suffix}", format)
        assert [(r.utterance, r.speaker, r.session, r.path) for r in back] == [
            (r.utterance, r.speaker, r.session, r.path) for r in rows
        ]


def test_prepared_from_a_table_equals_prepared_from_the_folder(
    store: Store, voices: Path, tmp_path: Path
) -> None:
    write_list(scan_corpus("folder", voices), tmp_path / "list.jsonl", "jsonl")
    prepare(read_manifest(tmp_path / "list.jsonl"), tmp_path / "out", Preprocessing())
    again = Store.open(tmp_path / "out")
    assert again.table.drop_columns(["corpus"]) == store.table.drop_columns(["corpus"])
    np.testing.assert_array_equal(again.pcm(5), store.pcm(5))


def test_kaldi_ids_have_no_blanks(tmp_path: Path) -> None:
    rows = [Utterance("u 1", "Ann B", "s 1", "/x y.wav", "c")]
    write_list(Manifest.of(rows), tmp_path, "kaldi")
    assert (tmp_path / "wav.scp").read_text() == "Ann_B-u_1 /x y.wav\n"
    assert (tmp_path / "utt2session").read_text() == "Ann_B-u_1 s_1\n"
    (back,) = scan_corpus("kaldi", tmp_path)
    assert (back.speaker, back.session, back.path) == ("Ann_B", "s_1", "/x y.wav")
    clash = [Utterance("u 1", "a", "", "/x", "c"), Utterance("u_1", "a", "", "/y", "c")]
    with pytest.raises(DataError, match="cannot contain spaces"):
        write_list(Manifest.of(clash), tmp_path, "kaldi")


@pytest.mark.filterwarnings("ignore")
def test_lhotse_itself_reads_and_writes_them(voices: Path, tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    for row in scan_corpus("folder", voices)[:5]:
        path = tmp_path / "wav" / f"{row.utterance}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, load(row.path), 16_000)  # of others Lhotse makes pipes for Kaldi
    rows = scan_corpus("folder", tmp_path / "wav")
    write_list(rows, tmp_path / "ours", "lhotse")
    recordings = lhotse.RecordingSet.from_file(tmp_path / "ours" / "recordings.jsonl.gz").to_eager()
    supervisions = lhotse.SupervisionSet.from_file(tmp_path / "ours" / "supervisions.jsonl.gz")
    lhotse.validate_recordings_and_supervisions(recordings, supervisions)
    assert {s.id: s.speaker for s in supervisions} == {r.utterance: r.speaker for r in rows}
    samples = recordings[rows[0].utterance].load_audio()
    assert samples.shape == (1, recordings[rows[0].utterance].num_samples)

    theirs = tmp_path / "theirs"
    theirs.mkdir()
    recordings.to_file(theirs / "corpus_recordings_all.jsonl.gz")
    supervisions.to_file(theirs / "corpus_supervisions_all.jsonl")
    back = scan_corpus("lhotse", theirs)
    assert [(r.utterance, r.speaker, r.path) for r in back] == [
        (r.utterance, r.speaker, r.path) for r in rows
    ]
    lhotse.kaldi.export_to_kaldi(recordings, supervisions, tmp_path / "kaldi")
    assert [r.speaker for r in scan_corpus("kaldi", tmp_path / "kaldi")] == [
        r.speaker for r in rows
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recording_id": "other"}, "not listed"),
        ({"speaker": None}, "names no speaker"),
    ],
)
def test_unusable_lhotse_manifests_are_errors(
    voices: Path, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    import gzip

    write_list(Manifest.of(scan_corpus("folder", voices)[:1]), tmp_path, "lhotse")
    path = tmp_path / "supervisions.jsonl.gz"
    row = {**json.loads(gzip.decompress(path.read_bytes())), **change}
    path.write_bytes(gzip.compress(json.dumps(row).encode()))
    with pytest.raises(DataError, match=words):
        scan_corpus("lhotse", tmp_path)


def test_unreadable_files_are_left_out_of_lhotse(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no audio")
    rows = [Utterance("a", "s", "", str(tmp_path / "a.wav"), "c")]
    assert write_list(Manifest.of(rows), tmp_path / "out", "lhotse") == (0, 1)
    assert "cannot be read" in (tmp_path / "out" / "failures.jsonl").read_text()


@pytest.mark.parametrize("format", ["csv", "nemo", "kaldi"])
def test_failures_of_an_earlier_list_are_removed(voices: Path, tmp_path: Path, format: str) -> None:
    row = scan_corpus("folder", voices)[0]
    output = tmp_path / "list"
    unusable = AudioError("list.txt:2", "has no speaker", "bad-line")
    assert write_list(Manifest.of([row, unusable]), output, format) == (1, 1)
    (failures,) = tmp_path.rglob("*failures.jsonl")
    assert "has no speaker" in failures.read_text()
    assert write_list(Manifest.of([row]), output, format) == (1, 0)
    assert not failures.exists()


def test_lines_of_odd_json_are_errors(tmp_path: Path) -> None:
    good = b'{"path": "a.wav", "speaker": "a"}\n'
    for bad in (b'{"path": ' * 5_000, b'{"path": "\x80.wav", "speaker": "b"}'):
        (tmp_path / "x.jsonl").write_bytes(good + bad + b"\n")
        with pytest.raises(DataError, match=r"x\.jsonl"):
            read_manifest(tmp_path / "x.jsonl")
