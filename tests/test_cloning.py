"""The whole comparison of clones: report, drift, resumed jobs, mistakes."""

from __future__ import annotations

import json
import shutil
from html import escape
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from conftest import SMALL, Ask
from timbral import api
from timbral.audio.decode import Wave
from timbral.audio.preprocessing import load
from timbral.encoders.lstm import LstmEncoder
from timbral.errors import ConfigError, InputError
from timbral.inference.embedder import Embedder
from timbral.io.types import Floats, Vectors


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(LstmEncoder(SMALL["lstm"]))  # type: ignore[arg-type]


def test_real_recordings_are_closer_than_those_of_other_speakers(
    ask: Ask, run: Path, voices: Path, tmp_path: Path, embedder: Embedder
) -> None:
    """The real recordings themselves as one system, those of other speakers as the other."""
    real = tmp_path / "real"
    for speaker in sorted(voices.iterdir())[:5]:
        (real / speaker.name).mkdir(parents=True)
        for recording in sorted(speaker.iterdir())[:3]:
            (real / speaker.name / recording.name).symlink_to(recording)
    speakers = sorted(path.name for path in real.iterdir())
    for system, shift in (("good", 0), ("bad", 1)):
        for number, speaker in enumerate(speakers):
            source = speakers[(number + shift) % len(speakers)]
            recording = sorted((voices / source).iterdir())[3]
            reference = sorted((voices / speaker).iterdir())[0].name
            (tmp_path / system / speaker).mkdir(parents=True)
            shutil.copy(recording, tmp_path / system / speaker / reference)
    broken = sorted((tmp_path / "bad" / speakers[0]).iterdir())[0]
    broken.write_bytes(b"")
    embedder_folder = tmp_path / "lstm"
    embedder.save(embedder_folder)
    systems = [tmp_path / "good", tmp_path / "bad"]
    words = [run, embedder_folder, *systems, real, "--output", tmp_path / "report"]
    answer = ask("similarity", *words, "--draws", 200)
    assert answer.code == 1, answer.err
    assert "1 recording could not be used" in answer.err
    assert answer.out.startswith("good: SIM ")
    assert "good - bad: +" in answer.out
    content = json.loads((tmp_path / "report" / "similarity.json").read_text("utf-8"))
    assert [each["num_clones"] for each in content["figures"]] == [5, 5, 4, 4]
    assert content["figures"][0]["mean"] > content["figures"][2]["mean"]
    assert content["figures"][0]["probability"] is None
    table = pq.read_table(tmp_path / "report" / "clones.parquet")
    assert table.num_rows == 18
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert page.count("<audio") == 2 * (5 + 4)
    assert "<p>1 recording could not be used (failures.jsonl)</p>" in page
    lines = answer.out.splitlines()
    assert content["lines"] == lines[:4]
    assert all(escape(line) in page for line in lines[:4])
    assert all(each["weights_sha256"] in page for each in content["encoders"])
    assert (tmp_path / "report" / "similarity.png").exists()
    assert "replaced" not in answer.err
    fewer = ask("similarity", run, tmp_path / "good", real, "--output", tmp_path / "report")
    encoders = [each["name"] for each in content["encoders"]]
    assert f"had good by {encoders[1]}, bad by {encoders[0]}, bad by {encoders[1]}" in fewer.err
    refused = ask("similarity", run, *systems, real, "--output", real)
    assert refused.code == 2
    assert "choose" in refused.err


def test_a_second_speaker_shows_in_the_drift(
    ask: Ask, run: Path, voices: Path, tmp_path: Path
) -> None:
    """A recording in which another speaker takes over, against its beginning."""
    first, second = (
        np.concatenate([load(path) for path in sorted(folder.iterdir())[:4]])
        for folder in sorted(voices.iterdir())[:2]
    )
    soundfile.write(tmp_path / "long.wav", np.concatenate([first, second]), 16_000)
    words = ["similarity", run, tmp_path / "long.wav"]
    options = ["--drift", "--corpus", voices, "--output", tmp_path / "drift"]
    answer = ask(*words, *options)
    assert answer.code == 0, answer.err
    assert "per minute" in answer.out
    content = json.loads((tmp_path / "drift" / "drift.json").read_text("utf-8"))
    cosines, starts = np.array(content["cosines"]), np.array(content["times"])[:, 0]
    change = len(first) / 16_000
    assert cosines[starts < change - 3].mean() > cosines[starts > change].mean()
    assert content["band"][0] < content["band"][1]
    assert (tmp_path / "drift" / "drift.png").exists()
    assert len((tmp_path / "drift" / "drift.csv").read_text().splitlines()) == 1 + len(cosines)
    again = api.voice_drift(run, tmp_path / "long.wav", sorted(voices.glob("*/*"))[0])
    assert again.band is None
    assert again.below is None
    assert again.failures == ()
    spoiled = tmp_path / "spoiled"
    shutil.copytree(voices, spoiled)
    first_of_third = sorted(sorted(spoiled.glob("*/"))[2].iterdir())[0]
    first_of_third.write_bytes(b"not ogg")
    told = ask(*words, "--drift", "--corpus", spoiled, "--output", tmp_path / "drift")
    assert told.code == 1
    assert "1 recording could not be used; reasons:" in told.err
    written = json.loads((tmp_path / "drift" / "drift.json").read_text("utf-8"))
    assert str(first_of_third) in written["failures"][0]
    short = sorted(voices.glob("*/*"))[0]
    assert "is not longer than the 10 s at its start" in ask(*words[:2], short, *options).err


