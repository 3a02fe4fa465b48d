"""Datasets of the Hub that are recordings or archives: the real client, against a local Hub."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import Ask
from fake_hub import FakeHub, Repository
from test_hub_datasets import VOICE_FILES, hub, server  # noqa: F401
from timbral.audio.decode import decode
from timbral.data.sources import find_utterances
from timbral.errors import DataError

datasets = pytest.importorskip("datasets")

Push = Callable[[str, dict[str, bytes]], None]
AUDIO = {path.name: path.read_bytes() for path in VOICE_FILES}


@pytest.fixture
def push(hub: FakeHub) -> Push:  # noqa: F811
    def pushed(name: str, files: dict[str, bytes]) -> None:
        hub.repositories[f"datasets/me/{name}"] = Repository()
        hub.repositories[f"datasets/me/{name}"].commit(files)

    return pushed


def metadata(speaker: str = "speaker_id", extra: str = "") -> bytes:
    rows = [f"{path.name},{path.parent.name},{30 + i}" for i, path in enumerate(VOICE_FILES)]
    return "\n".join([f"file_name,{speaker},age", *rows, *filter(None, [extra]), ""]).encode()


def test_folders_of_speakers(push: Push, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Also of several splits; offline they are what they were."""
    from huggingface_hub import constants

    first, second = VOICE_FILES[:4], VOICE_FILES[4:]
    files = {f"train/{path.parent.name}/{path.name}": path.read_bytes() for path in first}
    files |= {f"test/{path.parent.name}/{path.name}": path.read_bytes() for path in second}
    push("voices", {**files, "README.md": b"# Voices\n"})
    found = find_utterances("hf://me/voices:train")
    assert not found.failures
    assert {row.utterance: row.speaker for row in found} == {
        path.stem: path.parent.name for path in first
    }
    for row in found:
        original = next(path for path in first if path.stem == row.utterance)
        np.testing.assert_array_equal(decode(row.path)[0], decode(original)[0])
    assert not [each for each in hub.asked if "/test/" in each], "another split was downloaded"
    both = find_utterances("hf://me/voices")
    assert {row.utterance.partition("/")[0] for row in both} == {"train", "test"}
    hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_utterances("hf://me/voices:train").table == found.table
    with pytest.raises(DataError, match="HF_HUB_OFFLINE forbids"):
        find_utterances("hf://me/other")
    assert not hub.asked


def test_counted_recordings_alone_are_downloaded(push: Push, hub: FakeHub) -> None:  # noqa: F811
    push("voices", {f"{path.parent.name}/{path.name}": path.read_bytes() for path in VOICE_FILES})
    hub.asked.clear()
    assert len(find_utterances("hf://me/voices:train[1:3]")) == 2
    got = {each.rpartition("/")[2] for each in hub.asked if each.startswith("GET /datasets/")}
    assert len(got & set(AUDIO)) == 2


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_metadata_names_speakers(kind: str, push: Push, tmp_path: Path) -> None:
    content = metadata(extra="gone.ogg,x,1" if kind == "csv" else "")
    if kind == "jsonl":
        lines = content.decode().splitlines()
        names = lines[0].split(",")
        content = "".join(
            json.dumps(dict(zip(names, line.split(","), strict=True))) + "\n" for line in lines[1:]
        ).encode()
    push("read", {**AUDIO, f"metadata.{kind}": content, "unnamed.ogg": b"no audio"})
    found = find_utterances("hf://me/read:train")
    assert {row.utterance: row.speaker for row in found} == {
        path.stem: path.parent.name for path in VOICE_FILES
    }
    assert found.further_names == ["age"]
    said = {failure.path.rpartition("/")[2]: failure.kind for failure in found.failures}
    gone = {"hf://me/read:train: gone.ogg": "missing"} if kind == "csv" else {}
    assert {path.split(": ")[-1]: what for path, what in said.items()} == {
        "unnamed.ogg": "no-speaker",
        **{key.split(": ")[-1]: what for key, what in gone.items()},
    }
    assert len(find_utterances("hf://me/read:train[:2]")) == 2


def test_a_column_that_is_named(push: Push) -> None:
    push("books", {**AUDIO, "metadata.csv": metadata("narrator")})
    found = find_utterances("hf://me/books:train#speaker=narrator")
    assert {row.speaker for row in found} == {path.parent.name for path in VOICE_FILES}
    for name, words in {
        "hf://me/books": "metadata.csv: has no column 'speaker'.*#speaker=COLUMN",
        "hf://me/books#speaker=x": "has no column 'x'; it has: file_name, narrator, age",
    }.items():
        with pytest.raises(DataError, match=words) as refused:
            find_utterances(name)
        assert "\n" not in str(refused.value)


def test_tar_archives(push: Push) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path in VOICE_FILES:
            said = json.dumps({"spk": path.parent.name}).encode()
            for name, each in ((path.name, path.read_bytes()), (f"{path.stem}.json", said)):
                member = tarfile.TarInfo(name)
                member.size = len(each)
                archive.addfile(member, io.BytesIO(each))
    push("shards", {"train-0.tar": content.getvalue()})
    found = find_utterances("hf://me/shards:train")
    assert {row.utterance: row.speaker for row in found} == {
        f"train-0/{path.stem}": path.parent.name for path in VOICE_FILES
    }
    with pytest.raises(DataError, match="cannot select samples in tar archives"):
        find_utterances("hf://me/shards:train[:2]")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (AUDIO, "do not show the speakers. Download it with `hf download"),
        ({f"a/b/{name}": each for name, each in AUDIO.items()}, "Download it with `hf download"),
        ({**AUDIO, "metadata.csv": b"file_name,speaker\n\xff\xfe,b\n"}, "metadata.csv: "),
        ({**AUDIO, "metadata.csv": b"file_name,speaker\n../../etc/passwd,b\n"}, "no usable|1 fail"),
        ({**AUDIO, "metadata.jsonl": b"{'a'}\n"}, "metadata.jsonl: "),
    ],
    ids=["flat", "deep", "no text", "outside", "no JSON"],
)
def test_mistakes_are_explained(files: dict[str, bytes], words: str, push: Push, ask: Ask) -> None:
    push("wrong", files)
    answer = ask("export-list", "hf://me/wrong", "--format", "csv", "--output", "-")
    assert answer.code in (1, 2)
    assert "Traceback" not in answer.err
    if words.startswith("no usable"):
        assert "passwd" in answer.err or "7 " in answer.err, answer.err
    else:
        assert answer.code == 2
        assert words in answer.err
        assert answer.err.count("\n") == 1, answer.err
