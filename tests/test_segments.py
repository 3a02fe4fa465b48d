"""Parts of recordings: their notation, and that they are used wherever recordings are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import SMALL
from timbral import api
from timbral.audio.decode import decode, read_header, resample, stated_seconds
from timbral.audio.preprocessing import Preprocessing
from timbral.audio.segments import Segment, recording_ids
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.inspect.inspection import inspect_data
from timbral.data.lists.export import write_list
from timbral.data.lists.registry import LIST_FORMATS
from timbral.data.manifest import Manifest, Utterance
from timbral.data.manifest_reader import read_manifest
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.data.sources import find_utterances
from timbral.data.text_columns import TABLE_SUFFIXES
from timbral.embeddings.formats.registry import FORMATS
from timbral.encoders.lstm import LstmEncoder
from timbral.errors import AudioError, DataError
from timbral.inference.embedder import Embedder


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of two voices, and a Kaldi directory that says who speaks when."""
    folder = tmp_path_factory.mktemp("calls")
    random = np.random.default_rng(3)
    for name in ("morning", "evening"):
        soundfile.write(folder / f"{name}.wav", 0.1 * random.standard_normal(8 * 16_000), 16_000)
    turns = {
        "ann-1": "morning 0.000 2.500",
        "ann-2": "evening 3.0 5.25",
        "bob-1": "morning 2.5 6.1",
        "bob-2": "evening 5.25 -1",
    }
    (folder / "wav.scp").write_text("morning morning.wav\nevening evening.wav\n")
    (folder / "segments").write_text("".join(f"{k} {v}\n" for k, v in turns.items()))
    (folder / "utt2spk").write_text("".join(f"{k} {k[:3]}\n" for k in turns))
    return folder


@pytest.mark.parametrize(
    ("path", "segment"),
    [
        ("a.wav", Segment("a.wav")),
        ("a.wav#t=1.5,3", Segment("a.wav", 1.5, 3.0)),
        ("a.wav#t=,3", Segment("a.wav", 0.0, 3.0)),
        ("a.wav#t=10", Segment("a.wav", 10.0)),
        ("s3://b/a b.flac#t=0.000001,1", Segment("s3://b/a b.flac", 1e-6, 1.0)),
        ("a#t=x.wav", Segment("a#t=x.wav")),
        ("a#1.wav", Segment("a#1.wav")),
        ("a.wav#channel=1", Segment("a.wav", channel=1)),
        (
            "a.wav#t=1,2&channel=0&rate=8000&speed=0.9&gain=0.5",
            Segment("a.wav", 1, 2, 0, 8000, 0.9, 0.5),
        ),
        ("a.wav#speed=x", Segment("a.wav#speed=x")),
    ],
)
def test_paths_of_segments_are_read(path: str, segment: Segment) -> None:
    assert Segment.of(path) == segment
    assert Segment.of(str(segment)) == segment


def test_recording_ids_are_unique() -> None:
    segments = [
        Segment("x/a.wav", 1),
        Segment("y/a.wav", 2),
        Segment("z/a-2.wav", 1),
        Segment("a.wav"),
    ]
    ids = recording_ids(
        {"a" if segment.is_whole else str(segment): segment for segment in segments}
    )
    assert ids["a.wav"] == "a"
    assert len(set(ids.values())) == 4


@pytest.mark.parametrize(
    ("suffix", "subtype"), [("wav", "PCM_16"), ("wav", "FLOAT"), ("flac", None), ("ogg", "VORBIS")]
)
def test_segment_equals_slice_of_whole(
    voices: Path, tmp_path: Path, suffix: str, subtype: str | None
) -> None:
    wave, rate = decode(next(voices.rglob("*.ogg")))
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, wave, rate, subtype=subtype)
    whole, _ = decode(path)
    piece, _ = decode(f"{path}#t=0.7,1.3")
    np.testing.assert_array_equal(piece, whole[round(0.7 * rate) : round(1.3 * rate)])
    rest, _ = decode(f"{path}#t=0.7")
    np.testing.assert_array_equal(rest, whole[round(0.7 * rate) :])
    assert read_header(f"{path}#t=0.7,1.3") == (rate, piece.size, 1)


