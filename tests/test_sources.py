"""Which utterances a source holds: one answer for every verb."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from conftest import Ask
from timbral import api
from timbral.audio.preprocessing import Preprocessing
from timbral.data.corpora.scanning import scan_corpus, scan_datasets
from timbral.data.lists.export import write_list
from timbral.data.manifest import Manifest, Utterance
from timbral.data.prepared.default_trim import default_trim
from timbral.data.prepared.mels import holds_mels
from timbral.data.prepared.open import open_prepared
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.data.sources import find_utterances
from timbral.embeddings.table import read_embeddings
from timbral.errors import ConfigError, DataError
from timbral.inference.embedder import Embedder
from timbral.io import storage


@pytest.fixture(scope="module")
def prepared(voices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The voices, prepared in the formats npy and flac."""
    root = tmp_path_factory.mktemp("prepared")
    for format in ("npy", "flac"):
        prepare(voices, root / format, Preprocessing(), format=format)
    return root


def speakers_and_paths(rows: Iterable[Utterance]) -> list[tuple[str, str]]:
    return [(row.speaker, row.path) for row in rows]


def test_every_source_names_the_same_recordings(
    voices: Path, store: Store, prepared: Path, tmp_path: Path
) -> None:
    expected = speakers_and_paths(scan_corpus("folder", voices))
    rows = scan_corpus("folder", voices)
    for name in ("parquet", "csv", "jsonl"):
        write_list(rows, tmp_path / f"list.{name}", name)
        assert speakers_and_paths(find_utterances(tmp_path / f"list.{name}")) == expected
    for layout in ("kaldi", "lhotse"):
        write_list(rows, tmp_path / layout, layout)
        assert speakers_and_paths(find_utterances(str(tmp_path / layout), layout)) == expected
    for source in (voices, str(voices), store.folder, prepared / "npy"):
        assert speakers_and_paths(find_utterances(source)) == expected


def test_flac_and_mels_have_files_of_their_own(prepared: Path, voices: Path) -> None:
    flac = find_utterances(prepared / "flac")
    assert [row.utterance for row in flac] == [row.utterance for row in find_utterances(voices)]
    assert all(row.path.startswith(f"{prepared / 'flac'}/") for row in flac)
    mels = find_utterances(prepared / "npy", mel_files=True)
    assert all(row.path.startswith(f"{prepared / 'npy'}/") for row in mels)
    assert all(Path(row.path).exists() for row in [*flac, *mels])


def test_only_files_that_match_the_pattern_are_found(voices: Path) -> None:
    name = sorted(voices.glob("*/*.ogg"))[3]
    assert [row.path for row in find_utterances(voices, pattern=f"*/{name.name}")] == [
        str(path) for path in sorted(voices.glob(f"*/{name.name}"))
    ]
    with pytest.raises(DataError, match=r"none of 48 recordings matches the pattern '\*\.wav'"):
        find_utterances(voices, pattern="*.wav")


def test_vectors_beside_recordings_are_no_mels(voices: Path, tmp_path: Path) -> None:
    shutil.copytree(voices, tmp_path / "corpus")
    for path in list((tmp_path / "corpus").glob("*/*.ogg")):
        np.save(path.with_suffix(".npy"), np.zeros(16, np.float32))
    assert not holds_mels(tmp_path / "corpus")
    assert len(find_utterances(tmp_path / "corpus")) == 48


def test_a_table_and_lists_in_an_object_store(voices: Path) -> None:
    """Relative paths are below the table's URL; URLs and absolute paths stay."""
    root = storage.Folder("memory://bucket/lists")
    root.write("a.csv", b"path,speaker\nx/1.wav,x\ngs://other/2.wav,y\n/z/3.wav,z\n")
    rows = find_utterances("memory://bucket/lists/a.csv")
    assert [row.path for row in rows] == [
        "memory://bucket/lists/x/1.wav",
        "gs://other/2.wav",
        "/z/3.wav",
    ]
    kaldi = storage.Folder("memory://bucket/kaldi")
    kaldi.write("wav.scp", b"a-1 wav/1.wav\n")
    kaldi.write("utt2spk", b"a-1 a\n")
    kaldi.write("wav/1.wav", b"")
    [row] = find_utterances("memory://bucket/kaldi", "kaldi")
    assert row.path == "memory://bucket/kaldi/wav/1.wav"
    with pytest.raises(DataError, match="cannot be read"):
        find_utterances("memory://bucket/none.csv")


