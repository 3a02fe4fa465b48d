"""What lists say besides names, gender and age, travels into stores, vectors, lists and trials."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lhotse
import pyarrow as pa
import pyarrow.parquet
import pytest

import timbral
from conftest import Ask
from timbral.data.corpora.scanning import scan_corpus, scan_datasets
from timbral.data.further_columns import LONGEST_TEXT, OWN_NAMES
from timbral.data.manifest import Manifest, Utterance
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.data.sources import find_utterances
from timbral.errors import DataError
from timbral.reports.map_columns import map_columns

Made = tuple[Path, str]
"""a corpus, and its layout"""


def further(found: Manifest) -> list[dict[str, Any]]:
    return found.table.select(found.further_names).to_pylist()


def write_lines(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def make_kaldi(root: Path) -> Made:
    write_lines(root / "wav.scp", "u1 a.wav", "u2 b.wav")
    write_lines(root / "utt2spk", "u1 s", "u2 t")
    write_lines(root / "spk2gender", "s f", "t m")
    write_lines(root / "spk2age", "s 031")
    write_lines(root / "text", "u1 hello there", "u2")
    write_lines(root / "utt2dur", "u1 1.5", "u2 2")
    return root, "kaldi"


def make_nemo(root: Path) -> Made:
    rows = [
        {"audio_filepath": "a.wav", "offset": 0, "duration": 1, "label": "s", "age": 31, "w": 1.5},
        {"audio_filepath": "b.wav", "offset": 0, "duration": 1, "label": "t", "age": None, "w": 2},
    ]
    return write_lines(root / "m.json", *map(json.dumps, rows)), "auto"


def make_table(root: Path) -> Made:
    return write_lines(root / "t.csv", "path,speaker,gender,age", "a.wav,s,f,031", "b.wav,t,m,"), ""


def make_lhotse(root: Path) -> Made:
    recordings, supervisions = [], []
    for name, speaker, custom in (("a", "s", {"age": 31}), ("b", "t", None)):
        source = {"type": "file", "channels": [0], "source": f"{name}.wav"}
        recordings.append({"id": name, "sources": [source], "duration": 1.0})
        row = {"id": name, "recording_id": name, "start": 0, "duration": 1, "speaker": speaker}
        supervisions.append({**row, "channel": 0, "gender": "F", "custom": custom})
    write_lines(root / "recordings.jsonl", *map(json.dumps, recordings))
    write_lines(root / "supervisions.jsonl", *map(json.dumps, supervisions))
    return root, "lhotse"


def make_common_voice(root: Path) -> Made:
    header = "client_id\tpath\tsentence\tage\tgender\taccents"
    rows = "s\ta.mp3\thi\tthirties\tfemale_feminine\t", "t\tb.mp3\tyo\t\t\tScottish"
    write_lines(root / "validated.tsv", header, *rows)
    return root, "commonvoice"


def make_vctk(root: Path) -> Made:
    for name in ("p225", "p226"):
        write_lines(root / f"wav48/{name}/{name}_001.wav")
    info = "ID  AGE  GENDER  ACCENTS  REGION COMMENTS", "225  23  F    English    Southern  England"
    write_lines(root / "speaker-info.txt", *info, "p226  22  M  English  (mic2 files are missing)")
    return root, "vctk"


def make_librispeech(root: Path) -> Made:
    for name in ("19/198/19-198-0001.flac", "26/495/26-495-0001.flac"):
        write_lines(root / f"train/{name}")
    lines = ";ID  |SEX| SUBSET", "19   | F | train | 25.03 | Some | Body", "26 | M | train | 1 | O"
    write_lines(root / "SPEAKERS.TXT", *lines)
    return root / "train", "librispeech"


MADE: dict[Callable[[Path], Made], list[dict[str, Any]]] = {
    make_kaldi: [
        {"age": "031", "gender": "f", "dur": "1.5", "text": "hello there"},
        {"age": None, "gender": "m", "dur": "2", "text": None},
    ],
    make_nemo: [{"age": 31, "w": 1.5}, {"age": None, "w": 2.0}],
    make_table: [{"gender": "f", "age": "031"}, {"gender": "m", "age": None}],
    make_lhotse: [{"gender": "F", "age": 31}, {"gender": "F", "age": None}],
    make_common_voice: [
        {"sentence": "hi", "age": "thirties", "gender": "female_feminine", "accents": None},
        {"sentence": "yo", "age": None, "gender": None, "accents": "Scottish"},
    ],
    make_vctk: [
        {"age": 23, "gender": "F", "accent": "English", "region": "Southern England"},
        {"age": 22, "gender": "M", "accent": "English", "region": None},
    ],
    make_librispeech: [{"gender": "F"}, {"gender": "M"}],
}


@pytest.mark.parametrize("make", MADE)
def test_what_is_read(make: Callable[[Path], Made], tmp_path: Path) -> None:
    corpus, layout = make(tmp_path)
    found = find_utterances(corpus, layout or "auto")
    assert further(found) == MADE[make]
    assert not found.left_out
    assert not found.failures
    assert [dict(row.further) for row in found] == MADE[make]


def test_what_is_left_out_is_said(tmp_path: Path, ask: Ask) -> None:
    rows = [
        {"path": "a.wav", "speaker": "s", "license": "MIT", "words": ["a"], "": 1, "ok": True},
        {"path": "b.wav", "speaker": "t", "story": "x" * (LONGEST_TEXT + 1), "ok": 1, "n": 10**30},
        {"path": "c.wav", "speaker": "t", "n": math.nan, "big": 2**62, "bad": "\ud800"},
    ]
    table = write_lines(tmp_path / "t.jsonl", *map(json.dumps, rows))
    found = find_utterances(table)
    assert found.further_names == ["ok", "n", "big", "bad"]
    assert found.table["ok"].to_pylist() == ["true", "1", None]
    assert found.table["n"].to_pylist() == [None, str(10**30), "nan"]
    assert found.table["big"].to_pylist() == [None, None, 2**62]
    assert found.left_out == {
        "license": "has a name that timbral uses itself; rename it to keep it",
        "": "has no usable name",
        "words": "contains lists, objects or bytes",
        "story": "contains texts of more than 1,000 characters",
    }
    answer = ask("export-list", table, "--format", "jsonl", "--output", tmp_path / "out.jsonl")
    assert "columns: ok, n, big, bad\n" in answer.err
    assert "column 'words' is left out: it contains lists, objects or bytes\n" in answer.err


def test_columns_with_one_reason_are_told_in_one_line(ask: Ask, tmp_path: Path) -> None:
    table = write_lines(tmp_path / "t.csv", "path,speaker,license,risks,age", "a.wav,x,MIT,short,3")
    answer = ask("export-list", table, "--format", "jsonl", "--output", tmp_path / "out.jsonl")
    told = [line for line in answer.err.splitlines() if "left out" in line]
    assert told == [
        "columns license, risks are left out: each has a name that timbral uses itself; "
        "rename it to keep it"
    ]


def test_nothing_is_said_of_columns_that_timbral_wrote(ask: Ask, tmp_path: Path) -> None:
    """A table of `cluster` or `embed` that is given back loses nothing that is not made again."""
    header = "path,speaker,duration_seconds,embedding,encoder,weights_sha256,license,confidence"
    table = write_lines(tmp_path / "labels.csv", header, "a.wav,x,1.5,none,mine,abc,MIT,0.9")
    answer = ask("export-list", table, "--format", "jsonl", "--output", tmp_path / "out.jsonl")
    assert answer.err == "columns: confidence\n"
    other = write_lines(
        tmp_path / "t.csv", "path,speaker,duration_seconds,license", "a.wav,x,1,MIT"
    )
    answer = ask("export-list", other, "--format", "jsonl", "--output", tmp_path / "out.jsonl")
    assert answer.err.startswith(
        "column 'license' is left out: it has a name that timbral uses itself"
    )


def test_odd_columns_of_tables(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"path,speaker,x,x,bad,,good\na,s,1,2,\xff,3,4\nb,s,1,2,,3,\n")
    found = find_utterances(tmp_path / "t.csv")
    assert further(found) == [{"good": "4"}, {"good": None}]
    assert sorted(found.left_out) == ["", "bad", "x"]
    columns = {
        "path": ["a", "b"], "speaker": ["s", "s"], "embedding": [[1.0], [2.0]],
        "gender": pa.array(["f", None]).dictionary_encode(), "age": pa.array([3, 4], pa.uint8()),
        "snr": [1.5, math.inf], "time": pa.array([1, 2], pa.timestamp("s")),
        "large": pa.array([1, 2**64 - 1], pa.uint64()), "nothing": pa.nulls(2),
    }  # fmt: skip
    pa.parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    found = find_utterances(tmp_path / "t.parquet")
    assert further(found) == [
        {"gender": "f", "age": 3, "snr": 1.5, "large": "1", "nothing": None},
        {"gender": None, "age": 4, "snr": None, "large": str(2**64 - 1), "nothing": None},
    ]
    assert sorted(found.left_out) == ["embedding", "time"]


def test_several_corpora_have_the_columns_of_all(tmp_path: Path) -> None:
    make_vctk(tmp_path / "VCTK")
    make_librispeech(tmp_path / "LibriSpeech")
    found = scan_datasets(tmp_path, ["librispeech/train", "vctk"])
    assert sorted(found.further_names) == ["accent", "age", "gender", "region"]
    assert found.table["gender"].to_pylist() == ["F", "M", "F", "M"]
    assert found.table["age"].to_pylist() == [None, None, 23, 22]


def test_types_that_differ_become_text() -> None:
    def row(name: str, values: Mapping[str, Any]) -> Utterance:
        return Utterance(name, "s", "", f"/{name}", "c", further=values)

    many = [row(f"{i:05d}", {"n": i, "x": i}) for i in range(9000)]  # more than one batch
    found = Manifest.of([*many, row("z", {"n": 0.5, "x": "no", "speaker": "?"})])
    assert found.table["n"].type == pa.float64()
    assert found.table["x"].to_pylist()[-2:] == ["8999", "no"]
    assert found.left_out == {
        "speaker": "has a name that timbral uses itself; rename it to keep it"
    }
    assert found[-1].further == {"n": 0.5, "x": "no"}
    plain = found.without_further()
    assert plain[-1].further == {}
    assert list(plain) == list(found)  # names alone decide what is the same utterance


@pytest.fixture(scope="module")
def corpus(voices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four voices as a Kaldi data directory that knows gender, age and accent."""
    root = tmp_path_factory.mktemp("corpus") / "kaldi"
    rows = [row for row in scan_corpus("folder", voices) if row.utterance[-1] in "24"]
    speakers = sorted({row.speaker for row in rows})
    write_lines(root / "wav.scp", *(f"{row.utterance} {row.path}" for row in rows))
    write_lines(root / "utt2spk", *(f"{row.utterance} {row.speaker}" for row in rows))
    write_lines(root / "spk2gender", *(f"{name} {'mf'[i % 2]}" for i, name in enumerate(speakers)))
    write_lines(root / "utt2accent", *(f"{row.utterance} {row.speaker[0]} x" for row in rows[1:]))
    return root


