"""Clones that are the same recordings as their references."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile

from conftest import SMALL, Ask
from timbral.audio.quality.measures import Quality
from timbral.cloning.clones import Clone, CloneSet
from timbral.cloning.encoded_recording import EncodedRecording
from timbral.cloning.encoder_view import EncoderFacts, EncoderView
from timbral.cloning.own_references import own_reference_notes
from timbral.encoders.lstm import LstmEncoder
from timbral.inference.embedder import Embedder


def test_clones_that_are_their_own_references_are_told(
    ask: Ask, run: Path, voices: Path, tmp_path: Path
) -> None:
    """As the same file, a copy, the same samples in another format, and without the end."""
    speaker = sorted(voices.iterdir())[0]
    recordings = sorted(speaker.iterdir())[:4]
    real, system = tmp_path / "real", tmp_path / "tts"
    for folder in (real, system):
        (folder / "anna").mkdir(parents=True)
    for number, path in enumerate(recordings):
        samples, rate = soundfile.read(path, dtype="int16")
        soundfile.write(real / "anna" / f"{number}.wav", samples, rate)
        if number == 2:
            soundfile.write(system / "anna" / "2.flac", samples, rate)
        if number == 3:
            soundfile.write(system / "anna" / "3.wav", samples[: 9 * len(samples) // 10], rate)
    (system / "anna" / "0.wav").symlink_to(real / "anna" / "0.wav")
    shutil.copy(real / "anna" / "1.wav", system / "anna")
    report = tmp_path / "report"
    told = (
        "tts: 4 of 4 pairs compare a recording with itself or a copy of it, which raises the mean "
        "and measures no system: anna/0, anna/1, anna/2, anna/3"
    )
    for _ in range(2):  # the second time with the kept vectors
        answer = ask("similarity", run, system, real, "--output", report)
        assert answer.code == 0
        assert f"note: {told}\n" in answer.err
    assert "4 utterances" in answer.out
    assert told in json.loads((report / "similarity.json").read_text("utf-8"))["notes"]
    assert told in (report / "report.html").read_text("utf-8")
    table = pq.read_table(report / "clones.parquet")
    assert table["own_reference"].to_pylist() == [True, True, True, True]
    others = ask("similarity", run, system, real, "--to-speaker", "--output", report)
    assert "with itself" not in others.err


def test_a_note_names_the_first_clones_and_counts_the_others() -> None:
    embedder = Embedder(LstmEncoder(SMALL["lstm"]))  # type: ignore[arg-type]
    quality = Quality(4.0, 4.0, -20.0, None, 8_000.0, 0.0, 1, None, 1.0, 0.0)
    many = [f"m/{number}" for number in range(10)]
    clones = tuple(Clone(name, "s", name, (name,), "m") for name in many)
    vector = np.eye(embedder.embedding_dim, dtype=np.float32)[0]
    encoded = dict.fromkeys(many, EncodedRecording(vector, quality))
    view = EncoderView.of(EncoderFacts.of(embedder), CloneSet(clones, ()), encoded)
    assert own_reference_notes([view, view])[0].startswith("s: 10 of 10 pairs compare")
    assert own_reference_notes([view])[0].endswith("m/7 and 2 more, marked in clones.csv")
