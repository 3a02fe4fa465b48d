"""The voice map: which clips it holds, what is unreadable, and that no name can break it."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

import timbral
from timbral import api
from timbral.audio.preprocessing import load
from timbral.bulk.embed_job import EmbedJob
from timbral.embeddings.audit.findings import KINDS
from timbral.embeddings.table import write_table
from timbral.errors import ConfigError, DataError
from timbral.io.files import write_json
from timbral.plots import projection
from timbral.reports import voice_clips
from timbral.reports.map_findings import MapFinding, OtherRecording, map_findings
from timbral.reports.voice_map import Point, write_voice_map

VOICES = Path(timbral.__file__).parent / "demo" / "voices"
HOSTILE = "</script><b>&\u2028'\"@@CLIPS@@\\g<0>\udc80"


def demo_points(speakers: int, each: int) -> list[Point]:
    voices = sorted(path for path in VOICES.iterdir() if path.is_dir())[:speakers]
    return [
        Point(path.stem, voice.name, str(path), float(column), float(row))
        for row, voice in enumerate(voices)
        for column, path in enumerate(sorted(voice.glob("*.ogg"))[:each])
    ]


def data_and_clips(page: Path) -> tuple[dict[str, Any], list[str]]:
    text = page.read_text(encoding="utf-8")
    data, clips = (
        json.loads(re.findall(rf'id="map-{name}">(.*?)</script>', text, re.DOTALL)[0])
        for name in ("data", "clips")
    )
    return data, clips


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.seen)


def test_every_point_carries_the_start_of_its_recording(tmp_path: Path) -> None:
    points = demo_points(2, 3)
    calls: list[tuple[int, int]] = []
    page = tmp_path / "new" / "map.html"
    summary = write_voice_map(
        points, page, title="Two", clip_seconds=1.5, progress=lambda *call: calls.append(call)
    )
    assert (summary.num_points, summary.num_clips, summary.num_speakers) == (6, 6, 2)
    assert summary.unreadable == []
    assert calls == sorted(calls)
    assert calls[-1] == (6, 6)
    data, clips = data_and_clips(page)
    assert data["utterance"] == [point.utterance for point in points]
    assert [data["speakers"][index] for index in data["speaker"]] == [p.speaker for p in points]
    for point, clip in zip(points, clips, strict=True):
        wave, rate = soundfile.read(io.BytesIO(base64.b64decode(clip)), dtype="float32")
        assert (rate, wave.shape) == (16_000, (24_000,))
        original = load(point.path)[:24_000]
        assert np.corrcoef(wave, original)[0, 1] > 0.9
    assert "6 of 6 points have sound<" in page.read_text(encoding="utf-8")
    assert list(page.parent.iterdir()) == [page]


@pytest.mark.parametrize("sample_rate", [16_000, 24_000, 44_100])
def test_only_the_start_of_a_long_recording_is_decoded(tmp_path: Path, sample_rate: int) -> None:
    rng = np.random.default_rng(0)
    path = str(tmp_path / "long.wav")
    soundfile.write(path, 0.1 * rng.normal(size=20 * sample_rate), sample_rate)
    start = voice_clips.load_start(path, 6.0)
    assert start.size < 7 * 16_000
    np.testing.assert_array_equal(start[:96_000], load(path)[:96_000])
    inside = voice_clips.load_start(f"{path}#t=10,18.5", 6.0)
    np.testing.assert_array_equal(inside[:96_000], load(f"{path}#t=10,18.5")[:96_000])
    for whole in (f"{path}#t=10,12", f"{path}#t=17"):
        np.testing.assert_array_equal(voice_clips.load_start(whole, 6.0), load(whole))


def test_same_input_gives_same_bytes(tmp_path: Path) -> None:
    points = demo_points(2, 2)
    for name in ("a.html", "b.html"):
        write_voice_map(points, tmp_path / name, title="Same", clip_seconds=0.5)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_speakers_take_turns_within_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice_clips, "encode_clip", lambda path, seconds: "x" * 1000)
    points = [Point(f"a{i}", "anna", "-", i, 0) for i in range(8)]
    points += [Point("b0", "bert", "-", 0, 1), Point("c0", "cleo", "-", 0, 2)]
    page = tmp_path / "map.html"

    def chosen(megabytes: float) -> list[str]:
        summary = write_voice_map(points, page, title="", max_megabytes=megabytes)
        data, clips = data_and_clips(page)
        names = [name for name, clip in zip(data["utterance"], clips, strict=True) if clip]
        assert summary.num_clips == len(names)
        return names

    assert chosen(0.0) == []
    assert chosen(0.0019) == ["a0"]
    assert chosen(0.003) == ["a0", "b0", "c0"]
    assert chosen(0.006) == ["a0", "a2", "a4", "a6", "b0", "c0"]  # evenly over anna's list
    assert "6 of 10 points have sound; pale ones do not" in page.read_text(encoding="utf-8")
    assert len(chosen(0.01)) == 10


@pytest.mark.parametrize("count", [1, 2, 3, 8, 13])
def test_spread_order_holds_every_rank_once(count: int) -> None:
    assert sorted(voice_clips.spread_order(count)) == list(range(count))


def test_unreadable_recordings_have_no_clip(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "empty.wav").write_bytes(b"")
    soundfile.write(tmp_path / "silent.wav", np.zeros(8_000), 16_000)
    good = demo_points(1, 2)
    bad = [tmp_path / name for name in ("text.wav", "empty.wav", "silent.wav", "none.wav", "\0")]
    points = [Point(path.name, good[0].speaker, str(path), 0, 0) for path in bad] + good
    page = tmp_path / "out" / "map.html"
    summary = write_voice_map(points, page, title="", clip_seconds=0.5)
    assert summary.num_clips == 2
    assert [path for path, _ in summary.unreadable] == [str(path) for path in bad]
    reasons = [reason for _, reason in summary.unreadable]
    assert reasons[1:4] == [
        "the file is empty (0 bytes)",
        "the recording is silent",
        "no such file",
    ]
    data, clips = data_and_clips(page)
    assert [bool(clip) for clip in clips] == [False] * 5 + [True] * 2
    assert data["failed"] == {str(index): reason for index, reason in enumerate(reasons)}


def test_a_speaker_whose_first_recording_is_unreadable_has_a_clip(tmp_path: Path) -> None:
    first, second, other = *demo_points(1, 2), *demo_points(2, 1)[1:]
    points = [Point("gone", first.speaker, "gone.wav", 0, 0), first, second, other]
    one = max(len(voice_clips.encode_clip(point.path, 0.5)) for point in points[1:])
    page = tmp_path / "map.html"
    write_voice_map(points, page, title="", clip_seconds=0.5, max_megabytes=2 * one / 1e6)
    data, clips = data_and_clips(page)
    playable = {data["speaker"][index] for index, clip in enumerate(clips) if clip}
    assert playable == {0, 1}


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    tame, wild = tmp_path / "tame.html", tmp_path / "wild.html"
    write_voice_map([Point("u", "s", "p", 0, 0, "n")], tame, title="t")
    point = Point(HOSTILE, HOSTILE, HOSTILE, 0, 0, HOSTILE)
    write_voice_map([point], wild, title="</title><b>" + HOSTILE)
    text = wild.read_text(encoding="utf-8")
    assert [tag for tag, _ in Tags(text).seen] == [
        tag for tag, _ in Tags(tame.read_text(encoding="utf-8")).seen
    ]
    data, _ = data_and_clips(wild)
    assert data["utterance"] == data["speakers"] == data["path"] == data["note"] == [HOSTILE]
    assert data["failed"] == {"0": "the name is not UTF-8; rename the file"}


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    page = tmp_path / "map.html"
    write_voice_map(demo_points(1, 1), page, title="One & only", clip_seconds=0.5)
    text = page.read_text(encoding="utf-8")
    assert "function scatterPlot(" in text
    assert "<title>One &amp; only</title>" in text
    tags = Tags(text)
    assert not [attrs for tag, attrs in tags.seen if tag == "script" and "src" in attrs]
    assert [attrs["href"] for tag, attrs in tags.seen if "href" in attrs] == ["data:,"]
    policy = next(attrs for _, attrs in tags.seen if attrs.get("http-equiv"))
    assert "default-src 'none'" in str(policy["content"])
    assert "unsafe-eval" not in str(policy["content"])
    assert not re.search(r"@@[A-Z]+@@", text)


def test_unusable_arguments_are_errors_and_write_nothing(tmp_path: Path) -> None:
    page, good = tmp_path / "map.html", demo_points(1, 1)
    with pytest.raises(DataError, match="at least one point"):
        write_voice_map([], page, title="")
    with pytest.raises(DataError, match="not finite"):
        write_voice_map([Point("u", "s", "p", float("nan"), 0)], page, title="")
    for seconds in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="clip_seconds"):
            write_voice_map(good, page, title="", clip_seconds=seconds)
    for megabytes in (-1.0, float("nan")):
        with pytest.raises(ConfigError, match="max_megabytes"):
            write_voice_map(good, page, title="", max_megabytes=megabytes)
    assert list(tmp_path.iterdir()) == []


def test_interruption_leaves_the_old_page(tmp_path: Path) -> None:
    page = tmp_path / "map.html"
    page.write_text("old")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_voice_map(demo_points(2, 2), page, title="", progress=stop)
    assert page.read_text() == "old"
    assert list(tmp_path.iterdir()) == [page]


def embedded(folder: Path, corpus: str, paths: list[str]) -> Path:
    """A folder as `embed` leaves it, of a stranger: what its files say is what it likes."""
    job = EmbedJob("w", {}, None, "fp32", corpus)
    write_json(folder / ".embed" / "job.json", asdict(job))
    vectors = pa.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]] * 9, pa.list_(pa.float32(), 2))
    names = [str(row) for row in range(len(paths))]
    columns = {"utterance": names, "speaker": names, "path": paths}
    table = pa.table({**columns, "embedding": vectors[: len(paths)]})
    write_table(table, folder / "utterances.parquet")
    return folder


def test_only_the_corpus_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither URLs nor a private recording because a table names them."""
    asked: list[str] = []

    def encode(path: str, seconds: float) -> str:
        asked.append(path)
        return "clip"

    def drawn(folder: Path, **given: object) -> tuple[list[str], dict[str, str]]:
        asked.clear()
        _, page = api.map(folder, tmp_path / "map.html", **given)
        return sorted(asked), dict(page.unreadable)

    monkeypatch.setattr(voice_clips, "encode_clip", encode)
    monkeypatch.setattr(projection, "project", lambda vectors: vectors[:, :2])
    corpus = tmp_path / "corpus"
    inside = [f"{corpus}/a.wav", f"{corpus}/b.wav#t=1,2"]
    urls = ["http://host/d.wav", "s3://bucket/c.wav"]
    private = [f"{corpus}/../private.wav", f"{tmp_path}/private.wav"]
    paths = [*inside, *urls, *private]
    folder = embedded(tmp_path / "e", str(corpus), paths)
    read, reasons = drawn(folder)
    assert read == inside
    assert "URLs are fetched only below the `corpus`" in reasons[urls[0]]
    assert "is outside the corpus" in reasons[private[0]]
    assert drawn(folder, corpus="s3://bucket/")[0] == urls[1:]
    assert drawn(folder, corpus=tmp_path)[0] == sorted([*inside, *private])
    assert drawn(embedded(tmp_path / "u", "http://host", paths))[0] == []
    table = tmp_path / "list.csv"
    table.write_text(f"path,speaker\n{tmp_path}/private.wav,1\n")
    assert drawn(embedded(tmp_path / "t", str(table), paths))[0] == private, "the list has it"


