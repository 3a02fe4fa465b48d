"""Corpora that lie in files of other tools: datasets' Arrow files, WebDataset, Lhotse's cuts."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lhotse
import numpy as np
import pyarrow as pa
import pytest

from conftest import Ask
from timbral.audio.decode import decode
from timbral.audio.segments import Segment
from timbral.data.corpora.passed_over import count_passed_over
from timbral.data.manifest import Manifest
from timbral.data.sources import find_utterances
from timbral.errors import AudioError, DataError

Rows = list[tuple[str, str, Path]]
"""name, speaker, recording"""


@pytest.fixture(scope="module")
def rows(voices: Path) -> Rows:
    paths = [
        path for folder in sorted(voices.iterdir())[:2] for path in sorted(folder.iterdir())[:2]
    ]
    return [(path.stem, path.parent.name, path) for path in paths]


def write_datasets(folder: Path, rows: Rows, **changes: Any) -> None:
    """As `Dataset.save_to_disk` of datasets 4 writes."""
    speakers = sorted({speaker for _, speaker, _ in rows})
    features = {
        "audio": {"sampling_rate": 16_000, "_type": "Audio"},
        "speaker_id": {"names": speakers, "_type": "ClassLabel"},
    }
    audio = pa.array(
        [{"bytes": path.read_bytes(), "path": path.name} for _, _, path in rows],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    labels = pa.array([speakers.index(speaker) for _, speaker, _ in rows], pa.int64())
    columns = {"audio": audio, "speaker_id": labels, **changes}
    table = pa.table({name: column for name, column in columns.items() if column is not None})
    said = json.dumps({"info": {"features": features}})
    table = table.replace_schema_metadata({"huggingface": said})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    path = str(folder / "data-00000-of-00001.arrow")
    with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=3)


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def write_webdataset(folder: Path, rows: Rows) -> None:
    for number, (name, speaker, path) in enumerate(rows):
        beside = {"json": json.dumps({"spk": speaker, "text": "hello"}), "cls": speaker}
        ending = "json" if number % 2 else "cls"
        members = {f"{name}.{ending}": beside[ending].encode(), f"{name}.ogg": path.read_bytes()}
        write_tar(folder / f"shard-{number}.tar", members)


def cuts(rows: Rows) -> lhotse.CutSet:
    made = []
    for name, speaker, path in rows:
        recording = lhotse.Recording.from_file(path, recording_id=name)
        cut = recording.to_cut()
        cut.id = name
        cut.supervisions = [
            lhotse.SupervisionSegment(name, name, 0.0, cut.duration, speaker=speaker)
        ]
        made.append(cut)
    return lhotse.CutSet.from_cuts(made)


def write_shar(folder: Path, rows: Rows) -> None:
    folder.mkdir()
    cuts(rows).to_shar(folder, fields={"recording": "flac"}, shard_size=3)


def write_cuts(folder: Path, rows: Rows) -> None:
    folder.mkdir()
    cuts(rows).to_file(folder / "cuts.jsonl.gz")


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "datasets": write_datasets,
    "webdataset": write_webdataset,
    "lhotse-shar": write_shar,
    "lhotse-cuts": write_cuts,
}


@pytest.mark.parametrize("layout", WRITERS)
def test_a_corpus_in_other_tools_files(layout: str, rows: Rows, tmp_path: Path) -> None:
    """Recognized by its files, and decoded from its bytes."""
    WRITERS[layout](tmp_path / "corpus", rows)
    found = find_utterances(tmp_path / "corpus")
    assert found.layout == layout
    assert not found.failures
    assert len(found) == len(rows)
    by_name = {row.utterance.rpartition("/")[2]: row for row in found}
    for name, speaker, path in rows:
        assert by_name[name].speaker == speaker
        wave, sample_rate = decode(by_name[name].path)
        expected, expected_rate = decode(path)
        assert sample_rate == expected_rate
        assert np.abs(wave - expected).max() <= (1e-4 if layout == "lhotse-shar" else 0.0)


def test_prepare_and_embed_take_them(rows: Rows, run: Path, tmp_path: Path, ask: Ask) -> None:
    write_webdataset(tmp_path / "corpus", rows)
    corpus, output = str(tmp_path / "corpus"), str(tmp_path / "out")
    assert ask("prepare", corpus, "--output", output).code == 0
    assert ask("inspect", corpus).code == 0
    assert ask("embed", str(run), corpus, "--output", str(tmp_path / "emb")).code == 0
    assert (tmp_path / "emb" / "utterances.parquet").is_file()
    refused = ask("export-list", corpus, "--format", "kaldi", "--output", str(tmp_path / "kaldi"))
    assert refused.code == 2
    refused = ask("export-list", corpus, "--format", "lhotse", "--output", str(tmp_path / "lhotse"))
    assert refused.code == 2


def test_a_file_of_cuts_is_a_corpus(rows: Rows, tmp_path: Path, ask: Ask) -> None:
    """As `export-list --format cuts` and lhotse write it, compressed or not, whatever its name."""
    write_cuts(tmp_path / "c", rows)
    packed = tmp_path / "c" / "cuts.jsonl.gz"
    plain = tmp_path / "mine.jsonl"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    expected = find_utterances(tmp_path / "c")
    for file in (packed, plain):
        found = find_utterances(file)
        assert (found.table, found.layout) == (expected.table, "lhotse-cuts")
    written = ask(
        "export-list", packed, "--format", "cuts", "--output", tmp_path / "again.jsonl.gz"
    )
    assert (written.code, "layout: lhotse-cuts" in written.err) == (0, True), written.err
    assert find_utterances(tmp_path / "again.jsonl.gz").table["path"] == expected.table["path"]
    for content, words in (
        (packed.read_bytes()[:40], "cannot be read as Lhotse's cuts"),
        (b"no gzip", "cannot be read as Lhotse's cuts"),
        (gzip.compress(b'{"audio_filepath": "a.wav", "label": "s"}'), "cuts of Lhotse \\(\\.jsonl"),
        (gzip.compress(b""), "cuts of Lhotse \\(\\.jsonl"),
    ):
        packed.write_bytes(content)
        with pytest.raises(DataError, match=words) as refused:
            find_utterances(packed)
        assert "\n" not in str(refused.value)


def test_one_archive_is_a_corpus(rows: Rows, tmp_path: Path) -> None:
    write_webdataset(tmp_path / "c", rows)
    folder = find_utterances(tmp_path / "c")
    archives = sorted((tmp_path / "c").glob("*.tar"))
    found = [row for archive in archives for row in find_utterances(archive)]
    assert sorted(row.utterance for row in found) == sorted(row.utterance for row in folder)
    assert {row.path for row in found} == {row.path for row in folder}
    (tmp_path / "bad.tar").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"bad\.tar") as refused:
        find_utterances(tmp_path / "bad.tar")
    assert "\n" not in str(refused.value)


def test_splits_and_names_of_datasets(rows: Rows, tmp_path: Path) -> None:
    write_datasets(tmp_path / "train", rows)
    write_datasets(tmp_path / "test", rows[:1])
    write_datasets(tmp_path / "more", [*rows, rows[0]])
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test", "more"]}')
    (tmp_path / "test" / "state.json").write_text("{}")
    (tmp_path / "notes.json").write_text("{}")
    found = find_utterances(tmp_path, "datasets")
    assert count_passed_over([tmp_path], found) == {
        ".json": 1
    }  # not what the dataset says of itself
    names = {row.utterance for row in found}
    assert f"test/{rows[0][0]}" in names
    assert "more/00000004" in names  # names that are there twice are numbered
    assert len(names) == 2 * len(rows) + 2


def test_bytes_within_a_file(tmp_path: Path, rows: Rows) -> None:
    content = rows[0][2].read_bytes()
    path = tmp_path / "both.bin"
    path.write_bytes(b"x" * 100 + content)
    inside = f"{path}#bytes=100,{len(content)}"
    assert Segment.of(inside).recording == inside
    assert str(Segment.of(f"{inside}&t=1,2")) == f"{inside}&t=1,2"
    assert np.array_equal(decode(inside)[0], decode(rows[0][2])[0])
    seconds = decode(f"{path}#t=0.5,1&bytes=100,{len(content)}")[0]
    assert np.array_equal(seconds, decode(f"{rows[0][2]}#t=0.5,1")[0])
    for wrong, words in (
        (f"{path}#bytes=100,{len(content) + 1}", "is cut short"),
        (f"{path}#bytes=100,99999999999999", "is cut short"),
        (f"{path}#bytes=0,100", "cannot be read as audio"),
        (f"{tmp_path / 'none.tar'}#bytes=0,100", "no such file"),
        (f"{tmp_path}#bytes=0,100", "folder"),
        (f"{path}#bytes=5,0", "cannot be read as audio"),
    ):
        with pytest.raises(AudioError, match=words):
            decode(wrong)


def failures(found: Manifest) -> str:
    return "; ".join(map(str, found.failures))


def test_bad_members_of_webdataset_are_failures(rows: Rows, tmp_path: Path) -> None:
    audio = rows[0][2].read_bytes()
    write_tar(
        tmp_path / "a.tar",
        {
            "good.ogg": audio, "good.cls": b"anna",
            "alone.ogg": audio,
            "two.ogg": audio, "two.wav": audio, "two.cls": b"anna",
            "none.cls": b"anna",
            "list.ogg": audio, "list.json": b"[1]",
            "broken.ogg": audio, "broken.json": b"{",
            "bytes.ogg": audio, "bytes.cls": b"\xff\xfe",
            "long.ogg": audio, "long.cls": b"a" * 1_000_001,
        },
    )  # fmt: skip
    (tmp_path / "b.tar").write_bytes(b"no archive at all" * 100)
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "c.tar").write_bytes(gzip.compress(whole))
    found = find_utterances(tmp_path, "webdataset")
    assert [row.utterance for row in found] == ["a/good"]
    told = failures(found)
    for words in (
        "alone: its JSON (", "two: has 2 recordings", "none: has 0 recordings", "list: its JSON",
        "broken: its JSON", "bytes: its JSON or cls", "long.cls has 1,000,001 bytes",
        "b.tar: cannot be read as an uncomp", "c.tar: cannot be read as an uncomp",
    ):  # fmt: skip
        assert words in told, words
    assert len(found.failures) == 9


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"speaker_id": None}, "with a column of speakers"),
        ({"audio": None}, "with a column of audio"),
        ({"other": pa.array([{"bytes": b"", "path": ""}] * 4)}, ""),
    ],
)
def test_datasets_without_what_is_needed(
    changes: dict[str, Any], words: str, rows: Rows, tmp_path: Path
) -> None:
    write_datasets(tmp_path / "d", rows, **changes)
    if not words:
        assert len(find_utterances(tmp_path / "d")) == len(rows)
        return
    with pytest.raises(DataError, match=words):
        find_utterances(tmp_path / "d")


def test_damaged_datasets(rows: Rows, tmp_path: Path) -> None:
    write_datasets(tmp_path / "d", rows)
    path = tmp_path / "d" / "data-00000-of-00001.arrow"
    whole = path.read_bytes()
    for content in (b"", b"no arrow", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read as a dataset's Arrow file"):
            find_utterances(tmp_path / "d")


def test_rows_without_audio_or_speaker_are_failures(rows: Rows, tmp_path: Path) -> None:
    audio = [{"bytes": path.read_bytes(), "path": None} for _, _, path in rows[:2]]
    outside = {"bytes": None, "path": str(rows[2][2])}
    column = pa.array(
        [*audio, outside, None], pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    )
    write_datasets(tmp_path / "d", rows, audio=column, speaker_id=pa.array([0, None, 1, 1]))
    found = find_utterances(tmp_path / "d")
    assert [row.utterance for row in found] == ["00000000", "00000002"]
    assert found[1].path == str(rows[2][2])
    assert "row 2: names no speaker" in failures(found)
    assert "row 4: has no audio" in failures(found)


def test_bad_cuts_are_failures(rows: Rows, tmp_path: Path) -> None:
    write_cuts(tmp_path / "c", rows)
    path = tmp_path / "c" / "cuts.jsonl.gz"
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    lines[1]["supervisions"].append({**lines[1]["supervisions"][0], "speaker": "another"})
    lines[2]["supervisions"] = []
    del lines[3]["recording"]
    path.write_bytes(gzip.compress("\n".join([*map(json.dumps, lines), "{"]).encode()))
    found = find_utterances(tmp_path / "c")
    assert len(found) == 1
    told = failures(found)
    assert "one speaker is needed in its supervisions, found a" in told
    assert "found no speaker" in told
    assert "has no 'recording'" in told
    assert "cuts.jsonl.gz:5" in told
    write_shar(tmp_path / "s", rows)
    next(iter(sorted((tmp_path / "s").glob("recording.*.tar")))).unlink()
    found = find_utterances(tmp_path / "s", "lhotse-shar")
    assert len(found) == 1
    assert "no recording.*.tar contains its audio" in failures(found)


@pytest.mark.parametrize("layout", ["auto", "webdataset"])
def test_samples_without_speakers_are_told(layout: str, rows: Rows, tmp_path: Path) -> None:
    """And not that there is no audio, or that folders of speakers were expected."""
    write_tar(tmp_path / "corpus" / "shard.tar", {"a.ogg": rows[0][2].read_bytes()})
    with pytest.raises(DataError, match="cls file does not contain a speaker") as refused:
        find_utterances(tmp_path / "corpus", layout)
    assert "\n" not in str(refused.value)
    write_tar(tmp_path / "empty" / "shard.tar", {})
    with pytest.raises(
        DataError, match=r"no audio found|its lists \(layout webdataset\) are empty"
    ):
        find_utterances(tmp_path / "empty", layout)
