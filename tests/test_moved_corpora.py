"""Corpora that were moved, renamed or cut differently: what was embedded is not embedded again."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from conftest import Ask
from interrupted_writes import interrupted_after
from timbral import api
from timbral.bulk.shards import SHARD_UTTERANCES
from timbral.data import file_state
from timbral.data.file_state import FileState
from timbral.embeddings.table import read_embeddings, vectors_of
from timbral.errors import DataError
from timbral.inference.embedder import Embedder


@pytest.fixture
def corpus(voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two speakers of six recordings, in three shards."""
    monkeypatch.setitem(SHARD_UTTERANCES, "cpu", 4)
    for speaker in sorted(voices.iterdir())[:2]:
        shutil.copytree(speaker, tmp_path / "corpus" / speaker.name)
    return tmp_path / "corpus"


@pytest.fixture
def embedded(embedder: Embedder, corpus: Path, tmp_path: Path) -> pa.Table:
    """What `embed` made of the corpus, in the folder "out"."""
    api.embed(embedder, corpus, tmp_path / "out")
    return read_embeddings(tmp_path / "out")


def recordings(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.ogg"))


def check_moved(before: pa.Table, after: pa.Table, old: Path, new: Path) -> None:
    """The same rows bit for bit, with the recordings in their new places."""
    assert before.drop_columns("path") == after.drop_columns("path")
    paths = [path.replace(str(old), str(new)) for path in before["path"].to_pylist()]
    assert after["path"].to_pylist() == paths
    assert all(map(os.path.exists, paths))


@pytest.mark.parametrize("times", ["kept", "copied"])
def test_a_moved_corpus_keeps_its_vectors(
    embedder: Embedder, corpus: Path, embedded: pa.Table, tmp_path: Path, times: str
) -> None:
    moved = tmp_path / "elsewhere" / "renamed"
    if times == "copied":
        shutil.copytree(corpus, moved)
        shutil.rmtree(corpus)
    else:
        moved.parent.mkdir()
        corpus.rename(moved)
    done = api.embed(embedder, moved, tmp_path / "out")
    assert (done.reused, done.new_audio_seconds, done.moved_from) == (True, 0.0, str(corpus))
    check_moved(embedded, read_embeddings(tmp_path / "out"), corpus, moved)
    again = api.embed(embedder, moved, tmp_path / "out")
    assert (again.reused, again.moved_from) == (True, "")


def test_two_copies_of_a_corpus_are_hashed_once(
    embedder: Embedder, corpus: Path, embedded: pa.Table, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Although they take turns with one folder."""
    copy = shutil.copytree(corpus, tmp_path / "copy")
    api.embed(embedder, copy, tmp_path / "out")
    monkeypatch.setattr(file_state, "_digest", lambda *_: pytest.fail("hashed again"))
    for before, place in ((copy, corpus), (corpus, copy)):
        done = api.embed(embedder, place, tmp_path / "out")
        assert (done.new_audio_seconds, done.moved_from) == (0.0, str(before))
        check_moved(embedded, read_embeddings(tmp_path / "out"), corpus, place)


def test_a_moved_corpus_that_grew_embeds_what_is_new(
    embedder: Embedder, corpus: Path, embedded: pa.Table, voices: Path, tmp_path: Path
) -> None:
    moved = corpus.rename(tmp_path / "moved")
    shutil.copytree(sorted(voices.iterdir())[2], moved / "a")
    done = api.embed(embedder, moved, tmp_path / "out")
    assert done.num_utterances == 18
    assert 0 < done.new_audio_seconds < 0.5 * done.audio_seconds
    rest = read_embeddings(tmp_path / "out").slice(6)
    check_moved(embedded, rest, corpus, moved)


@pytest.mark.parametrize("change", ["replaced", "missing", "renamed"])
def test_vectors_that_would_be_lost_are_not_overwritten(
    embedder: Embedder, corpus: Path, embedded: pa.Table, tmp_path: Path, change: str
) -> None:
    """In another output folder they are reused all the same, but for the changed recording."""
    moved = tmp_path / "moved"
    shutil.copytree(corpus, moved)
    first, second = recordings(moved)[:2]
    if change == "replaced":
        content = bytearray(second.read_bytes()[: first.stat().st_size])
        first.write_bytes(content.ljust(first.stat().st_size, b"\0"))
    elif change == "missing":
        first.unlink()
    else:
        first.rename(first.with_name("x.ogg"))
    out = tmp_path / "out"
    with pytest.raises(DataError, match=re.escape(f"another corpus ({corpus})")) as refused:
        api.embed(embedder, moved, out)
    assert "(with `reuse`, it takes over the vectors" in str(refused.value)
    assert read_embeddings(out) == embedded
    assert api.embed(embedder, corpus, out).reused
    done = api.embed(embedder, moved, tmp_path / "new", reuse=out)
    assert done.reused == (change != "replaced")
    assert done.new_audio_seconds < 0.2 * done.audio_seconds
    assert done.num_utterances + done.num_failures == len(recordings(moved))


def test_recordings_of_the_same_sizes_are_another_corpus(
    embedder: Embedder, tmp_path: Path
) -> None:
    """As noisy and clean copies of one corpus are."""
    import soundfile

    noise = np.random.default_rng(0).normal(0, 0.1, (2, 3, 16000))
    for name, waves in zip(("clean", "noisy"), noise, strict=True):
        (tmp_path / name / "anna").mkdir(parents=True)
        for number, wave in enumerate(waves):
            soundfile.write(tmp_path / name / "anna" / f"{number}.wav", wave, 16000)
    api.embed(embedder, tmp_path / "clean", tmp_path / "out")
    with pytest.raises(DataError, match="of another corpus"):
        api.embed(embedder, tmp_path / "noisy", tmp_path / "out")
    with pytest.raises(DataError, match="has no vectors to reuse"):
        api.embed(embedder, tmp_path / "noisy", tmp_path / "new", reuse=tmp_path / "out")
    assert not list((tmp_path / "new").rglob("*.arrow"))


def test_shards_of_another_version_are_not_overwritten(
    embedder: Embedder, corpus: Path, embedded: pa.Table, tmp_path: Path
) -> None:
    """Nothing tells which recordings they are of, so another corpus may not take their folder."""
    shards = {}
    for path in (tmp_path / "out" / ".embed").glob("*.arrow"):
        table = pa.ipc.open_file(path.read_bytes()).read_all()
        table = table.replace_schema_metadata({"version": "another"})
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
        shards[path] = path.read_bytes()
    moved = corpus.rename(tmp_path / "moved")
    with pytest.raises(DataError, match="of another corpus"):
        api.embed(embedder, moved, tmp_path / "out")
    assert all(path.read_bytes() == content for path, content in shards.items())


@pytest.mark.parametrize("address", ["file://{}/out", "memory://{}/out"])
def test_vectors_in_a_url_are_reused(
    embedder: Embedder, corpus: Path, tmp_path: Path, address: str
) -> None:
    url = address.format(tmp_path)
    api.embed(embedder, corpus, url)
    assert (tmp_path / "out" / "utterances.parquet").exists() == url.startswith("file")
    moved = corpus.rename(tmp_path / "moved")
    assert api.embed(embedder, moved, tmp_path / "new", reuse=url).reused
    assert api.embed(embedder, moved, url).moved_from == str(corpus)


@pytest.mark.parametrize("format", ["npy", "torch"])
def test_vectors_beside_the_audio_move_with_it(
    embedder: Embedder, corpus: Path, tmp_path: Path, format: str
) -> None:
    api.embed(embedder, corpus, corpus, format=format)
    files = {path.relative_to(corpus): path.read_bytes() for path in corpus.rglob("*/*.*")}
    moved = corpus.rename(tmp_path / "moved")
    done = api.embed(embedder, moved, moved, format=format)
    assert (done.reused, done.moved_from) == (True, str(corpus))
    vectors = {path: content for path, content in files.items() if ".embed" not in path.parts[0]}
    assert len(vectors) >= 24
    assert all((moved / path).read_bytes() == content for path, content in vectors.items())
    recordings(moved)[0].unlink()  # the folder is the corpus's own, wherever it is
    done = api.embed(embedder, moved.rename(corpus), corpus, format=format)
    assert (done.reused, done.num_utterances) == (True, 11)


def test_other_weights_are_refused_wherever_the_corpus_is(
    embedder: Embedder, corpus: Path, embedded: pa.Table, tmp_path: Path
) -> None:
    moved = corpus.rename(tmp_path / "moved")
    other = Embedder(embedder.network, embedder.preprocessing, weights_sha256="other")
    for reuse, output in ((None, "out"), (tmp_path / "out", "new")):
        with pytest.raises(DataError, match="weights, of another encoder"):
            api.embed(other, moved, tmp_path / output, reuse=reuse)
    assert read_embeddings(tmp_path / "out") == embedded
    with pytest.raises(DataError, match="is not a folder of `timbral embed`"):
        api.embed(embedder, moved, tmp_path / "new", reuse=moved)


def test_a_subset_of_another_corpus_reuses_its_vectors(
    embedder: Embedder, corpus: Path, embedded: pa.Table, tmp_path: Path
) -> None:
    """Other names, other ids, other shards; the last recordings first."""
    for number, path in enumerate(reversed(recordings(corpus)[5:])):
        (tmp_path / "subset" / "x").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "subset" / "x" / f"{number}.ogg")
    done = api.embed(embedder, tmp_path / "subset", tmp_path / "new", reuse=tmp_path / "out")
    assert (done.reused, done.num_utterances) == (True, 7)
    table = read_embeddings(tmp_path / "new")
    assert np.array_equal(vectors_of(table), vectors_of(embedded)[:4:-1])


def test_a_list_with_corrected_paths_keeps_its_vectors(
    embedder: Embedder, corpus: Path, tmp_path: Path
) -> None:
    """The list stays where it is, its recordings do not; one is a segment."""
    paths = recordings(corpus)[:5]
    rows = [f'"{path}{"#t=0,1" if path == paths[1] else ""}",s' for path in paths]
    table = tmp_path / "list.csv"
    table.write_text("path,speaker\n" + "\n".join(rows) + "\n")
    first = api.embed(embedder, table, tmp_path / "out")
    assert first.num_utterances == 5
    before = read_embeddings(tmp_path / "out")
    table.write_text(table.read_text().replace(str(corpus), str(tmp_path / "moved")))
    corpus.rename(tmp_path / "moved")
    done = api.embed(embedder, table, tmp_path / "out")
    assert (done.reused, done.num_utterances) == (True, 5)
    after = read_embeddings(tmp_path / "out")
    order = [
        before["path"].to_pylist().index(path.replace("moved", "corpus"))
        for path in after["path"].to_pylist()
    ]
    assert np.array_equal(vectors_of(after), vectors_of(before)[order])
    table.write_text(table.read_text().replace("#t=0,1", "#t=0,1.1"))
    done = api.embed(embedder, table, tmp_path / "out")
    assert 0.5 < done.new_audio_seconds <= 1.1, "another segment is another recording"


def test_a_killed_job_of_a_moved_corpus_is_resumed(
    embedder: Embedder,
    corpus: Path,
    embedded: pa.Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = corpus.rename(tmp_path / "moved")
    for writes in (0, 1, 2):  # job.json is written first, then the shards
        with interrupted_after(writes, monkeypatch):
            api.embed(embedder, moved, tmp_path / "out")
    done = api.embed(embedder, moved, tmp_path / "out")
    assert done.reused
    check_moved(embedded, read_embeddings(tmp_path / "out"), corpus, moved)


def test_each_recording_of_a_moved_corpus_is_read_once(
    embedder: Embedder,
    corpus: Path,
    embedded: pa.Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = corpus.rename(tmp_path / "moved")
    for path in recordings(moved):
        path.touch()
    read: list[str] = []
    of = FileState.of.__func__  # type: ignore[attr-defined]

    def note(cls: type[FileState], path: str, *rest: object) -> FileState:
        read.append(path)
        state: FileState = of(cls, path, *rest)
        return state

    monkeypatch.setattr(FileState, "of", classmethod(note))
    api.embed(embedder, moved, tmp_path / "out")
    assert sorted(read) == [str(path) for path in recordings(moved)]


def test_the_command_says_that_a_corpus_was_moved(
    ask: Ask, run: Path, corpus: Path, tmp_path: Path
) -> None:
    out, moved = tmp_path / "out", tmp_path / "moved"
    assert ask("embed", run, corpus, "--output", out).code == 0
    corpus.rename(moved)
    answer = ask("embed", run, moved, "--output", out)
    assert answer.code == 0
    assert f"the corpus was at {corpus}; the vectors of its recordings are kept" in answer.out
    assert answer.out.startswith("all embedded already: 12 utterances")
    recordings(moved)[0].unlink()
    answer = ask("embed", run, moved.rename(corpus), "--output", out)
    assert answer.code == 2
    assert "(with --reuse, it takes over the vectors of the recordings" in answer.err


def test_a_folder_keeps_the_size_of_its_shards(
    embedder: Embedder, corpus: Path, embedded: pa.Table, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As when a job that was begun on a CPU is resumed on a GPU."""
    shards = tmp_path / "out" / ".embed"
    (shards / "000001.arrow").unlink()
    monkeypatch.setitem(SHARD_UTTERANCES, "cuda", SHARD_UTTERANCES["cpu"])
    monkeypatch.setitem(SHARD_UTTERANCES, "cpu", 512)
    done = api.embed(embedder, corpus, tmp_path / "out")
    assert 0 < done.new_audio_seconds < 0.5 * done.audio_seconds, "one shard of three"
    assert len(list(shards.glob("*.arrow"))) == 3
    table = read_embeddings(tmp_path / "out")
    assert table.drop_columns("embedding") == embedded.drop_columns("embedding")


def test_a_short_last_shard_does_not_decide_the_size(
    embedder: Embedder, corpus: Path, tmp_path: Path
) -> None:
    (few := tmp_path / "few").mkdir()
    for some in (recordings(corpus)[:3], recordings(corpus)[3:]):
        for path in some:
            shutil.copy(path, few)
        api.embed(embedder, few, tmp_path / "out", layout="tree")
    assert len(list((tmp_path / "out" / ".embed").glob("*.arrow"))) == 3, "of four, not of three"


def test_a_corpus_that_shrank_does_not_decide_the_size(
    embedder: Embedder, corpus: Path, embedded: pa.Table, tmp_path: Path
) -> None:
    whole = shutil.copytree(corpus, tmp_path / "whole")
    for path in recordings(corpus)[2:]:
        path.unlink()
    api.embed(embedder, corpus, tmp_path / "out")
    shutil.copytree(whole, corpus, dirs_exist_ok=True)
    assert api.embed(embedder, corpus, tmp_path / "out").num_utterances == len(embedded)
    assert len(list((tmp_path / "out" / ".embed").glob("*.arrow"))) == 3, "of four, not of two"