def test_sound_of_many_points_lies_beside_the_page(tmp_path: Path) -> None:
    points, page = demo_points(2, 3), tmp_path / "my map.html"
    summary = write_voice_map(points, page, title="", clip_seconds=0.5, most_inside=5)
    assert summary.num_clips == 6
    data, clips = data_and_clips(page)
    folder = tmp_path / "my map-sound"
    assert data["beside"]
    assert {f"my%20map-sound/{path.name}" for path in folder.iterdir()} == set(clips)
    for clip, point in zip(clips, points, strict=True):
        wave, _ = soundfile.read(folder / clip.rpartition("/")[2])
        assert np.corrcoef(wave, load(point.path)[:8_000])[0, 1] > 0.9

    (folder / "mine.txt").write_text("kept")
    with pytest.raises(DataError, match=r"mine\.txt, which no map wrote"):
        write_voice_map(points, page, title="", most_inside=5)
    (folder / "mine.txt").unlink()
    write_voice_map(points[:4], page, title="", clip_seconds=0.5, most_inside=3)
    assert len(list(folder.iterdir())) == 4, "those of the earlier page are gone"
    write_voice_map(points, page, title="", clip_seconds=0.5)
    assert not data_and_clips(page)[0]["beside"]


def test_what_findings_play_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_clips, "encode_clip", lambda path, seconds: "x" * 1000)
    points = [Point(f"a{i}", "anna", "-", i, 0) for i in range(8)] + [
        Point("b0", "bert", "-", 0, 1)
    ]
    page = tmp_path / "map.html"
    findings = [MapFinding("duplicate", 98, "a3 and a7", [3, 7])]
    write_voice_map(points, page, title="", max_megabytes=0.003, findings=findings)
    data, clips = data_and_clips(page)
    assert data["findings"][0]["points"] == [3, 7]
    assert [index for index, clip in enumerate(clips) if clip] == [0, 3, 7]