def test_segments_of_containers(voices: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    wave, rate = decode(next(voices.rglob("*.ogg")))
    with av.open(str(tmp_path / "a.m4a"), "w") as out:
        stream = out.add_stream("aac", rate=rate)
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    whole, rate = decode(tmp_path / "a.m4a")
    piece, _ = decode(f"{tmp_path}/a.m4a#t=0.5,1")
    np.testing.assert_array_equal(piece, whole[round(0.5 * rate) : rate])


@pytest.mark.parametrize(
    ("times", "given"), [("9", 0), ("9,10", 0), ("3,2", 0), ("7,8.6", 0), ("7,8.4", 1.0)]
)
def test_missing_segments_are_errors(calls: Path, times: str, given: float) -> None:
    if given:  # lists round their times
        assert decode(f"{calls}/morning.wav#t={times}")[0].size == given * 16_000
        return
    with pytest.raises(AudioError, match=r"#t=.*no such segment: the recording has 8\.000 s"):
        decode(f"{calls}/morning.wav#t={times}")


def test_kaldi_segments_are_prepared(calls: Path, tmp_path: Path) -> None:
    prepare(scan_corpus("kaldi", calls), tmp_path / "data", Preprocessing(min_rms_dbfs=None))
    store = Store.open(tmp_path / "data")
    assert store.table["utterance"].to_pylist() == ["ann-1", "ann-2", "bob-1", "bob-2"]
    seconds = [2.5, 2.25, 3.6, 2.75]
    np.testing.assert_allclose(store.samples / 16_000, seconds)
    evening, _ = soundfile.read(calls / "evening.wav", dtype="int16")
    np.testing.assert_array_equal(store.pcm(1), evening[48_000:84_000])
    found = inspect_data(calls, "kaldi")
    np.testing.assert_allclose(found.seconds, seconds)
    assert not found.duplicates


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ann-1 morning 3 2", "a later end in seconds are needed, got 'morning 3 2'"),
        ("ann-1 morning 0", "are needed"),
        ("ann-1 morning -1 2", "are needed"),
        ("ann-1 noon 0 2", "recording 'noon', which is not in wav.scp"),
        ("cid-1 morning 0 2", "has no speaker for 'cid-1'"),
    ],
)
def test_unusable_segments_are_errors(calls: Path, tmp_path: Path, line: str, words: str) -> None:
    for name in ("wav.scp", "utt2spk"):
        (tmp_path / name).write_text((calls / name).read_text())
    (tmp_path / "segments").write_text(f"{line}\n")
    with pytest.raises(DataError, match=words):
        scan_corpus("kaldi", tmp_path)


@pytest.mark.parametrize("format", LIST_FORMATS)
def test_segments_survive_every_list_format(calls: Path, tmp_path: Path, format: str) -> None:
    whole = Utterance("cid-1", "cid", "", f"{calls}/morning.wav", "kaldi")
    rows = Manifest.of([*scan_corpus("kaldi", calls), whole])
    suffix = f".{format}" if LIST_FORMATS[format].layout is None else ""
    assert write_list(rows, tmp_path / f"list{suffix}", format) == (5, 0)
    if not suffix or suffix in TABLE_SUFFIXES:  # others are only written
        back = find_utterances(tmp_path / f"list{suffix}", format)
        assert [(r.utterance, r.speaker, r.path) for r in back] == [
            (r.utterance, r.speaker, r.path) for r in rows
        ]


def test_list_of_whole_files_replaces_list_of_segments(calls: Path, tmp_path: Path) -> None:
    write_list(scan_corpus("kaldi", calls), tmp_path / "list", "kaldi")
    whole = Utterance("cid-1", "cid", "", f"{calls}/morning.wav", "kaldi")
    write_list(Manifest.of([whole]), tmp_path / "list", "kaldi")
    (back,) = scan_corpus("kaldi", tmp_path / "list")
    assert back.path == whole.path