def test_the_band_of_drift_is_compared_as_the_recording_is(
    voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedder: Embedder
) -> None:
    """To the beginning: windows of one session; to a reference: those of another session."""

    def windows(self: Embedder, path: str, seconds: float, step: float) -> tuple[Floats, Vectors]:
        starts = step * np.arange(9)
        vectors = np.zeros((9, self.embedding_dim), np.float32)
        vectors[:, Path(path).parent.name == "evening"] = 1
        if Path(path).parent.name == "noon":
            seconds /= 2
        return np.stack([starts, starts + seconds], axis=1), vectors

    def whole(self: Embedder, path: str) -> Vectors:
        return np.asarray(windows(self, path, 3, 1.5)[1][0])

    monkeypatch.setattr(Embedder, "encode_windows", windows)
    monkeypatch.setattr(Embedder, "encode", whole)
    recording = sorted(voices.glob("*/*"))[0]
    sessions = ("anna/morning/1", "anna/evening/2", "ben/morning/3", "ben/evening/4")
    too_short = ("anna/noon/5", "anna/noon/6", "ben/noon/7", "ben/noon/8")
    for path in (*sessions, *too_short):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(recording, tmp_path / f"{path}.ogg")
    beginning = api.voice_drift(embedder, "long.wav", corpus=tmp_path, layout="folder")
    assert beginning.band == pytest.approx((1, 1))
    reference = api.voice_drift(
        embedder, "long.wav", "prompt.wav", corpus=tmp_path, layout="folder"
    )
    assert reference.band == pytest.approx((0, 0))
    for folder in ("anna/evening", "anna/noon", "ben/evening", "ben/noon"):
        shutil.rmtree(tmp_path / folder)
    with pytest.raises(
        ConfigError, match=r"no speaker of .* has two recordings, one of 3 s or more"
    ):
        api.voice_drift(embedder, "long.wav", "prompt.wav", corpus=tmp_path)


def test_an_anchor_that_is_missing_is_told(run: Path, voices: Path, tmp_path: Path) -> None:
    first, second = (sorted(folder.iterdir()) for folder in sorted(voices.iterdir())[:2])
    rows = [f"{first[0]},{first[1]},anna", f"{second[0]},{second[1]},ben"]
    told = []
    for most in (2, 1):
        table = tmp_path / f"{most}.csv"
        table.write_text("\n".join(["synthesized,reference,speaker", *rows[:most]]) + "\n")
        told.append(" ".join(api.clone_similarity([run], [table]).notes))
    assert "no anchor for the same speaker" in told[0]
    assert "no anchor for the nearest other speaker" not in told[0]
    assert "no anchor for the nearest other speaker" in told[1]
    listed = tmp_path / "pairs.txt"
    listed.write_text(f"{first[0]} {first[1]}\n{second[0]} {second[1]}\n")
    notes = " ".join(api.clone_similarity([run], [listed]).notes)
    assert notes.count("no anchor for the same speaker") == 1


def test_mistakes_are_explained(ask: Ask, tmp_path: Path) -> None:
    told = ask("similarity", "ecapa", "--output", "o").err
    assert "give encoders, followed by what to compare" in told
    assert "`timbral similarity ecapa SYNTHESIZED REFERENCES --output report`" in told
    assert (
        f"similarity campplus-int8 {tmp_path} --"
        in ask("similarity", tmp_path, "--output", "o").err
    )
    told = ask("similarity", tmp_path, "ge2e-lstm", tmp_path, "--output", "o").err
    assert f"`timbral similarity ge2e-lstm {tmp_path} {tmp_path} --output report`" in told
    words = (tmp_path, "ge2e-lstm", tmp_path, "--output", "o")
    assert told == ask("similarity", "ge2e-lstm", *words).err.replace("ge2e-lstm ge2e", "ge2e")
    with pytest.raises(InputError, match="a list of encoders"):
        api.clone_similarity("ecapa", [tmp_path])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="ge2e-lstm is listed twice"):
        api.clone_similarity(["ge2e-lstm", "ecapa", "ge2e-lstm"], [tmp_path])


