"""What a folder is: the layout of a corpus, and what timbral itself has put there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import SMALL, touch
from timbral import api
from timbral.audio.decode import decode
from timbral.audio.preprocessing import Preprocessing
from timbral.cli.verbs import export_list
from timbral.data.corpora.registry import LAYOUTS
from timbral.data.prepared.mels import PrecomputedMels
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store, shard_path
from timbral.data.sources import find_utterances, layout_of
from timbral.encoders.lstm import LstmEncoder
from timbral.errors import AudioError, DataError
from timbral.inference.embedder import Embedder

OFFICIAL = {
    "vctk": ("wav48/p225/p225_001.wav", "wav48/p226/p226_002.wav"),
    "librispeech": (
        "dev-clean/84/121123/84-121123-0000.flac",
        "dev-clean/174/50561/174-50561-0001.flac",
    ),
    "libritts": (
        "train-clean-100/19/198/19_198_000000_000000.wav",
        "train-clean-100/26/495/26_495_000004_000000.wav",
    ),
    "aishell3": ("train/wav/SSB0005/SSB00050001.wav", "test/wav/SSB0009/SSB00090002.wav"),
    "voxceleb2": (
        "dev/aac/id00012/21Uxsk56VDQ/00001.m4a",
        "dev/aac/id00015/0fijmz4vTVU/00001.m4a",
    ),
    "cnceleb2": ("data/id10001/singing-01-002.flac", "data/id10002/vlog-02-003.flac"),
    "aidatatang_200zh": ("train/G0013/T0055G0013S0001.wav", "train/G0014/T0055G0014S0002.wav"),
    "magicdata": (
        "train/38_5837/38_5837_20170914204700.wav",
        "train/5_1812/5_1812_20170628135834.wav",
    ),
    "folder": ("anna/1.wav", "ben/monday/2.wav"),
}
PLAIN = {
    "recordings are named by them": ("anna/a/anna_1.wav", "anna/b/anna_2.wav", "ben/c/ben-1.wav"),
    "sessions of one name": ("anna/1/x.wav", "anna/2/y.wav", "ben/1/z.wav", "ben/2/u.wav"),
    "one folder in each": ("anna/wav/1.wav", "ben/wav/2.wav"),
    "VoxCeleb's wav": ("id10001/5ssVY9a5X-M/1.wav", "id10001/7w0IBEWc9Qw/1.wav", "id10002/x/1.wav"),
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two speakers with two recordings each."""
    random = np.random.default_rng(5)
    for speaker in ("anna", "ben"):
        (tmp_path / "corpus" / speaker).mkdir(parents=True)
        for number in range(2):
            path = tmp_path / "corpus" / speaker / f"{number}.wav"
            soundfile.write(path, 0.1 * random.standard_normal(32_000), 16_000)
    return tmp_path / "corpus"


@pytest.mark.parametrize("layout", OFFICIAL)
def test_official_layouts_are_recognized(tmp_path: Path, layout: str) -> None:
    touch(tmp_path, *OFFICIAL[layout])
    assert layout_of(tmp_path) == layout
    found = find_utterances(tmp_path)
    assert len({row.speaker for row in found}) == 2
    assert list(found) == list(find_utterances(tmp_path, layout))


@pytest.mark.parametrize("names", PLAIN.values(), ids=PLAIN)
def test_first_folders_are_speakers(tmp_path: Path, names: tuple[str, ...]) -> None:
    found = find_utterances(touch(tmp_path, *names))
    assert found.layout == "folder"
    assert {row.speaker for row in found} == {name.partition("/")[0] for name in names}


def test_a_chapter_is_of_its_speaker_wherever_the_corpus_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, *OFFICIAL["libritts"], "train-clean-100/19/227/19_227_0_0.wav")
    for folder in ("train-clean-100/19", "train-clean-100/19/198"):
        found = find_utterances(tmp_path / folder)
        assert {(row.speaker, row.session) for row in found} <= {("19", "198"), ("19", "227")}
        assert found.layout == "libritts"
    monkeypatch.chdir(tmp_path / "train-clean-100" / "19")
    assert {row.speaker for row in find_utterances(".")} == {"19"}


def test_one_recording_astray_does_not_hide_a_layout(tmp_path: Path) -> None:
    found = find_utterances(touch(tmp_path, *OFFICIAL["librispeech"], "a-first.flac"))
    assert (found.layout, len(found), len(found.failures)) == ("librispeech", 2, 1)


