"""What `inspect` says of corpora and prepared data."""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from timbral.audio.preprocessing import Preprocessing, load
from timbral.cli.verbs import prepare as prepare_verb
from timbral.data.corpora.passed_over import count_passed_over, describe_passed_over
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.inspect.inspection import inspect_data
from timbral.data.manifest import Manifest, Utterance
from timbral.data.prepared.formats import FORMATS
from timbral.data.prepared.prepare import prepare
from timbral.data.sources import find_utterances
from timbral.reports.histogram import bar_chart, histogram, short_number
from timbral.reports.inspection_page import describe, write_inspection


def test_inspection(voices: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    for row in scan_corpus("folder", voices)[:6]:
        (root / row.speaker).mkdir(parents=True, exist_ok=True)
        (root / row.speaker / Path(row.path).name).symlink_to(row.path)
    wave = load(row.path)
    lonely = root / "lonely"
    lonely.mkdir()
    soundfile.write(lonely / "clipped.wav", 0.5 * np.clip(20 * wave, -1, 1), 16_000)
    other = root / row.speaker
    soundfile.write(other / "short.wav", wave[:8_000], 16_000)
    soundfile.write(other / "copy.flac", wave, 16_000)
    (other / "copy of copy.flac").write_bytes((other / "copy.flac").read_bytes())
    soundfile.write(other / "quiet.wav", 1e-3 * wave, 16_000, subtype="FLOAT")
    pause = np.zeros(20 * 16_000, np.float32)
    soundfile.write(other / "pauses.wav", np.concatenate([wave[:32_000], pause]), 16_000)
    (other / "broken.wav").write_text("no audio")
    narrow = soxr.resample(soxr.resample(wave, 16_000, 8_000), 8_000, 16_000)
    soundfile.write(other / "narrow.wav", narrow, 16_000, subtype="FLOAT")
    found = inspect_data(root)
    reasons = {Path(item.path).stem: item.kind for item in found.suspects}
    assert reasons["broken"] == "unreadable"
    assert {name: reasons[name] for name in ("clipped", "short", "quiet", "pauses", "narrow")} == {
        "clipped": "clipped",
        "short": "short",
        "quiet": "quiet",
        "pauses": "mostly pauses",
        "narrow": "narrow band",
    }
    assert found.suspects_by_kind()["only one of its speaker"] == 1
    assert [sorted(Path(path).name for path in group) for group in found.duplicates] == [
        ["copy of copy.flac", "copy.flac"]
    ]
    assert (found.utterances, found.measured, len(found.rms_dbfs)) == (14, 13, 13)
    assert "measured      13 of 14 utterances\n" in describe(found)
    assert "2 in 1 group with equal content" in describe(found)
    assert not set(reasons) & {Path(row.path).stem for row in scan_corpus("folder", voices)}


def test_a_long_silent_beginning_does_not_hide_the_band(tmp_path: Path, voices: Path) -> None:
    """Digital silence has no spectrum: the first seconds after it are looked at."""
    wave = load(next(voices.glob("*/*.ogg")))
    narrow = soxr.resample(soxr.resample(wave, 16_000, 8_000), 8_000, 16_000)
    silence = np.zeros(11 * 16_000, np.float32)
    (tmp_path / "a").mkdir()
    for name, speech in {"wide": wave, "narrow": narrow}.items():
        recording = np.concatenate([silence, speech])
        soundfile.write(tmp_path / "a" / f"{name}.wav", recording, 16_000, subtype="FLOAT")
    found = inspect_data(str(tmp_path))
    kinds = {(Path(item.path).stem, item.kind) for item in found.suspects}
    assert ("narrow", "narrow band") in kinds
    assert ("wide", "narrow band") not in kinds


def test_inspection_of_prepared_data(voices: Path, tmp_path: Path) -> None:
    rows = scan_corpus("folder", voices)[:6]
    twice = [Utterance(f"{row.utterance}-2", row.speaker, "", row.path, "c") for row in rows[:1]]
    for format in FORMATS:
        prepare([*rows[:1], *twice, *rows[1:]], tmp_path / format, Preprocessing(), format=format)
        found = inspect_data(tmp_path / format)
        assert (found.utterances, found.speakers) == (7, 1)
        assert len(found.duplicates) == 1
        assert bool(found.rms_dbfs) == (format != "npy")
        text = describe(found)
        assert re.search(
            r"utterances    7, \d\d\.\d s\nspeakers      1, with 7 utterances each\n", text
        )
        assert "utterances per speaker 7, all of them" in text
        assert ("measured      every utterance\n" in text) == (format != "npy")
        write_inspection(found, tmp_path / "page.html")
        page = (tmp_path / "page.html").read_text()
        assert "default-src 'none'" in page
        assert "<script" not in page
        assert page.count("<svg") == 2 + (format != "npy")


def test_scales_and_pipes_are_said(tmp_path: Path, voices: Path) -> None:
    """Recordings beyond full scale are listed; a FIFO of a recording's name is never opened."""
    wave = load(next(voices.glob("*/*.ogg")))
    wave /= np.abs(wave).max()
    for speaker in ("s", "t"):
        (tmp_path / speaker).mkdir()
        os.mkfifo(tmp_path / speaker / "pipe.wav")
        soundfile.write(tmp_path / speaker / "a.wav", 1.78 * wave, 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "s" / "pcm.wav", 20_000 * wave, 16_000, subtype="FLOAT")
    spike = np.where(np.arange(wave.size) == 99, 3e30, wave)
    soundfile.write(tmp_path / "s" / "spike.wav", spike, 16_000, subtype="FLOAT")
    found = inspect_data(tmp_path)
    reasons = {(Path(item.path).name, item.reason) for item in found.suspects}
    assert ("a.wav", "beyond full scale: peak 1.78; all of it is multiplied by 0.562") in reasons
    assert ("pcm.wav", "beyond full scale: peak 2e+04; all of it is multiplied by 3.05e-05") in (
        reasons
    )
    assert ("pipe.wav", "unreadable: is a pipe, socket or device, not a regular file") in reasons
    assert [[Path(path).name for path in group] for group in found.duplicates] == [2 * ["a.wav"]]
    assert any(
        name == "spike.wav" and "single samples reach 3e+30" in text for name, text in reasons
    )
    assert max(found.rms_dbfs) <= 0
    write_inspection(found, tmp_path / "page.html")


def test_passed_over_files_are_counted(
    tmp_path: Path, voices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Recordings of every suffix that the decoder reads are found, and the other files counted."""
    wave = load(next(voices.glob("*/*.ogg")))
    corpus = tmp_path / "corpus"
    for speaker in ("s", "t"):
        (corpus / speaker).mkdir(parents=True)
        for suffix, format in (("caf", "CAF"), ("w64", "W64"), ("aifc", "AIFF"), ("voc", "VOC")):
            path = corpus / speaker / f"{suffix} {speaker}.{suffix}"
            soundfile.write(path, wave, 16_000, format=format, subtype="PCM_16")
        (corpus / speaker / "a.TXT").touch()
        (corpus / speaker / ".hidden").touch()
    (corpus / "s" / "b.xyz").touch()
    (corpus / "README").touch()
    (corpus / "s" / "circle").symlink_to(corpus)
    rows = scan_corpus("folder", corpus)
    assert len(rows) == 8
    expected = "passed over: 2 .txt, 1 .xyz, 1 without suffix"
    assert describe_passed_over(count_passed_over([corpus], rows)) == expected
    for vector in ("s/caf s.npy", "s/caf s.x_embedding", "s/s.x_averaged_embedding"):
        (corpus / vector).touch()
    assert count_passed_over([corpus], rows)[".npy"] == 1
    (corpus / ".embed-x").mkdir()  # `embed --beside-audio` wrote them
    assert describe_passed_over(count_passed_over([corpus], rows)) == expected
    assert prepare_verb.run(str(corpus), output=tmp_path / "store", workers=1) == 0
    assert expected in capsys.readouterr().out.splitlines()
    assert expected in describe(inspect_data(corpus))
    assert count_passed_over([tmp_path / "store"], rows) == {}
    for format in FORMATS:
        prepare(rows, tmp_path / format, Preprocessing(), format=format)
        prepared = find_utterances(tmp_path / format)
        assert count_passed_over([tmp_path / format], prepared) == {}
    assert describe_passed_over(Counter({f".{n}": 9 - n for n in range(8)})).endswith(
        "5 .4, 9 others"
    )


@pytest.mark.parametrize(
    ("values", "counts", "edges"),
    [
        ([20, 20, 20], [3], [20, 20]),
        ([1, 1, 2, 4], [2, 1, 0, 1], [1, 2, 3, 4, 4]),
        ([*range(24)], [2] * 12, [*range(0, 24, 2), 23]),
        ([*range(1, 26)], [3] * 8 + [1], [*range(1, 26, 3), 25]),
    ],
)
def test_whole_numbers_are_in_whole_bins(
    values: list[int], counts: list[int], edges: list[int]
) -> None:
    found = histogram(np.array(values))
    assert found == (counts, edges)


def test_bins_begin_at_round_numbers() -> None:
    """Also where all values are nearly one, or one is far beyond."""
    for low, high, step in ((3.004, 35.123, 5), (-61.2, -3.2, 5), (0.912, 0.957, 0.005)):
        counts, edges = histogram(np.linspace(low, high, 500))
        assert sum(counts) == 500
        assert edges[0] <= low < edges[1]
        assert edges[-1] == high
        np.testing.assert_allclose(np.diff(edges[:-1]), step)
        assert (
            np.abs(np.array(edges[:-1]) / step - np.rint(np.array(edges[:-1]) / step)).max() < 1e-9
        )
    assert histogram(np.array([2.5] * 500 + [90.0])) == ([501], [2.5, 90.0])
    assert histogram(np.array([2.5, np.nextafter(2.5, 3)]))[0] == [2]
    assert short_number(12345) == "12,345"
    chart = bar_chart(*histogram(np.linspace(3.004, 35.123, 500)))
    ticks = re.findall(r'y="152"[^>]*>([^<]*)<', chart)
    assert ticks == ["0", "5", "10", "15", "20", "25", "35.1"]


def test_sessions_are_counted_where_they_are_named(tmp_path: Path, voices: Path) -> None:
    rows = [replace(row, session="") for row in scan_corpus("folder", voices)[:4]]
    assert re.search("sessions +none\n", describe(inspect_data(Manifest.of(rows))))
    named = [replace(row, session=f"{at // 2}") for at, row in enumerate(rows)]
    found = inspect_data(Manifest.of(named))
    assert re.search("sessions +2\n", describe(found))
    write_inspection(found, tmp_path / "page.html")
    assert "<h2>RMS level (dBFS), number of utterances</h2>" in (tmp_path / "page.html").read_text()


def test_ticks_have_room() -> None:
    """On a narrow screen, too, where a digit is 9 of 600 wide; the last one ends with the bars."""
    for numbers in (np.linspace(-61.234, -3.2, 500), np.arange(1000, 9000), np.arange(4)):
        counts, edges = histogram(numbers)
        chart = bar_chart(counts, edges)
        tick = r'<text x="([\d.]+)" y="152"( text-anchor="end")?>([-,\d.]+)</text>'
        ticks = re.findall(tick, chart)
        assert len(ticks) >= 2
        spans = sorted(
            (float(x) - 9 * len(text) * bool(end), float(x) + 9 * len(text) * (not end))
            for x, end, text in ticks
        )
        assert all(end < start for (_, end), (start, _) in itertools.pairwise(spans))