@pytest.mark.parametrize("layout", ["libritts", "folder", "tree"])
def test_a_list_has_the_speakers_of_its_corpus(tmp_path: Path, layout: str) -> None:
    names = {
        "libritts": ["19/198/19_198_0_0.wav", "19/227/19_227_0_0.wav", "26/4/26_4_0_0.wav"],
        "folder": ["p1/1/p1_001.wav", "p1/2/p1_002.wav", "p2/1/p2_001.wav"],
        "tree": ["deep/voice/a b.wav", "deep/voice/c.wav"],
    }[layout]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in reversed(names)))
    found = find_utterances(tmp_path / "list.txt")
    assert found.layout == layout
    assert [row.path for row in found] == sorted(f"{tmp_path}/{name}" for name in names)
    if layout == "tree":
        assert {row.speaker for row in found} == {"voice"}
    else:
        assert list(found) == list(scan_corpus(layout, tmp_path))


def test_a_list_may_name_speakers(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a b.wav\tben\nc.wav#t=1,2\tanna x\ns3://d/e.wav\tben\n")
    found = find_utterances(tmp_path / "list.txt")
    assert [(row.utterance, row.speaker) for row in found] == [
        ("c-1-2", "anna x"),
        ("a b", "ben"),
        ("s3://d/e", "ben"),
    ]
    (tmp_path / "list.txt").write_text("a.wav ben\nc.wav  anna\n")
    assert [row.speaker for row in find_utterances(tmp_path / "list.txt")] == ["anna", "ben"]
    (tmp_path / "list.txt").write_text("a b.wav|ben|EN|Yes, | he\nc.wav|anna x|ZH|\n")
    found = find_utterances(tmp_path / "list.txt")
    assert [(row.utterance, row.speaker) for row in found] == [("c", "anna x"), ("a b", "ben")]
    for content, words in {
        "a.wav ben\nc.wav\n": r"list\.txt:2: has no speaker, but other lines do",
        "a.wav|7|text\n": r"list\.txt:1: a line is a path, .* got 'a\.wav\|7\|text'",
        "a.wav\nutterance-1\n": r"list\.txt:2: a line is a path, .* got 'utterance-1'",
    }.items():
        (tmp_path / "list.txt").write_text(content)
        with pytest.raises(DataError, match=words):
            find_utterances(tmp_path / "list.txt")


def test_one_recording_is_a_corpus(voices: Path, ask: Ask, run: Path, tmp_path: Path) -> None:
    recording = sorted(voices.glob("*/*.ogg"))[0]
    for source in (recording, f"{recording}#t=0.5,1.5", "memory://bucket/lists/x/1.wav"):
        [row] = find_utterances(source)
        assert row.path == str(source)
        assert row.speaker == str(source).split("/")[-2]
    done = ask("embed", run, f"{recording}#t=0.5,1.5", "--output", tmp_path / "vectors")
    assert done.code == 0, done.err
    assert read_embeddings(tmp_path / "vectors")["duration_seconds"].to_pylist() == [1.0]


@pytest.mark.parametrize("content", ["list", "csv", "tsv", "jsonl"])
def test_standard_input_is_a_corpus(
    voices: Path, ask: Ask, run: Path, tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(voices)  # relative paths start from here
    rows = find_utterances(voices)[:7]
    text = "".join(f"{Path(row.path).relative_to(voices)}\n" for row in rows)
    if content != "list":
        write_list(Manifest.of(rows), tmp_path / "rows", content)
        text = (tmp_path / "rows").read_text("utf-8")
    for words in (["inspect", "-"], ["embed", run, "-", "--output", tmp_path / "vectors"]):
        answer = ask(*words, standard_input=text)
        assert answer.code == 0, answer.err
        assert bool(answer.layout) == (content == "list")
    table = read_embeddings(tmp_path / "vectors")
    assert table["speaker"].to_pylist() == [row.speaker for row in rows]
    refused = ask("prepare", "-", "--output", tmp_path / "o", standard_input="x.wav a\ny\n")
    assert "error: standard input:2: a line is a path" in refused.err


@pytest.mark.parametrize("layout", ["auto", "folder"])
def test_a_speaker_who_has_nearly_everything_is_told(ask: Ask, tmp_path: Path, layout: str) -> None:
    for speaker, count in {"wav": 19, "b": 1}.items():
        (tmp_path / "corpus" / speaker).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "corpus" / speaker / f"{number}.wav").touch()
    words = ["export-list", "--layout", layout, "--output", tmp_path / "a.parquet"]
    answer = ask(*words, tmp_path / "corpus")
    assert (
        "warning: 19 of 20 utterances belong to one speaker, 'wav'; if they are not" in answer.err
    )
    assert answer.layout == ("layout: folder, 2 speakers: b, wav\n" if layout == "auto" else "")
    shutil.rmtree(tmp_path / "corpus" / "b")
    assert (
        "warning: all 19 utterances belong to one speaker" in ask(*words, tmp_path / "corpus").err
    )


def test_unusable_sources_are_errors(tmp_path: Path) -> None:
    for name in ("a.txt", "a.md"):
        (tmp_path / name).touch()
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "plan.json").write_text('{"format": "npy"}')
    for source, words in {
        "a.txt": r"a\.txt: contains no recording",
        "a.md": r"a table \(\.parquet, .*, a list of recordings \(\.txt",
        "none": "no such folder",
        "unfinished": "preparation was not finished",
    }.items():
        with pytest.raises(DataError, match=words):
            find_utterances(tmp_path / source)
    with pytest.raises(DataError, match="unknown layout 'kladi'; did you mean 'kaldi'"):
        find_utterances(tmp_path, "kladi")


