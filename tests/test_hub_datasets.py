"""Datasets of the Hugging Face Hub as corpora: the real `datasets`, against a local Hub."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import timbral
from conftest import Ask
from fake_hub import TOKEN, FakeHub, Repository, serving
from timbral.audio.decode import decode
from timbral.data.corpora.hub_dataset import HubDataset, hub_dataset
from timbral.data.sources import find_utterances
from timbral.demo.shipped import VOICES
from timbral.errors import DataError

datasets = pytest.importorskip("datasets")

VOICE_FILES = [
    path for folder in sorted(VOICES.glob("*/"))[:3] for path in sorted(folder.glob("*"))[:2]
]
KNOWN = {"audio": {"_type": "Audio"}}


def test_names_of_datasets_and_their_parts() -> None:
    assert hub_dataset("hf://me/corpus") == HubDataset("me/corpus")
    assert hub_dataset("hf://datasets/me/corpus:test") == HubDataset("me/corpus", split="test")
    found = hub_dataset("hf://me/corpus@v1/x:en/train.clean[10:]#speaker=reader&audio=mic1")
    assert found is not None
    assert (found.revision, found.config, found.split) == ("v1/x", "en", "train.clean")
    assert (found.rows, found.columns.speaker, found.columns.audio) == (
        (10, None),
        "reader",
        "mic1",
    )
    for other in ("me/corpus", "s3://me/corpus", "hf://datasets/me/corpus/data", "hub:me/corpus"):
        assert hub_dataset(other) is None, other
    for wrong in ("hf://me", "hf://", "hf://me/x:", "hf://me/x:train[3:3]", "hf://me/x:t[-3:]",
                  "hf://me/x:a\nb",
                  "hf://me/x#label=y", "hf://me/x#speaker", "hf://me/x:a/b/c"):  # fmt: skip
        with pytest.raises(DataError) as refused:
            hub_dataset(wrong)
        assert "\n" not in str(refused.value)


def parquet(paths: list[Path], known: Any = KNOWN, **changes: Any) -> bytes:
    """As `push_to_hub` of `datasets` writes a split."""
    audio = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    columns = {
        "audio": pa.array(audio, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "speaker_id": pa.array([path.parent.name for path in paths]),
        "age": pa.array([30 + number for number in range(len(paths))]),
        **changes,
    }
    table = pa.table({name: column for name, column in columns.items() if column is not None})
    features = {
        name: known.get(name, {"dtype": str(table.schema.field(name).type), "_type": "Value"})
        for name in table.column_names
    }
    said = json.dumps({"info": {"features": features}})
    content = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": said}), content)
    return content.getvalue()


@pytest.fixture(scope="module")
def server() -> Iterator[FakeHub]:
    with serving() as hub:
        yield hub


@pytest.fixture
def hub(server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """A Hub with one dataset, and a user without anything downloaded."""
    from huggingface_hub import constants, hf_api

    server.repositories.clear()
    server.asked.clear()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for where in (constants, datasets.config):
        monkeypatch.setattr(where, "HF_ENDPOINT", server.endpoint, raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
    template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(hf_api.api, "endpoint", server.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    template = server.endpoint + "/datasets/{repo_id}/resolve/{revision}/{path}"
    monkeypatch.setattr(datasets.config, "HUB_DATASETS_URL", template)
    server.repositories["datasets/me/corpus"] = Repository()
    files = {
        "data/train-00000-of-00002.parquet": parquet(VOICE_FILES[:4]),
        "data/train-00001-of-00002.parquet": parquet(VOICE_FILES[4:]),
        "data/test-00000-of-00001.parquet": parquet(VOICE_FILES[:1]),
    }
    server.repositories["datasets/me/corpus"].commit(files)
    return server


def test_a_split_is_a_corpus(hub: FakeHub) -> None:
    found = find_utterances("hf://me/corpus:train")
    assert not found.failures
    assert found.further_names == ["age"]
    assert {row.utterance for row in found} == {path.stem for path in VOICE_FILES}
    by_name = {path.stem: path for path in VOICE_FILES}
    for row in found:
        assert row.speaker == by_name[row.utterance].parent.name
        wave, rate = decode(row.path)
        expected, expected_rate = decode(by_name[row.utterance])
        assert rate == expected_rate
        np.testing.assert_array_equal(wave, expected)
    hub.asked.clear()
    again = find_utterances("hf://datasets/me/corpus:train")
    assert [row.path for row in again] == [row.path for row in found]
    assert not [each for each in hub.asked if each.endswith(".parquet")], "it was downloaded"
    both = find_utterances("hf://me/corpus")
    assert {row.utterance.partition("/")[0] for row in both} == {"train", "test"}


def test_counted_rows_are_streamed(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the files of their split are read; later, and offline, they are here."""
    from huggingface_hub import constants

    found = find_utterances("hf://me/corpus:train[1:5]")
    assert {row.utterance for row in found} == {path.stem for path in VOICE_FILES[1:5]}
    assert not [each for each in hub.asked if "test-00000" in each]
    assert not list((tmp_path / "datasets").rglob("*.arrow")), "nothing else was kept"
    expected = {path.stem: decode(path)[0] for path in VOICE_FILES}
    for row in found:
        np.testing.assert_array_equal(decode(row.path)[0], expected[row.utterance])
    hub.repositories["datasets/me/corpus"].commit({"train.parquet": parquet(VOICE_FILES[:1])})
    newer = find_utterances("hf://me/corpus:train[:5]")
    assert len(newer) == 1
    hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_utterances("hf://me/corpus:train[1:5]").table == found.table
    with pytest.raises(DataError, match="HF_HUB_OFFLINE forbids downloading it now"):
        find_utterances("hf://me/corpus:test[:1]")
    assert not hub.asked


