"""The verbs enroll and gallery."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import Ask
from test_gallery import ENCODER
from timbral import api
from timbral.embeddings.named_vectors import read_vectors
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.gallery import Gallery
from timbral.gallery.voices import EnrolledRecording
from timbral.inference.load import load_encoder


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, run: Path, voices: Path) -> Path:
    """A gallery with two voices."""
    path = tmp_path_factory.mktemp("gallery") / "gallery.db"
    encoder = api.load_encoder(run)
    gallery = Gallery.create(path, encoder)
    for folder in sorted(voices.iterdir())[:2]:
        gallery.enroll(folder.name, sorted(folder.iterdir())[:2], encoder, force=True)
    gallery.close()  # with which all is in the one file
    return path


def test_recordings_are_enrolled_and_refused(
    ask: Ask, tmp_path: Path, run: Path, voices: Path
) -> None:
    path = tmp_path / "gallery.db"
    first, second = (sorted(folder.iterdir()) for folder in sorted(voices.iterdir())[:2])
    answer = ask(
        "enroll", path, "caller-17", *first[:2], "--encoder", run, "--consent", "form 3", "--force"
    )
    assert answer.code == 0, answer.err
    assert "2 recordings added" in answer.out
    answer = ask("enroll", path, "other", first[0], second[0], "--encoder", run, "--json")
    assert answer.code == 1
    content = json.loads(answer.out)
    assert content["enrolled"] is False
    assert content["refused"][0]["kind"] == "same-recording"
    assert content["refused"][0]["recording"] == str(first[0])
    answer = ask("gallery", "show", path, "caller-17", "--json")
    shown = json.loads(answer.out)[0]
    assert (shown["name"], shown["consent"], shown["num_recordings"]) == ("caller-17", "form 3", 2)
    assert len(shown["recordings"][0]["sha256"]) == 64


def test_mistakes_are_told_before_torch_is_imported(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    code = (
        "import sys; from timbral.cli import main; sys.argv = ['timbral', *{words!r}]; "
        "code = main.run(); assert 'torch' not in sys.modules; sys.exit(code)"
    )
    for words, message in (
        (["enroll", "g.db", "a", "missing.wav", "--encoder", "campplus-zh-en"], "no such file"),
        (["enroll", "g.db", "a", "a.wav"], "timbral enroll g.db a a.wav --encoder campplus-int8`"),
        (["gallery", "show", "g.db", "a"], "no such gallery"),
        (["enroll", "g.db"], "--embeddings"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code.format(words=words)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert message in done.stderr


def test_a_missing_gallery_is_looked_for_among_galleries(
    ask: Ask, voices: Path, tmp_path: Path
) -> None:
    recording = sorted(voices.rglob("*.ogg"))[0]
    shutil.copy(recording, tmp_path / "voice.ogg")
    words = ("gallery", "list", tmp_path / "voices.db")
    assert f"no such gallery; there is none in {tmp_path} (" in ask(*words).err
    Gallery.create(tmp_path / "q.sqlite", ENCODER).close()
    assert f"no such gallery; in {tmp_path}: q.sqlite (" in ask(*words).err
    (tmp_path / "q.sqlite").rename(tmp_path / "voice.db")
    assert f"did you mean {tmp_path / 'voice.db'}?" in ask(*words).err
    enrolled = ask("enroll", tmp_path / "voices.db", "a", recording)
    assert f"did you mean {tmp_path / 'voice.db'}?" in enrolled.err


def test_gallery_is_listed_changed_and_exported(
    ask: Ask, filled: Path, tmp_path: Path, run: Path
) -> None:
    path = tmp_path / "gallery.db"
    path.write_bytes(filled.read_bytes())
    answer = ask("gallery", "list", path)
    assert answer.code == 0
    assert answer.out.startswith("2 voices of tdnn (weights ")
    first, second = [each.name for each in Gallery(path).voices()]
    table = tmp_path / "voices.parquet"
    assert ask("gallery", "export", path, "--output", table).code == 0
    found = read_vectors(table)
    assert found.vectors.shape[0] == 4
    assert set(found.speakers.to_pylist()) == {first, second}
    assert found.weights_sha256 == Gallery(path).encoder.weights_sha256
    answer = ask("gallery", "check", path)
    assert "no calibration" in answer.err
    assert answer.code == 1  # a hardly trained encoder finds everybody alike
    assert ask("gallery", "rename", path, first, "-x 1").code == 2  # a flag, to the parser
    assert ask("gallery", "rename", path, first, "x 1").code == 0
    number = Gallery(path).voice(second).recordings[0].id
    assert ask("gallery", "remove", path, second, "--recordings", number).code == 0
    itself = ask("gallery", "merge", path, "x 1", "x 1")
    assert itself.code == 2
    assert "itself" in itself.err
    merged = ask("gallery", "merge", path, "x 1", second)
    assert merged.out.endswith("now 3\n")
    assert re.search(r"the two voices had a cosine of -?[01]\.\d\d\n", merged.err)
    answer = ask("gallery", "remove", path, "x 1", "nobody-else")
    assert answer.code == 2
    assert len(Gallery(path)) == 1
    assert ask("gallery", "remove", path, "x 1").code == 0
    assert len(Gallery(path)) == 0
    assert ask("gallery", "merge", path, "x 1").code == 2
    assert ask("gallery", "export", path).code == 2


def test_imported_vectors_are_enrolled(ask: Ask, tmp_path: Path) -> None:
    """Nothing is known of how long their recordings are, so none is too short."""
    random = np.random.default_rng(0)
    voices = np.repeat(random.standard_normal((6, 32)), 4, axis=0)
    vectors = (voices + 0.1 * random.standard_normal(voices.shape)).astype(np.float32)
    names = {f"u{row}": vector for row, vector in enumerate(vectors)}
    np.savez(tmp_path / "vectors.npz", **names)
    speakers = tmp_path / "utt2spk"
    speakers.write_text("".join(f"u{row} s{row // 4}\n" for row in range(len(vectors))))
    source, folder = tmp_path / "vectors.npz", tmp_path / "imported"
    assert ask("import-embeddings", source, "--output", folder, "--speakers", speakers).code == 0
    answer = ask("enroll", tmp_path / "gallery.db", "--embeddings", folder)
    assert answer.code == 0, answer.err
    assert "6 voices with 24 recordings added" in answer.out


def test_where_everybody_is_refused_there_is_no_gallery(ask: Ask, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((8, 32)).astype(np.float32)  # no two of one voice agree
    np.savez(tmp_path / "vectors.npz", **{f"u{row}": each for row, each in enumerate(vectors)})
    speakers = tmp_path / "utt2spk"
    speakers.write_text("".join(f"u{row} s{row // 2}\n" for row in range(len(vectors))))
    source, folder, path = (tmp_path / name for name in ("vectors.npz", "imported", "g.db"))
    assert ask("import-embeddings", source, "--output", folder, "--speakers", speakers).code == 0
    answer = ask("enroll", path, "--embeddings", folder)
    assert answer.code == 1
    assert answer.err.count("refused: ") == 8
    assert "4 refused" in answer.out
    assert answer.err.endswith("--force enrolls refused voices without the checks\n")
    assert not list(tmp_path.glob("g.db*"))
    assert ask("enroll", path, "--embeddings", folder, "--force").code == 0
    assert len(Gallery(path)) == 4
    again = ask("enroll", path, "--embeddings", folder)
    assert "4 were there, 0 refused" in again.out


def test_speakers_of_an_embed_folder_are_enrolled(
    ask: Ask, tmp_path: Path, run: Path, voices: Path
) -> None:
    api.embed(run, voices, tmp_path / "embeddings")
    path = tmp_path / "gallery.db"
    answer = ask("enroll", path, "--embeddings", tmp_path / "embeddings", "--force")
    assert answer.code == 0, answer.err
    assert "8 voices with 48 recordings added" in answer.out
    again = ask("enroll", path, "--embeddings", tmp_path / "embeddings", "--json")
    assert json.loads(again.out)["num_unchanged"] == 8
    table = tmp_path / "voices.parquet"
    ask("gallery", "export", path, "--output", table)
    given, kept = read_vectors(tmp_path / "embeddings"), read_vectors(table)
    rows = {str(name): row for row, name in enumerate(given.paths.to_pylist())}
    order = [rows[name] for name in kept.paths.to_pylist()]
    assert (given.vectors[order] == kept.vectors).all()
    assert api.audit(table, tmp_path / "audit.parquet") is not None
    other = tmp_path / "guarded.db"
    answer = ask("enroll", other, "--embeddings", tmp_path / "embeddings")
    assert answer.code == 1
    assert "refused: " in answer.err
    assert ("0 voices with 0 recordings" in answer.out) != other.exists()
    answer = ask("gallery", "check", path, "--encoder", run, "--json")
    assert "of the encoder's validation" in json.loads(answer.out)["evidence"]
    assert "guess" not in answer.err
    assert Gallery(path).encoder == EncoderIdentity.of(load_encoder(run))


def test_merging_two_speakers_is_refused(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    gallery = Gallery.create(path, EncoderIdentity("mine", "a" * 64, "b" * 64, 2))
    for name, vector in (("anna", [1.0, 0.0]), ("berta", [0.13, 0.99]), ("carla", [0.9, 0.1])):
        recording = EnrolledRecording(np.array(vector, np.float32), name, name, 4.0, 3.0)
        gallery.add(name, [recording])
    answer = ask("gallery", "merge", path, "anna", "berta")
    assert answer.code == 1
    assert "refused: berta: it does not sound like 'anna' (cosine 0.13" in answer.err
    assert "nothing was merged; --force merges them anyway" in answer.err
    assert len(gallery) == 3
    assert ask("gallery", "merge", path, "anna", "carla").code == 0
    assert ask("gallery", "merge", path, "anna", "berta", "--force").out.endswith("now 3\n")
    assert ask("gallery", "list", path, "--force").code == 2


def test_a_refused_first_enrollment_leaves_no_gallery(
    ask: Ask, tmp_path: Path, run: Path, voices: Path
) -> None:
    recording = next(voices.glob("*/*.ogg"))
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    path = tmp_path / "new" / "gallery.db"
    twice = ("enroll", path, "anna", recording, recording, "--encoder", run)
    for words in (twice, ("enroll", path, "anna", broken, "--encoder", run, "--force")):
        answer = ask(*words)
        assert answer.code == 1
        assert "nothing was enrolled" in answer.err
        assert not path.parent.exists()
    answer = ask(*twice, "--partial")
    assert answer.code == 1
    assert "1 recording added" in answer.out
    assert "same recording" in answer.err
    assert len(Gallery(path)) == 1


def test_advice_after_a_refusal_is_what_helps(
    ask: Ask, tmp_path: Path, run: Path, voices: Path
) -> None:
    one, other = sorted(next(voices.iterdir()).iterdir())[:2]
    (broken := tmp_path / "broken.wav").write_bytes(b"no sound")
    short = f"{other}#t=0,0.8"

    def advice(*words: object) -> str:
        answer = ask("enroll", tmp_path / "gallery.db", "anna", *words, "--encoder", run)
        assert answer.code == 1
        start, _, end = answer.err.splitlines()[-1].partition("nothing was enrolled")
        assert start == "anna: "
        return end

    unchecked = "without the checks"
    assert advice(short) == f"; --force enrolls it {unchecked}"
    assert advice(one, one) == advice(one, one, one, broken) == "; --partial enrolls the other"
    assert advice(one, one, short, broken) == (
        "; --partial enrolls the other; --force enrolls the 3 usable ones "
        f"{unchecked}, also what repeats another"
    )
    assert advice(short, broken) == f"; --force enrolls the usable one {unchecked}"
    assert advice(broken) == advice(broken, "--force") == advice(broken, "--partial") == ""
    assert advice(short, "--partial") == f"; --force enrolls it {unchecked}"
    gallery = tmp_path / "gallery.db"
    assert ask("enroll", gallery, "anna", one, "--encoder", run).code == 0
    assert advice(one) == advice(one, "--partial") == "; all that was given is in the gallery"
    assert advice(one, broken) == ""
    told = ask("enroll", gallery, "ben", one, "--encoder", run).err
    assert "as a recording of 'anna': leave it out, or `remove` it there if it is of 'ben'" in told
    assert "--force" not in told