@pytest.mark.filterwarnings("ignore")
def test_lhotse_cuts_the_same_segments(calls: Path, tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    rows = scan_corpus("kaldi", calls)
    write_list(rows, tmp_path / "ours", "lhotse")
    recordings = lhotse.RecordingSet.from_file(tmp_path / "ours" / "recordings.jsonl.gz")
    supervisions = lhotse.SupervisionSet.from_file(tmp_path / "ours" / "supervisions.jsonl.gz")
    cuts = lhotse.CutSet.from_manifests(recordings, supervisions).trim_to_supervisions()
    loaded = {cut.supervisions[0].id: cut.load_audio()[0] for cut in cuts}
    for row in rows:
        np.testing.assert_allclose(loaded[row.utterance], decode(row.path)[0], atol=1e-6)
    lhotse.kaldi.export_to_kaldi(recordings.to_eager(), supervisions.to_eager(), tmp_path / "kaldi")
    back = scan_corpus("kaldi", tmp_path / "kaldi")
    for ours, theirs in zip(rows, back, strict=True):
        np.testing.assert_array_equal(decode(ours.path)[0], decode(theirs.path)[0])


def write_lhotse(folder: Path, recordings: object, supervisions: list[object]) -> Path:
    """Lhotse's own files of a RecordingSet and of dicts of supervisions."""
    recordings.to_file(folder / "recordings.jsonl.gz")  # type: ignore[attr-defined]
    lines = (json.dumps(row) + "\n" for row in supervisions)
    (folder / "supervisions.jsonl").write_text("".join(lines))
    return folder


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    size = min(len(one), len(other))
    return float(np.corrcoef(one[:size], other[:size])[0, 1])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "change",
    [
        lambda recordings: recordings,
        lambda recordings: recordings.perturb_speed(0.9, affix_id=False),
        lambda recordings: recordings.perturb_speed(1.1, affix_id=False),
        lambda recordings: recordings.perturb_volume(0.3, affix_id=False),
        lambda recordings: recordings.resample(8_000),
        lambda recordings: recordings.resample(24_000).perturb_speed(1.1, affix_id=False),
        lambda recordings: recordings.perturb_speed(0.9, affix_id=False).resample(8_000),
    ],
    ids=["none", "slower", "faster", "volume", "8 kHz", "24 kHz faster", "slower 8 kHz"],
)
def test_transforms_of_lhotse_are_applied(voices: Path, tmp_path: Path, change: object) -> None:
    """What is read is what Lhotse itself loads: the same samples, resampled by another filter."""
    lhotse = pytest.importorskip("lhotse")
    wave, rate = decode(next(voices.rglob("*.ogg")))
    left, right = wave, wave[::-1]
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), rate, "FLOAT")
    recordings = lhotse.RecordingSet.from_recordings(
        [lhotse.Recording.from_file(tmp_path / "a.wav")]
    )
    recordings = change(recordings).to_eager()  # type: ignore[operator]
    times = {"recording_id": "a", "start": 0.8, "duration": 0.75, "speaker": "s"}
    rows = [{**times, "id": f"u{channel}", "channel": channel} for channel in (0, 1)]
    found = find_utterances(write_lhotse(tmp_path, recordings, rows), "lhotse")
    assert not found.failures
    for row, channel in zip(found, (0, 1), strict=True):
        loaded = recordings["a"].load_audio(channels=channel, offset=0.8, duration=0.75)[0]
        ours = resample(*decode(row.path), recordings["a"].sampling_rate)
        assert len(ours) == pytest.approx(len(loaded), abs=2)
        assert correlation(ours, loaded) > 0.999
        assert np.std(ours) == pytest.approx(np.std(loaded), rel=0.01)
        seconds = len(decode(row.path)[0]) / decode(row.path)[1]
        assert stated_seconds(row.path) == pytest.approx(seconds, abs=1e-3)
        header = read_header(row.path)
        assert header[0] == decode(row.path)[1]
        assert header[1] == pytest.approx(len(decode(row.path)[0]), abs=1)