def test_where_two_layouts_fit_both_are_shown(tmp_path: Path) -> None:
    """CN-Celeb 1 has its evaluation's speakers in the same folder; VoxCeleb1 other nations'."""
    touch(tmp_path / "cn", *OFFICIAL["cnceleb2"])
    (tmp_path / "cn" / "dev").mkdir()
    (tmp_path / "cn" / "dev" / "dev.lst").write_text("id10002\n")
    words = (
        "2 layouts fit.*\n  cnceleb1  1 speaker: id10002\n  cnceleb2  2 speakers: id10001, id10002"
    )
    with pytest.raises(DataError, match=words):
        find_utterances(tmp_path / "cn")
    assert len(find_utterances(tmp_path / "cn", "cnceleb1")) == 1


def test_lists_are_recognized(tmp_path: Path) -> None:
    (tmp_path / "wav.scp").write_text("u WAV/anna/1.wav\n")
    (tmp_path / "utt2spk").write_text("u anna\n")
    touch(tmp_path, "WAV/anna/1.wav", "WAV/ben/1.wav")
    assert [row.speaker for row in find_utterances(tmp_path)] == ["anna"]
    (tmp_path / "cv" / "clips").mkdir(parents=True)
    (tmp_path / "cv" / "validated.tsv").write_text("client_id\tpath\nc1\ta.mp3\n\tb.mp3\n")
    found = find_utterances(tmp_path / "cv")
    assert [row.speaker for row in found] == ["c1"]
    [failure] = found.failures
    assert (failure.path, failure.reason) == (f"{tmp_path}/cv/validated.tsv:3", "has no client_id")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ("wav/id1/v/1.wav", "wav/id2/v/1.wav"),
            r"(?s)choose a `layout`:\n  folder +1 speaker: wav\n.*voxceleb2  2 speakers: id1, id2",
        ),
        (("LibriTTS/dev/19/198/19_198_0_0.wav", "LibriTTS/dev/26/4/26_4_0_0.wav"), "libritts"),
        (
            ("train/anna/1.wav", "train/ben/1.wav", "test/carl/1.wav"),
            "folder +2 speakers: test, train\n  tree +3 speakers: test/carl, train/anna, train/b",
        ),
        (
            ("asia/li/1.wav", "asia/wu/1.wav", "europe/anna/1.wav", "europe/ben/1.wav"),
            "folder  2 speakers: asia, europe\n  tree    4 speakers: asia/li, asia/wu, europe/anna",
        ),
        (("1.wav", "2.wav"), "are not in speakers' folders.*\n  tree  1 speaker: "),
        (
            ("a/LibriTTS/19/198/19_198_0_0.wav", "a/VCTK/wav/p1/p1_1.wav"),
            "folder  1 speaker: a\n  tree +2 speakers",
        ),
        (
            (
                *(f"LibriTTS/{n}/1/{n}_1_0.wav" for n in "46"),
                *(f"VCTK/wav/p{n}/p{n}_1.wav" for n in "12"),
            ),
            r"give one of the corpora in it: \S+/LibriTTS \(libritts\), \S+/VCTK \(vctk\)",
        ),
    ],
)
def test_folders_that_are_no_speakers_are_refused(
    tmp_path: Path, names: tuple[str, ...], words: str
) -> None:
    touch(tmp_path, *names)
    with pytest.raises(DataError, match=words):
        find_utterances(tmp_path)
    deep = [name for name in names if "/" in name]
    if deep:
        assert len(find_utterances(tmp_path, "folder")) == len(deep)


@pytest.mark.parametrize("names", [("me/1.wav", "me/2.wav"), ("me/today/1.wav", "me/today/2.wav")])
def test_one_speaker_is_no_mistake(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert {row.speaker for row in find_utterances(touch(tmp_path, *names))} == {"me"}


def test_command_line_tells_the_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path / "vctk", *OFFICIAL["vctk"])
    assert export_list.run(str(tmp_path / "vctk"), output=tmp_path / "a.csv", format="csv") == 0
    assert "layout: vctk, 2 speakers: p225, p226\n" in capsys.readouterr().err
    assert [row.utterance for row in find_utterances(tmp_path / "a.csv")] == [
        "p225_001",
        "p226_002",
    ]