def test_a_store_keeps_them(corpus: Path, tmp_path: Path) -> None:
    whole, later = tmp_path / "whole", tmp_path / "later"
    prepare(corpus, whole)
    table = pa.parquet.read_table(whole / "utterances.parquet")
    assert table.column_names[-3:] == ["samples", "gender", "accent"]
    assert OWN_NAMES.issuperset(table.column_names[:-2])
    again = find_utterances(whole)
    assert further(again) == further(find_utterances(corpus))

    plain = find_utterances(corpus).without_further()
    prepare(plain, later)  # as before there were such columns
    assert not find_utterances(later).further_names
    assert len(Store.open(later)) == len(table)
    assert prepare(corpus, later).reused
    before = (whole / "utterances.parquet").read_bytes()
    assert (later / "utterances.parquet").read_bytes() == before
    assert prepare(corpus, whole).reused
    assert (whole / "utterances.parquet").read_bytes() == before


FORMATS = {"csv": "t.csv", "jsonl": "t.jsonl", "parquet": "t.parquet", "kaldi": "k", "lhotse": "l",
           "nemo": "n.json", "cuts": "cuts.jsonl.gz"}  # fmt: skip


@pytest.mark.parametrize("format", FORMATS)
def test_lists_keep_them(format: str, corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / FORMATS[format]
    for _ in range(2):  # the second overwrites the first, of its own kind
        if not output.name.endswith(".gz") or not output.exists():
            timbral.export_list(corpus, output, format=format)
    back = find_utterances(tmp_path if format == "cuts" else output)
    expected = {row.path: dict(row.further) for row in find_utterances(corpus)}
    found = {row.path.partition("#")[0]: dict(row.further) for row in back}
    for path, values in found.items():
        values.pop("utterance", None)
        assert values == expected[path]
    if format == "kaldi":
        assert (output / "spk2gender").read_text() == (corpus / "spk2gender").read_text()
        assert (output / "utt2accent").is_file()
        timbral.export_list(find_utterances(corpus).without_further(), output, format="kaldi")
        assert not (output / "spk2gender").exists()


def test_lhotse_reads_the_cuts(corpus: Path, tmp_path: Path) -> None:
    """Its own field for gender, a custom field for the rest."""
    timbral.export_list(corpus, tmp_path / "cuts.jsonl", format="cuts")
    cuts = lhotse.CutSet.from_file(tmp_path / "cuts.jsonl").to_eager()
    rows = find_utterances(corpus)
    assert [cut.id for cut in cuts] == [row.utterance for row in rows]
    lhotse.validate(cuts[0])
    for cut, row in zip(cuts, rows, strict=True):
        assert cut.supervisions[0].speaker == row.speaker
        assert cut.supervisions[0].gender == row.further["gender"]
        assert cut.custom.get("accent") == row.further["accent"]
    first = cuts[0]
    assert first.load_audio().shape == (1, first.num_samples)
    [line, *_] = (tmp_path / "cuts.jsonl").read_text().splitlines()
    assert json.loads(line).keys() == cuts[0].to_dict().keys()


def test_cuts_of_segments_channels_and_unreadable_files(tmp_path: Path) -> None:
    import numpy as np
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.zeros((16_000, 2)), 8_000)
    (tmp_path / "bad.wav").write_text("no audio")
    rows = [
        Utterance(name, "s", "", f"{tmp_path}/{path}", "c")
        for name, path in (
            ("part", "a.wav#t=0.5,1.5&channel=1"),
            ("all", "a.wav"),
            ("x", "bad.wav"),
        )
    ]
    output = tmp_path / "cuts.jsonl.gz"
    assert timbral.export_list(Manifest.of(rows), output, format="cuts") == (2, 1)
    assert "cannot be read" in (tmp_path / "cuts.jsonl.gz.failures.jsonl").read_text()
    part, whole = (json.loads(line) for line in gzip.decompress(output.read_bytes()).splitlines())
    assert (part["start"], part["duration"], part["channel"], part["type"]) == (
        0.5, 1.0, 1, "MonoCut",
    )  # fmt: skip
    assert (whole["channel"], whole["type"]) == ([0, 1], "MultiCut")
    loaded = lhotse.CutSet.from_file(output).to_eager()
    assert [cut.load_audio().shape for cut in loaded] == [(1, 8_000), (2, 16_000)]
    back = find_utterances(tmp_path, "lhotse-cuts")
    assert {row.utterance: row.path for row in back} == {
        "part": f"{tmp_path}/a.wav#t=0.5,1.5&channel=1", "all": f"{tmp_path}/a.wav",
    }  # fmt: skip
    faster = Manifest.of([Utterance("f", "s", "", f"{tmp_path}/a.wav#speed=0.9", "c")])
    with pytest.raises(DataError, match="cannot express another rate, speed or level"):
        timbral.export_list(faster, tmp_path / "f.jsonl", format="cuts")