def test_a_finding_with_a_moment_has_a_clip_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice_clips, "encode_clip", lambda path, seconds: path)
    paths = ["a.wav", "b.wav#t=10,30&speed=2", "c.wav"]
    points = [Point(f"u{row}", "anna", path, row, 0) for row, path in enumerate(paths)]
    findings = [
        MapFinding("second-speaker", 98, "u1: another voice", [1], 7.0),
        MapFinding("duplicate", 97, "u0 and u2", [0, 2]),
        MapFinding("second-speaker", 96, "u2: another voice", [2], 1.5),
    ]
    summary = write_voice_map(points, tmp_path / "map.html", title="", findings=findings)
    data, clips = data_and_clips(tmp_path / "map.html")
    assert (summary.num_points, summary.num_clips) == (3, 3)
    assert clips == [*paths, "b.wav#t=18,30&speed=2", "c.wav"]
    assert [each["clip"] for each in data["findings"]] == [3, None, 4]
    assert "3 of 3 points have sound" in (tmp_path / "map.html").read_text()
    refused = [replace(point, refusal="outside the corpus") for point in points]
    summary = write_voice_map(refused, tmp_path / "map.html", title="", findings=findings)
    data, clips = data_and_clips(tmp_path / "map.html")
    assert clips == [""] * 5
    assert len(summary.unreadable) == len(data["failed"]) == 3
    assert [each["clip"] for each in data["findings"]] == [None] * 3