def test_a_recording_of_no_speaker_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "corpus", "anna/1.wav", "2.wav")
    assert export_list.run(str(tmp_path / "corpus"), output=tmp_path / "a.csv", format="csv") == 1
    assert f"reasons: {tmp_path}/a.csv.failures.jsonl" in capsys.readouterr().err
    assert "is not in a speaker's folder" in (tmp_path / "a.csv.failures.jsonl").read_text()
    monkeypatch.chdir(tmp_path / "corpus")
    assert {row.speaker for row in find_utterances(".", "tree")} == {"anna", "corpus"}


def test_a_name_that_is_not_utf8_is_a_failure(tmp_path: Path) -> None:
    touch(tmp_path, "anna/1.wav")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/anna/M\xfcller.wav")).touch()
    found = find_utterances(tmp_path)
    assert [row.utterance for row in found] == ["anna/1"]
    [failure] = found.failures
    assert str(failure) == rf"{tmp_path}/anna/M\xfcller.wav: the name is not UTF-8; rename the file"


def test_a_pattern_decides_before_names_are_compared(tmp_path: Path) -> None:
    touch(tmp_path, "anna/1.wav", "anna/1.flac")
    with pytest.raises(DataError, match="more than one file"):
        find_utterances(tmp_path)
    assert len(find_utterances(tmp_path, pattern="*.wav")) == 1


def test_vectors_beside_the_audio_do_not_make_another_corpus(corpus: Path, tmp_path: Path) -> None:
    embedder = Embedder(LstmEncoder(SMALL["lstm"]))  # type: ignore[arg-type]
    before = list(find_utterances(corpus))
    api.embed(embedder, corpus, corpus, format="npy")
    assert list(find_utterances(corpus)) == before
    assert api.inspect(corpus).utterances == len(before)
    assert api.export_list(corpus, tmp_path / "list.csv", format="csv") == (len(before), 0)
    api.embed(embedder, corpus, tmp_path / "vectors", format="npy")
    for verb in (find_utterances, api.inspect):
        with pytest.raises(DataError, match="contains vectors written by `embed`, not recordings"):
            verb(tmp_path / "vectors")


@pytest.mark.parametrize("format", ["flac", "npy", "arrow"])
def test_output_inside_the_corpus_does_not_become_corpus(corpus: Path, format: str) -> None:
    before = list(find_utterances(corpus))
    prepare(corpus, corpus / "data", Preprocessing(), format=format)
    assert list(find_utterances(corpus)) == before
    assert prepare(corpus, corpus / "data", Preprocessing(), format=format).reused


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_store_copied_in_part_is_refused(corpus: Path, tmp_path: Path, damage: str) -> None:
    prepare(corpus, tmp_path / "data", Preprocessing())
    path = shard_path(tmp_path / "data", 0)
    if damage == "cut":
        os.truncate(path, path.stat().st_size // 3)
        words = r"shards/00000\.arrow: has [\d,]+ bytes; its table needs .* at least [\d,]+"
    else:
        path.unlink()
        words = r"shards/00000\.arrow: is missing; the store was copied"
    with pytest.raises(DataError, match=words):
        Store.open(tmp_path / "data")


def test_mels_copied_in_part_are_refused(corpus: Path, tmp_path: Path) -> None:
    prepare(corpus, tmp_path / "data", Preprocessing(), format="npy")
    (tmp_path / "data" / "ben" / "1.npy").unlink()
    with pytest.raises(DataError, match=r"1 of 4 files are missing, such as ben/1\.npy"):
        PrecomputedMels.open(tmp_path / "data")


def test_every_recognized_layout_is_one() -> None:
    from timbral.data.corpora.layout_marks import MARKS

    assert MARKS.keys() <= LAYOUTS.keys()


@pytest.mark.parametrize(
    ("listed", "there"),
    [
        ("a.wav", "a.flac"),
        ("a", "a.wav"),
        ("a.b", "a.b.wav"),
        ("m\\a.wav", "m/a.wav"),
        ("caf\u00e9.wav", "cafe\u0301.wav"),
        ("a.wav", ""),
        ("no/a.wav", ""),
    ],
)
def test_a_missing_recording_hints_at_what_lies_there(
    tmp_path: Path, listed: str, there: str
) -> None:
    if there:
        touch(tmp_path, there)
    with pytest.raises(AudioError) as error:
        decode(tmp_path / listed)
    named = str(tmp_path / there) if "/" in there else there
    assert error.value.reason == ("no such file" + (f"; there is {named}" if there else ""))