def test_a_column_that_somebody_added_is_not_lost(corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "list.parquet"
    timbral.export_list(corpus, output)
    timbral.export_list(corpus, output)  # replaces its own
    table = pa.parquet.read_table(output)
    added = table.append_column("rating", pa.array([3] * len(table)))
    pa.parquet.write_table(added, output)
    with pytest.raises(DataError, match=r"has the column 'rating'.* would be lost"):
        timbral.export_list(corpus, output)
    assert pa.parquet.read_table(output).column_names == added.column_names


def test_names_that_a_format_has_itself_are_refused(tmp_path: Path) -> None:
    rows = Manifest.of([Utterance("u", "s", "", "/a.wav", "c", further={"label": 1, "a b": 2})])
    with pytest.raises(DataError, match="'label' has the name of a key"):
        timbral.export_list(rows, tmp_path / "n.json", format="nemo")
    for further in ({"a b": 2, "a-b": 3}, {"spk": "x"}):
        taken = Manifest.of([Utterance("u", "s", "", "/a.wav", "c", further=further)])
        with pytest.raises(
            DataError, match="cannot be written as a file of a Kaldi data directory"
        ):
            timbral.export_list(taken, tmp_path / "k", format="kaldi")


def test_names_of_columns_become_words_of_kaldi(tmp_path: Path) -> None:
    rows = [
        Utterance(f"s-{number}", "s", "", "/a.wav", "c", further={"a b": number, "=cmd": "x y"})
        for number in range(2)
    ]
    timbral.export_list(Manifest.of(rows), tmp_path / "k", format="kaldi")
    assert (tmp_path / "k" / "utt2a_b").read_text() == "s-0 0\ns-1 1\n"
    assert (tmp_path / "k" / "spk2_cmd").read_text() == "s x y\n"


def test_vectors_trials_and_figures_know_them(
    run: Path, corpus: Path, tmp_path: Path, ask: Ask
) -> None:
    emb, drawn = tmp_path / "emb", tmp_path / "trials.txt"
    timbral.embed(run, corpus, emb)
    table = pa.parquet.read_table(emb / "utterances.parquet")
    assert table.column_names[-2:] == ["gender", "accent"]
    assert {column.name for column in map_columns(emb)} >= {"accent", "gender"}
    assert ask("trials", corpus, "--same", "gender", "--output", drawn).code == 0
    gender = {row.path: row.further["gender"] for row in find_utterances(corpus)}
    pairs = [line.split() for line in drawn.read_text().splitlines()]
    assert all(gender[first] == gender[second] for _, first, second in pairs)
    assert {label for label, _, _ in pairs} == {"0", "1"}
    assert (tmp_path / "trials.txt.columns.tsv").read_text().startswith('"path"\t"gender"')
    scored = ask("score", emb, drawn, "--by", "gender", "--draws", "0")
    evaluated = ask("evaluate", run, drawn, "--by", "gender", "--draws", "0", "--allow-seen",
                    "--output", tmp_path / "evaluation")  # fmt: skip
    for answer in (scored, evaluated):
        assert "by gender" in answer.out, answer
    without = ask("trials", corpus, "--same", "gendre", "--output", drawn)
    assert "no column 'gendre'; did you mean 'gender'?" in without.err
    assert "several values of 'accent'" not in without.err
    assert ask("trials", corpus, "--same", "accent", "--output", drawn).code == 2
