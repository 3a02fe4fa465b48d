"""`audit --encoder` finds recordings in which a second speaker talks."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

import timbral
from conftest import Ask
from timbral.audio.decode import decode
from timbral.bulk import window_vectors
from timbral.embeddings.audit.second_speaker import (
    WindowedRecording,
    _replaced,
    find_second_speakers,
)
from timbral.embeddings.vectors import unit_length
from timbral.inference.speech_windows import speech_windows

SPEAKERS, EACH, WINDOWS = 20, 10, 7


def recordings(planted: Sequence[int] = ()) -> tuple[list[WindowedRecording], np.ndarray]:
    """Windows around a center of each speaker; planted ones end in the next speaker's windows."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(SPEAKERS + 1, 32))
    codes = np.repeat(np.arange(SPEAKERS), EACH)
    found = []
    for row, code in enumerate(codes):
        middle = np.repeat(centers[code][None], WINDOWS, axis=0)
        if row in planted:
            middle[-3:] = centers[code + 1]
        noisy = middle + 0.6 * rng.normal(size=middle.shape) + 1.5
        vectors = unit_length(noisy.astype(np.float32))
        found.append(WindowedRecording(vectors, 0.5 * np.arange(WINDOWS), 1.0))
    return found, codes


def test_planted_recordings_are_found_and_nothing_else() -> None:
    planted = [3, 77, 120, 191]
    windows, codes = recordings(planted)
    found = [each for each in find_second_speakers(windows, codes) if each.probability >= 0.5]
    assert sorted(each.recording for each in found) == planted
    assert all(1.5 <= each.seconds <= 2.5 for each in found)
    windows, codes = recordings()
    assert not [each for each in find_second_speakers(windows, codes) if each.probability >= 0.5]


def test_a_wrong_label_is_no_second_speaker() -> None:
    """Nor are many planted recordings taken for what is usual."""
    windows, codes = recordings()
    windows[3], windows[77] = windows[77], windows[3]
    found = [each for each in find_second_speakers(windows, codes) if each.probability >= 0.5]
    assert found == []
    planted = list(range(3, 200, 10))
    windows, codes = recordings(planted)
    found = [each for each in find_second_speakers(windows, codes) if each.probability >= 0.5]
    assert sorted(each.recording for each in found) == planted


def test_what_tells_nothing_gives_nothing() -> None:
    windows, codes = recordings()
    assert list(find_second_speakers(windows[:5], codes[:5])) == [], "too few"
    assert list(find_second_speakers(windows[:10], codes[:10])) == [], "one speaker"
    none = WindowedRecording(np.zeros((0, 32), np.float32), np.zeros(0), 0.0)
    found = list(find_second_speakers([none, *windows[5:25]], np.append([0], codes[5:25])))
    assert {each.recording for each in found} == set(range(1, 21))


def test_a_window_across_the_change_is_of_both() -> None:
    one, other = np.eye(2, dtype=np.float32)[:, None].repeat(4, axis=1)
    recording = WindowedRecording(one, np.arange(4.0), 1.0)
    at_end = _replaced(recording, other, 0.375, at_the_end=True)
    at_start = _replaced(recording, other, 0.375, at_the_end=False)
    both = [0.5**0.5] * 2
    np.testing.assert_allclose(at_end, [[1, 0], [1, 0], both, [0, 1]], atol=1e-6)
    np.testing.assert_allclose(at_start, [[0, 1], both, [1, 0], [1, 0]], atol=1e-6)
    assert _replaced(recording, other[:1], 0.375, at_the_end=True) is None


@pytest.mark.parametrize(("seconds", "size"), [(0.5, 0), (1.0, 0.6), (3.0, 1.0), (9.0, 1.5)])
def test_windows_are_of_speech_and_fit_the_recording(
    voices: Path, seconds: float, size: float
) -> None:
    wave, rate = decode(sorted(voices.glob("*/*.ogg"))[0])
    speech = np.tile(wave, 4)[: round(seconds * rate)]
    ranges = speech_windows(speech, rate, 0)
    assert np.allclose((ranges[:, 1] - ranges[:, 0]) / rate, size)
    assert (len(ranges) > 0) == (size > 0)
    silent = speech_windows(np.zeros_like(speech), rate, 0)
    assert len(silent) == 0


@pytest.fixture
def embedded(run: Path, voices: Path, tmp_path: Path) -> Path:
    corpus = tmp_path / "corpus"
    for folder in sorted(voices.iterdir())[:4]:
        for path in sorted(folder.glob("*.ogg"))[:2]:
            (corpus / folder.name).mkdir(parents=True, exist_ok=True)
            wave, rate = decode(path)
            soundfile.write(corpus / folder.name / f"{path.stem}.wav", wave, rate)
    timbral.embed(run, corpus, tmp_path / "out")
    return tmp_path / "out"


def test_audit_reads_the_recordings_and_is_resumed(
    ask: Ask, run: Path, embedded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = ask("audit", embedded, "--encoder", run, "--min-probability", 0)
    assert answer.code == 0
    assert "8 recordings in which a second speaker talks" in answer.out
    assert "second-speaker" in (embedded / "audit.csv").read_text()
    assert "second speaker" not in ask("audit", embedded).out

    monkeypatch.setattr(window_vectors, "_embed", lambda *_: pytest.fail("embedded again"))
    again = ask("audit", embedded, "--encoder", run, "--min-probability", 0)
    assert again.out == answer.out
    note = "two speakers in it? ("
    timbral.map(embedded, embedded.parent / "map.html")
    assert (embedded.parent / "map.html").read_text().count(note) >= 8


def test_a_damaged_or_missing_recording_is_named(ask: Ask, run: Path, embedded: Path) -> None:
    path = sorted((embedded.parent / "corpus").glob("*/*.wav"))[0]
    path.unlink()
    (embedded / ".windows").mkdir()
    (embedded / ".windows" / "000000.arrow").write_bytes(b"damaged")
    answer = ask("audit", embedded, "--encoder", run)
    assert answer.code == 1
    assert f"1 recording not looked into; the first: {path}" in answer.err
    assert "Traceback" not in answer.err


def test_only_the_corpus_is_read(ask: Ask, run: Path, embedded: Path) -> None:
    """A table of a stranger may name any recording of this machine."""
    table = embedded.parent / "vectors.parquet"
    shutil.copy(embedded / "utterances.parquet", table)
    answer = ask("audit", table, "--encoder", run)
    assert answer.code == 2
    assert "no `corpus` is known" in answer.err or "--corpus" in answer.err
    named = ask("audit", table, "--encoder", run, "--corpus", embedded.parent / "corpus")
    assert named.code == 0
    alone = ask("audit", embedded, "--corpus", embedded.parent / "corpus")
    assert alone.code == 2
    assert "--encoder" in alone.err