@pytest.mark.filterwarnings("ignore")
def test_other_transforms_of_lhotse_are_refused_by_name(tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
    recording = lhotse.Recording.from_file(tmp_path / "a.wav").perturb_tempo(1.1, affix_id=False)
    recordings = lhotse.RecordingSet.from_recordings([recording])
    row = {"id": "u", "recording_id": "a", "start": 0, "duration": 0.5, "speaker": "s"}
    write_lhotse(tmp_path, recordings, [row])
    with pytest.raises(DataError, match="its transform 'Tempo' is not supported"):
        find_utterances(tmp_path, "lhotse")


def test_lhotse_channels_are_not_mixed(tmp_path: Path) -> None:
    waves = np.random.default_rng(0).normal(0, 0.1, (16_000, 2))
    soundfile.write(tmp_path / "a.wav", waves, 16_000, "FLOAT")
    rows = [Utterance(name, "s", "", f"{tmp_path}/a.wav#channel={name}", "c") for name in "01"]
    write_list(Manifest.of(rows), tmp_path, "lhotse")
    found = find_utterances(tmp_path, "lhotse")
    assert [row.path for row in found] == [row.path for row in rows]
    for channel, row in enumerate(found):
        np.testing.assert_allclose(decode(row.path)[0], waves[:, channel], atol=1e-6)
    with pytest.raises(AudioError, match="has no channel 2; it has 2, counted from 0 "):
        decode(f"{tmp_path}/a.wav#channel=2")
    with pytest.raises(DataError, match="Kaldi's format cannot express one channel"):
        write_list(found, tmp_path / "kaldi", "kaldi")


def test_tables_with_start_and_end(calls: Path) -> None:
    (calls / "t.csv").write_text(
        "path,speaker,start,end\nmorning.wav,ann,,2.5\nevening.wav,bob,5.25,\nmorning.wav,cid,,\n"
    )
    rows = {row.speaker: row for row in read_manifest(calls / "t.csv")}
    assert rows["ann"].path == f"{calls}/morning.wav#t=0,2.5"
    assert rows["bob"].path == f"{calls}/evening.wav#t=5.25"
    assert rows["cid"].path == f"{calls}/morning.wav"
    assert [rows[name].utterance for name in rows] == ["morning-0-2.5", "evening-5.25", "morning"]


def test_ids_of_channels_in_tables_differ(tmp_path: Path) -> None:
    paths = ["a.wav#channel=0", "a.wav#t=1&channel=1&speed=0.9"]
    (tmp_path / "t.csv").write_text(f"path,speaker\n{paths[0]},ann\n{paths[1]},bob\n")
    assert [(row.utterance, row.path) for row in read_manifest(tmp_path / "t.csv")] == [
        ("a-channel-0", f"{tmp_path}/a.wav#channel=0"),
        ("a-1-channel-1-speed-0.9", f"{tmp_path}/a.wav#t=1&channel=1&speed=0.9"),
    ]


@pytest.mark.parametrize(
    ("cell", "words"),
    [("3,2", "row 1: a segment needs"), ("-1,2", "row 1"), ("x,2", "should be seconds")],
)
def test_tables_with_wrong_times(tmp_path: Path, cell: str, words: str) -> None:
    (tmp_path / "t.csv").write_text(f"path,speaker,start,end\na.wav,ann,{cell}\n")
    with pytest.raises(DataError, match=words):
        read_manifest(tmp_path / "t.csv")


@pytest.mark.parametrize("format", FORMATS)
def test_segments_are_embedded_in_every_format(calls: Path, tmp_path: Path, format: str) -> None:
    embedder = Embedder(LstmEncoder(SMALL["lstm"]))  # type: ignore[arg-type]
    summary = api.embed(embedder, calls, tmp_path / "out", layout="kaldi", format=format)
    assert (summary.num_utterances, summary.num_failures) == (4, 0)
    if format == "npy":
        vector = np.load(tmp_path / "out" / "bob-1.npy")
        np.testing.assert_allclose(
            vector, embedder.encode(f"{calls}/morning.wav#t=2.5,6.1"), atol=1e-5
        )