def test_encoders_of_one_name_are_told_apart(run: Path, voices: Path, tmp_path: Path) -> None:
    """Such as one encoder in two precisions."""
    clone, reference = sorted(voices.glob("*/*.ogg"))[:2]
    (tmp_path / "pairs.txt").write_text(f"{clone}\t{reference}\n")
    (tmp_path / "again").symlink_to(run)
    encoders = [run, tmp_path / "again", api.load_encoder(run)]
    report = api.clone_similarity(encoders, [tmp_path / "pairs.txt"], draws=0)
    name = api.load_encoder(run).name
    assert [each.encoder for each in report.figures] == [
        f"{name} ({run})", f"{name} ({tmp_path / 'again'})", f"{name} (3)",
    ]  # fmt: skip
    assert f"[{name} ({run}) " in report.lines[0]


def test_references_that_are_not_there(ask: Ask, run: Path, voices: Path, tmp_path: Path) -> None:
    clone = sorted(voices.glob("*/*.ogg"))[0].resolve()
    (tmp_path / "pairs.txt").write_text(f"{clone}\t{tmp_path}/none.wav\n")
    answer = ask("similarity", run, tmp_path / "pairs.txt", "--output", tmp_path / "o")
    assert answer.code == 2
    assert (
        f"none of 1 clones could be compared; the first failure: {tmp_path}/none.wav" in answer.err
    )


def test_a_killed_comparison_is_resumed(
    embedder: Embedder, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tts", "real"):
        for speaker in sorted(voices.iterdir())[:2]:
            shutil.copytree(speaker, tmp_path / name / speaker.name)
    report = tmp_path / "report"
    embedded: list[int] = []
    encode = Embedder.encode_preprocessed

    def count_and_stop(self: Embedder, waves: list[Wave], *rest: object) -> Vectors:
        if sum(embedded) >= least:
            raise KeyboardInterrupt
        embedded.append(len(waves))
        return encode(self, waves)

    monkeypatch.setattr(Embedder, "encode_preprocessed", count_and_stop)
    monkeypatch.setattr("timbral.cloning.encode_recordings.BATCH", 8)
    least = 8
    with pytest.raises(KeyboardInterrupt):
        api.clone_similarity([embedder], [tmp_path / "tts", tmp_path / "real"], report)
    least = 100
    first = api.clone_similarity([embedder], [tmp_path / "tts", tmp_path / "real"], report)
    assert sum(embedded) == 24
    kept = sorted((report / ".recordings").rglob("*.arrow"))
    kept[0].write_bytes(b"damaged")
    kept[1].write_bytes(kept[1].read_bytes()[:-9])
    changed = sorted((tmp_path / "tts").rglob("*.ogg"))[0]
    changed.write_bytes(sorted((tmp_path / "tts").rglob("*.ogg"))[-1].read_bytes())
    embedded.clear()
    again = api.clone_similarity([embedder], [tmp_path / "tts", tmp_path / "real"], report)
    assert 16 <= sum(embedded) <= 17
    assert again.figures[0].mean < first.figures[0].mean


def test_a_clone_that_is_written_while_it_is_embedded_is_embedded_again(
    embedder: Embedder, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tts", "real"):
        shutil.copytree(sorted(voices.iterdir())[0], tmp_path / name / "a")
    clones = sorted((tmp_path / "tts").rglob("*.ogg"))
    encode, last = Embedder.encode_preprocessed, clones[-1].read_bytes()
    embedded: list[int] = []

    def write_later(self: Embedder, waves: list[Wave], *rest: object) -> Vectors:
        if not embedded:
            clones[0].write_bytes(last)
        embedded.append(len(waves))
        return encode(self, waves)

    monkeypatch.setattr(Embedder, "encode_preprocessed", write_later)
    sides = [tmp_path / "tts", tmp_path / "real"]
    first = api.clone_similarity([embedder], sides, tmp_path / "report")
    embedded.append(-sum(embedded))
    again = api.clone_similarity([embedder], sides, tmp_path / "report")
    assert sum(embedded) == 1
    assert again.figures[0].mean < first.figures[0].mean
