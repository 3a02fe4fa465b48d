"""Recordings of every kind: each is prepared, or listed with its reason; none aborts the job."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from conftest import SMALL
from timbral import api
from timbral.audio.decode import Wave, decode
from timbral.audio.preprocessing import Preprocessing, load
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.prepared.formats import FORMATS
from timbral.data.prepared.mels import PrecomputedMels
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.demo.shipped import VOICES
from timbral.encoders.frontends import GE2E_MEL
from timbral.encoders.registry import ENCODERS
from timbral.inference.embedder import Embedder


def write_table(folder: Path, wave: Wave) -> tuple[dict[str, float], dict[str, tuple[str, str]]]:
    """Files of every kind: tolerances of those that come out right, reason and kind of the rest."""

    def put(name: str, samples: Wave = wave, rate: int = 16_000, subtype: str = "PCM_16") -> None:
        soundfile.write(folder / name, samples, rate, subtype=subtype, format="WAV")

    put("8 bit.wav", subtype="PCM_U8")
    put("24 bit.wav", subtype="PCM_24")
    put("float.wav", subtype="FLOAT")
    put("double.wav", subtype="DOUBLE")
    put("µ-law.wav", subtype="ULAW")
    put("stereo.wav", np.stack([wave, wave], 1))
    put("one channel silent.wav", np.stack([2 * wave, 0 * wave], 1), subtype="FLOAT")
    put("96 kHz.wav", soxr.resample(wave, 16_000, 96_000), 96_000)
    put("8 kHz.wav", soxr.resample(wave, 16_000, 8_000), 8_000)
    put("misnamed.flac")
    put("名前 with blanks.wav")
    put("UPPER.WAV")
    soundfile.write(folder / "plain.flac", wave, 16_000)
    put("clipped.wav", np.clip(8 * wave, -1, 1))
    put("beyond one.wav", wave * 4, subtype="FLOAT")
    exact, lossy = 1e-3, 0.05
    right = dict.fromkeys((path.stem for path in folder.iterdir()), exact)
    right |= {"8 bit": lossy, "µ-law": lossy, "8 kHz": 0.5}
    (folder / "zero length.wav").touch()
    put("no samples.wav", wave[:0])
    put("silent.wav", 0 * wave)
    put("nan.wav", np.where(np.arange(wave.size) == 99, np.nan, wave), subtype="FLOAT")
    put("infinite.wav", np.where(np.arange(wave.size) == 99, np.inf, wave), subtype="FLOAT")
    (folder / "corrupt.wav").write_bytes(np.random.default_rng(0).bytes(5_000))
    whole = (folder / "plain.flac").read_bytes()
    (folder / "truncated.flac").write_bytes(whole[:60])
    whole = (folder / "24 bit.wav").read_bytes()
    (folder / "half.wav").write_bytes(whole[: len(whole) // 2])
    put("one huge sample.wav", np.where(np.arange(wave.size) == 99, 1e30, wave), subtype="FLOAT")
    put("opposite phase.wav", np.stack([wave, -wave], 1))
    (folder / "text.wav").write_text("Please call Stella.\n" * 100)
    (folder / "dangling.wav").symlink_to(folder / "nowhere.wav")
    reasons = {
        "zero length": ("0 bytes", "empty"),
        "no samples": ("no samples", "empty"),
        "silent": ("is silent", "silent"),
        "nan": ("NaN or infinite", "not-finite"),
        "infinite": ("NaN or infinite", "not-finite"),
        "corrupt": ("cannot be read as audio", "unreadable"),
        "truncated": ("cannot be read as audio", "unreadable"),
        "half": ("the recording is truncated: ", "truncated"),
        "one huge sample": ("single samples reach 1e+30", "out-of-range"),
        "opposite phase": ("channels cancel out (1 and 2 are of opposite phase)", "silent"),
        "text": ("cannot be read as audio", "unreadable"),
        "pipe": ("not a regular file", "unsupported"),
        "dangling": ("no such file", "missing"),
    }
    os.mkfifo(folder / "pipe.wav")
    (folder / "notes.txt").write_text("stray")
    (folder / ".hidden.wav").write_text("stray")
    (folder / "loop").symlink_to(folder)
    return right, reasons


@pytest.mark.parametrize("format", FORMATS)
def test_every_kind_of_file(format: str, tmp_path: Path) -> None:
    folder = tmp_path / "corpus" / "Zoë B"
    folder.mkdir(parents=True)
    (tmp_path / "corpus" / "TRANS.txt").write_text("stray")
    (tmp_path / "corpus" / "empty").mkdir()
    wave = load(next(VOICES.glob("*/*.ogg")))
    wave = wave / np.abs(wave).max() * 0.4
    right, reasons = write_table(folder, wave)
    rules = Preprocessing(min_rms_dbfs=None)
    out = tmp_path / "out"
    summary = prepare(scan_corpus("folder", tmp_path / "corpus"), out, rules, format=format)
    assert (summary.num_utterances, summary.num_failures) == (len(right), len(reasons))
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert {Path(row["path"]).stem for row in failures} == reasons.keys()
    for row in failures:
        words, kind = reasons[Path(row["path"]).stem]
        assert words in row["reason"]
        assert row["path"] not in row["reason"]
        assert row["kind"] == kind
        assert row["speaker"] == "Zoë B"
    found = prepared_samples(out, format)
    assert found.keys() == right.keys()
    reference = found["plain"]
    scale = np.abs(reference).max()
    for name, tolerance in right.items():
        if name not in ("clipped", "beyond one"):  # louder
            size = min(len(found[name]), len(reference))
            error = np.abs(found[name][:size] - reference[:size]).mean() / scale
            assert error < tolerance, name
    assert np.abs(found["clipped"]).max() > scale


def prepared_samples(folder: Path, format: str) -> dict[str, np.ndarray]:
    """What was written of each utterance: samples, or mels."""
    if format == "arrow":
        store = Store.open(folder)
        names, read = store.table["path"].to_pylist(), store.pcm
        return {Path(name).stem: read(row) / 32_768 for row, name in enumerate(names)}
    if format == "npy":
        tree = PrecomputedMels.open(folder)
        assert tree.mel(0).shape[1] == GE2E_MEL.n_mels
        return {Path(n).stem: tree.mel(row) for row, n in enumerate(tree.table["path"].to_pylist())}
    return {path.stem: decode(path)[0] for path in folder.glob("*/*.flac")}


def test_every_kind_is_embedded_or_listed(tmp_path: Path) -> None:
    embedder = Embedder(ENCODERS["tdnn"](SMALL["tdnn"]))
    folder = tmp_path / "corpus" / "s"
    folder.mkdir(parents=True)
    wave = load(next(VOICES.glob("*/*.ogg")))
    right, reasons = write_table(folder, wave / np.abs(wave).max() * 0.4)
    summary = api.embed(embedder, tmp_path / "corpus", tmp_path / "out")
    assert (summary.num_utterances, summary.num_failures) == (len(right), len(reasons))
    lines = (tmp_path / "out" / "failures.jsonl").read_text().splitlines()
    failures = {Path(row["path"]).stem: row for row in map(json.loads, lines)}
    assert {name: row["kind"] for name, row in failures.items()} == {
        name: kind for name, (_, kind) in reasons.items()
    }
    assert summary.passed_over == {".txt": 1}