def test_the_clip_around_a_moment_holds_it(tmp_path: Path) -> None:
    point = demo_points(1, 1)[0]
    wave = np.tile(load(point.path), 6)
    soundfile.write(tmp_path / "long.wav", wave, 16_000)
    long = replace(point, path=str(tmp_path / "long.wav"))
    seconds = len(wave) / 16_000
    findings = [MapFinding("second-speaker", 98, "", [0], at) for at in (9.0, seconds - 0.5)]
    write_voice_map([long], tmp_path / "map.html", title="", findings=findings)
    data, clips = data_and_clips(tmp_path / "map.html")
    for each, start in zip(data["findings"], (6.0, seconds - 3.5), strict=True):
        clip, _ = soundfile.read(io.BytesIO(base64.b64decode(clips[each["clip"]])))
        expected = wave[round(start * 16_000) :][:96_000]
        assert abs(len(clip) - len(expected)) < 1_600
        length = min(len(clip), len(expected))
        assert np.corrcoef(clip[:length], expected[:length])[0, 1] > 0.9


def test_a_finding_plays_its_sides() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 1, 2]] + 0.01
    vectors[0, 3] = 1.0
    columns = {
        "utterance": list("abcdef"),
        "speaker": ["s", "s", "s", "t", "t", "u"],
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 4),
    }
    names = ("utterance", "speaker", "other_utterance", "other_speaker")
    rows = [
        ("mislabeled", ("f", "u", None, "s"), [5, 1]),
        ("same-speaker", (None, "s", None, "t"), [1, 3]),
        ("mixed-speaker", ("a", "s", None, None), [0, 1]),
        ("duplicate", ("c", "s", "e", "t"), [2, 4]),
        ("shared-speaker", ("d", "t", "x", "y"), [3]),
        ("second-speaker", ("f", "u", None, None), [5]),
        ("second-speaker", ("e", "t", None, None), [4]),
        ("duplicate", ("gone", "s", "away", "t"), None),
    ]
    given = [
        {"kind": kind, "probability": 0.9, **dict(zip(names, values, strict=True))}
        | {"moment_seconds": 6.25, "second_voice": "before" if values[0] == "e" else "after"}
        for kind, values, _ in rows
    ]
    there = OtherRecording("x", "y", "x.wav")
    found = map_findings(pa.Table.from_pylist(given), pa.table(columns), {"x": there})
    assert [each.other for each in found if each.kind == "shared-speaker"] == [there]
    assert "d of t, there x of y" in [each.text for each in found]
    assert {each.other for each in found if each.kind != "shared-speaker"} == {None}
    assert [each.points for each in found] == [points for *_, points in rows if points]
    assert found[0].text == "f: s rather than u?"
    assert [each.text for each in found if each.moment] == [
        "f: another voice from 6.2 s on",
        "e: another voice until 6.2 s",
    ]
    assert {kind for kind, *_ in rows} == KINDS.keys()