def test_the_usual_trim_does_not_depend_on_how_a_corpus_is_named(
    voices: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "LibriSpeech"
    for path in sorted(voices.glob("*/*.ogg")):
        flac = corpus / "train-other-500" / path.parent.name / "1" / f"{path.stem}.flac"
        flac.parent.mkdir(parents=True, exist_ok=True)
        flac.touch()
    by_name = scan_datasets(tmp_path, ["librispeech_other"])
    by_layout = find_utterances(corpus, "librispeech_other")
    write_list(by_layout, tmp_path / "list.csv", "csv")
    for rows in (by_name, by_layout, find_utterances(tmp_path / "list.csv")):
        assert default_trim(rows) == "webrtc"
    assert default_trim(find_utterances(voices)) == "none"
    mixed = Manifest.of([*by_layout, *find_utterances(voices)])
    with pytest.raises(ConfigError, match=r"folder: none; librispeech_other: webrtc"):
        default_trim(mixed)


def test_prepare_takes_any_source(store: Store, voices: Path, tmp_path: Path) -> None:
    write_list(find_utterances(voices), tmp_path / "kaldi", "kaldi")
    prepare(str(tmp_path / "kaldi"), str(tmp_path / "a"), layout="kaldi")
    prepare(store.folder, tmp_path / "b", format="npy")
    assert len(Store.open(tmp_path / "a")) == len(open_prepared(tmp_path / "b")) == 48
    assert open_prepared(tmp_path / "a").preprocessing == Preprocessing()


def test_embed_takes_a_table(run: Path, voices: Path, tmp_path: Path) -> None:
    rows = find_utterances(voices)[:3]
    write_list(Manifest.of(rows), tmp_path / "list.csv", "csv")
    embedder: Embedder = api.load_encoder(run, device="cpu")
    api.embed(embedder, tmp_path / "list.csv", tmp_path / "vectors")
    table = read_embeddings(tmp_path / "vectors")
    assert table["path"].to_pylist() == [row.path for row in rows]