def test_offline_datasets_come_from_the_cache(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    found = find_utterances("hf://me/corpus:test")
    hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    assert find_utterances("hf://me/corpus:test").table == found.table
    with pytest.raises(DataError, match="HF_HUB_OFFLINE forbids"):
        find_utterances("hf://me/other")
    assert not hub.asked


def test_columns_that_are_named(hub: FakeHub) -> None:
    content = parquet(VOICE_FILES[:2], speaker_id=None, narrator=pa.array(["x", "y"]))
    hub.repositories["datasets/me/books"] = Repository()
    hub.repositories["datasets/me/books"].commit({"train.parquet": content})
    found = find_utterances("hf://me/books:train#speaker=narrator")
    assert [row.speaker for row in found] == ["x", "y"]
    for name, words in {
        "hf://me/books": "with a column of speakers .* it has audio, age, narrator; .*#speaker=",
        "hf://me/books#speaker=reader": r"a column of speakers \(reader\) is needed",
        "hf://me/books#audio=wav": "a column of audio called 'wav' is needed",
    }.items():
        with pytest.raises(DataError, match=words) as refused:
            find_utterances(name)
        assert str(refused.value).startswith("hf://me/books: a dataset with ")


MISTAKES = {
    "hf://me/none": "has no such dataset, or you may not read it",
    "hf://me/secret": "has no such dataset, or you may not read it",
    "hf://me/gated": "requires consent: accept its terms on its page",
    "hf://me/corpus@v9": "has no revision 'v9'",
    "hf://me/corpus:tarin": "unknown split 'tarin'; did you mean 'train'?",
    "hf://me/corpus:en/train": "unknown config 'en'",
    "hf://me/corpus:default[:3]": "unknown split 'default'",
    "hf://me/languages": "has the configs de, en; choose one",
    "hf://me/languages:de[:1]": "selects rows of one split, but the splits are train",
    "hf://me/empty": "contains no files that `datasets` reads",
    "hf://me/broken": "cannot be downloaded from the Hugging Face Hub or read",
    "hf://me/broken:train[:1]": "cannot be downloaded from the Hugging Face Hub or read",
    "hf://me/deep": "hf download --repo-type dataset me/deep --local-dir FOLDER",
}


@pytest.fixture
def mistakes(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    card = b"---\nconfigs:\n" + b"".join(
        b"- config_name: %b\n  data_files: %b.parquet\n" % (name, name) for name in (b"de", b"en")
    )
    content = parquet(VOICE_FILES[:1])
    files: dict[str, dict[str, bytes]] = {
        "secret": {"train.parquet": content},
        "gated": {"train.parquet": content},
        "languages": {"README.md": card + b"---\n", "de.parquet": content, "en.parquet": content},
        "empty": {"README.md": b"# nothing\n"},
        "broken": {"train.parquet": content[:-200]},
        "deep": {f"train/a/1/{path.name}": path.read_bytes() for path in VOICE_FILES},
    }
    for name, each in files.items():
        kept = Repository(private=name == "secret", gated=name == "gated")
        hub.repositories[f"datasets/me/{name}"] = kept
        kept.commit(each)


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_line(name: str, mistakes: None, ask: Ask) -> None:
    answer = ask("export-list", name, "--format", "csv", "--output", "-")
    assert answer.code == 2
    assert MISTAKES[name] in answer.err
    assert answer.err.count("\n") == 1, answer.err
    assert answer.err.startswith("error: hf://me/")


@pytest.mark.parametrize("asked", ["", ":test", ":test[:1]", ":train[:4]"])
def test_numbers_of_other_speakers_are_refused(asked: str, hub: FakeHub) -> None:
    """`datasets` gives all files' and splits' numbers the names of the first file's speakers."""

    def numbered(names: list[str], number: int) -> bytes:
        known = KNOWN | {"speaker_id": {"_type": "ClassLabel", "names": names}}
        path = VOICE_FILES[number]
        return parquet([path], known, speaker_id=pa.array([number]))

    kept = Repository()
    hub.repositories["datasets/me/numbers"] = kept
    first = {"data/train-0.parquet": numbered(["anna", "ben"], 1)}
    kept.commit(first | {"data/test-0.parquet": numbered(["anna"], 0)})
    assert {row.speaker for row in find_utterances("hf://me/numbers")} == {"anna", "ben"}
    other = "train-1" if "train" in asked else "test-0"
    kept.commit(first | {"data/test-0.parquet": numbered(["anna"], 0)}
                | {f"data/{other}.parquet": numbered(["cora", "dan"], 0)})  # fmt: skip
    words = r"column .* numbers its speakers differently .*parquet, .* in others"
    for _ in range(2):  # once it is here, too
        with pytest.raises(DataError, match=words) as refused:
            find_utterances(f"hf://me/numbers{asked}")
        assert {"anna", "cora, dan"} <= set(re.findall("anna|cora, dan", str(refused.value)))


def test_one_config_of_several(hub: FakeHub, mistakes: None) -> None:
    assert len(find_utterances("hf://me/languages:de")) == 1
    assert len(find_utterances("hf://me/languages:en/train")) == 1
    assert len(find_utterances("hf://me/languages:en/train[:1]")) == 1


def test_a_folder_of_that_name_is_not_read_instead(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "me" / "corpus").mkdir(parents=True)
    with pytest.raises(DataError, match="the current folder contains a folder me/corpus"):
        find_utterances("hf://me/corpus")


def test_embedded_datasets_are_not_embedded_again(
    hub: FakeHub, run: Path, tmp_path: Path, ask: Ask
) -> None:
    answer = ask("embed", run, "hf://me/corpus:train", "--output", tmp_path / "emb")
    assert (answer.code, answer.layout) == (0, "layout: datasets, 3 speakers: " + ", ".join(
        sorted({path.parent.name for path in VOICE_FILES})) + "\n")  # fmt: skip
    again = ask("embed", run, "hf://me/corpus:train", "--output", tmp_path / "emb")
    assert again.out.startswith("all embedded already: 6 utterances")


def test_a_stream_is_encoded(hub: FakeHub, run: Path) -> None:
    """As docs/corpora.md has it: a recording's bytes are all that an encoder needs."""
    stream = datasets.load_dataset("me/corpus", split="train", streaming=True)
    stream = stream.cast_column("audio", datasets.Audio(decode=False))
    encoder = timbral.load_encoder(run)
    vectors = np.concatenate(
        [encoder.encode(list(batch["audio"])) for batch in stream.iter(batch_size=4)]
    )
    np.testing.assert_allclose(vectors, encoder.encode(VOICE_FILES), atol=1e-5)


def test_vectors_open_as_a_dataset(hub: FakeHub, run: Path, tmp_path: Path) -> None:
    timbral.embed(run, "hf://me/corpus:train", tmp_path / "emb")
    expected = pq.read_table(tmp_path / "emb" / "utterances.parquet")
    files = {name: str(tmp_path / "emb" / f"{name}.parquet") for name in ("utterances", "speakers")}
    found = datasets.load_dataset("parquet", data_files=files["utterances"], split="train")
    assert found.column_names == expected.column_names
    assert {"speaker", "age", "embedding"} <= set(found.column_names)
    vectors = found.with_format("numpy")["embedding"][:]
    np.testing.assert_array_equal(vectors, np.stack(expected["embedding"].to_pylist()))
    both = datasets.load_dataset("parquet", data_files={"speakers": files["speakers"]})
    assert sorted(both["speakers"]["speaker"]) == sorted({p.parent.name for p in VOICE_FILES})
    stream = datasets.load_dataset(
        "parquet", data_files=files["utterances"], split="train", streaming=True
    )
    assert next(iter(stream))["utterance"] == found[0]["utterance"]


def test_a_name_without_its_mark_is_told_the_mark(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for verb in ("prepare", "export-list", "inspect"):
        output = () if verb == "inspect" else ("--output", "out.csv")
        answer = ask(verb, "some/speech", *output)
        assert "some/speech: no such folder; for a dataset of the Hugging Face Hub write " in (
            answer.err
        ), verb
    answer = ask("embed", "campplus-int8", "some/speech", "--output", "out")
    assert "write hf://some/speech" in answer.err
    (tmp_path / "some").mkdir()
    assert "hf://" not in ask("prepare", "some/speech", "--output", "out").err
