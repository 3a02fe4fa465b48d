"""Cloned voices against their references: lists, anchors, intervals, flags, report."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from conftest import SMALL, Ask
from timbral import api
from timbral.audio.decode import Wave
from timbral.audio.preprocessing import load
from timbral.audio.quality.measures import Quality
from timbral.calibration.calibration_file import read_calibration
from timbral.calibration.conditions import Conditions
from timbral.calibration.known import SHIPPED
from timbral.cli.verbs.similarity import split_words
from timbral.cloning.clone_figures import SpeakerDraws, _student, system_figures
from timbral.cloning.clone_lists import read_clone_list, read_meta
from timbral.cloning.clone_sources import find_clones
from timbral.cloning.clones import Clone, CloneSet, RealRecording
from timbral.cloning.encoded_recording import EncodedRecording
from timbral.cloning.encoder_view import EncoderView
from timbral.cloning.gaming import gaming_flags
from timbral.encoders.lstm import LstmEncoder
from timbral.errors import DataError, InputError
from timbral.inference.decision import PairScore, Question, decide
from timbral.inference.embedder import Embedder
from timbral.io.types import Floats, Vectors

QUALITY = Quality(4.0, 4.0, -20.0, None, 8_000.0, 0.0, 1, None, 1.0, 0.0)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(LstmEncoder(SMALL["lstm"]))  # type: ignore[arg-type]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def view_of(
    embedder: Embedder, similarity: float, seed: int, system: str = "tts", speakers: int = 8
) -> EncoderView:
    """Clones of made-up voices, `similarity` of the way to the voice that they should have."""
    random = np.random.default_rng(seed)
    voices = random.standard_normal((speakers, 64))
    encoded, real, clones = {}, [], []

    def add(path: str, vector: Floats) -> None:
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        encoded[path] = EncodedRecording(unit, QUALITY)

    for number, voice in enumerate(voices):
        for take in range(4):
            path = f"{number}/{take}.wav"
            add(path, voice + 0.5 * random.standard_normal(64))
            real.append(RealRecording(path, str(number)))
        for take in range(3):
            path = f"clone/{number}/{take}.wav"
            other = random.standard_normal(64)
            add(path, similarity * voice + (1 - similarity) * other)
            clones.append(Clone(str(take), system, path, (f"{number}/0.wav",), str(number)))
    return EncoderView.of(embedder, CloneSet(tuple(clones), tuple(real)), encoded)


def test_anchors_are_those_of_each_reference() -> None:
    """Against one loop over all pairs."""
    random = np.random.default_rng(3)
    vectors = random.standard_normal((6, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = ["a0", "a1", "a2", "b0", "b1", "c0"]
    sessions = ["1", "1", "2", "1", "1", "1"]
    real = tuple(
        RealRecording(name, name[0], session) for name, session in zip(names, sessions, strict=True)
    )
    encoded = {n: EncodedRecording(v, QUALITY) for n, v in zip(names, vectors, strict=True)}
    encoded["x"] = EncodedRecording(vectors[0], QUALITY)
    clones = (Clone("x", "s", "x", ("a1",), "a"), Clone("y", "s", "x", ("a0", "a1"), "a"))
    view = EncoderView.of(Embedder(LstmEncoder(SMALL["lstm"])), CloneSet(clones, real), encoded)  # type: ignore[arg-type]
    cosine = vectors @ vectors.T
    assert view.cosines[0] == pytest.approx(cosine[0, 1])
    assert view.same[0] == pytest.approx(cosine[2, 1])  # of the other session
    assert view.other[0] == pytest.approx(max(cosine[1, 3:5].mean(), cosine[1, 5]))
    side = vectors[0] + vectors[1]
    side /= np.linalg.norm(side)
    assert view.cosines[1] == pytest.approx(float(side @ vectors[0]))
    assert view.same[1] == pytest.approx(float(side @ vectors[2]))
    assert view.across_sessions
    assert np.isnan(view.probabilities).all()


def test_probabilities_are_those_of_verify() -> None:
    """Of the scores that the calibration is of: it takes directions out of both vectors."""
    calibration = read_calibration(SHIPPED / "campplus-zh-en.json")
    assert calibration.nuisance
    vectors = np.random.default_rng(0).standard_normal((2, 192)).astype(np.float32)
    vectors[1] = vectors[0] + 3 * np.array(calibration.nuisance[0]) * np.linalg.norm(vectors[0])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    encoded = {
        name: EncodedRecording(vector, QUALITY) for name, vector in zip("ab", vectors, strict=True)
    }
    embedder = Embedder(LstmEncoder(SMALL["lstm"]), calibration=calibration)
    real = (RealRecording("b", "s"),)
    found = CloneSet((Clone("a", "s", "a", ("b",), "s"),), real)
    view = EncoderView.of(embedder, found, encoded)  # type: ignore[arg-type]
    score = PairScore.of(vectors[0], vectors[1], calibration)
    assert score.compensated > score.cosine + 0.3
    conditions = Conditions.of([QUALITY])
    decided = decide(score, Question(calibration=calibration), conditions, conditions)
    assert view.probabilities[0] == pytest.approx(decided.probability, abs=1e-6)
    assert view.cosines[0] == pytest.approx(score.cosine, abs=1e-6)


def test_position_lies_between_the_anchors(embedder: Embedder) -> None:
    positions = []
    for similarity in (0.0, 0.3, 0.6, 1.0):
        view = view_of(embedder, similarity, 5)
        draws = SpeakerDraws([clone.speaker for clone in view.clones], 200)
        figures = system_figures(view, "tts", draws)
        positions.append(figures.position)
        assert figures.interval is not None
        assert figures.interval.low < figures.mean < figures.interval.high
        assert figures.mean == pytest.approx(view.cosines.mean())
        assert np.mean(list(figures.of_speakers.values())) == pytest.approx(figures.mean)
    assert positions == sorted(positions)
    assert positions[0] < 0.1
    assert positions[-1] > 0.9


def test_intervals_cover() -> None:
    """At least 93 of 100, also with few speakers; the mean of all speakers there are is 0.6."""
    random = np.random.default_rng(0)
    covered = []
    for trial in range(450):
        speakers = (6, 12, 40)[trial % 3]
        means = 0.6 + 0.1 * random.standard_normal(speakers)
        values = np.repeat(means, 5) + 0.05 * random.standard_normal(5 * speakers)
        draws = SpeakerDraws([str(number) for number in range(speakers)], 400, seed=trial)
        codes = np.repeat(np.arange(speakers), 5)
        interval = draws.interval(draws.means(values, codes), speakers)
        assert interval is not None
        covered.append(interval.low <= 0.6 <= interval.high)
    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize(("freedom", "point"), [(4, 2.7764), (9, 2.2622), (30, 2.0423)])
def test_student(freedom: int, point: float) -> None:
    assert _student(freedom) == pytest.approx(point, rel=4e-3)


def test_similarity_in_one_encoder_alone_is_flagged(embedder: Embedder) -> None:
    good, bad = view_of(embedder, 1.0, 1), view_of(embedder, 0.1, 2)
    draws = SpeakerDraws([clone.speaker for clone in good.clones], 200)
    [flag] = gaming_flags([bad, good], ["tts"], draws)
    assert flag.excess > 0.5
    assert "than by any other encoder" in str(flag)
    assert not gaming_flags([good, view_of(embedder, 1.0, 7)], ["tts"], draws)
    assert not gaming_flags([bad, view_of(embedder, 0.1, 8)], ["tts"], draws)
    assert not gaming_flags([good], ["tts"], draws)
    unknown = view_of(embedder, 1.0, 9, system="other")  # has no clone of this system
    for views in ([bad, good, unknown], [bad, unknown, good], [unknown, bad]):
        assert not gaming_flags(views, ["tts"], draws)


def test_lists_of_clones(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("out/a.wav ref/p.wav\nout/b.wav  s3://d/q.wav\n")
    first, second = read_clone_list(tmp_path / "pairs.txt")
    assert (first.name, first.synthesized) == ("a", f"{tmp_path}/out/a.wav")
    assert second.reference == "s3://d/q.wav"
    (tmp_path / "t.csv").write_text(
        "synthesized,reference,speaker,system,name\na.wav,r.wav,007,x,u1\n"
    )
    [clone] = read_clone_list(tmp_path / "t.csv")
    assert (clone.speaker, clone.system, clone.name) == ("007", "x", "u1")
    for name, content, words in (
        (
            "a.txt",
            "one two three\n",
            r"a\.txt:1: a line should contain the synthesized .* got 3 words",
        ),
        ("b.txt", "a|b|c|d\n", r"b\.txt:1: is a line of meta\.lst; give that file as `meta`"),
        ("c.txt", "", r"c\.txt: contains no clone"),
        ("d.csv", "synthesized,ref\na,b\n", "has no column 'reference'.*it has: synthesized, ref"),
        ("e.csv", "synthesized,reference\na,\n", "row 1 needs both"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(DataError, match=words):
            read_clone_list(tmp_path / name)


def test_meta_lst(tmp_path: Path) -> None:
    touch(tmp_path, "prompts/p.wav", "wavs/u1.wav", "outputs/u1.wav", "outputs/u3.wav")
    lines = "u1|words|prompts/p.wav|other words|wavs/u1.wav\nu2|w|prompts/p.wav|o\n"
    (tmp_path / "meta.lst").write_text(lines)
    found = find_clones([tmp_path / "outputs"], meta=tmp_path / "meta.lst")
    [clone] = found.clones
    assert (clone.name, clone.system) == ("u1", "outputs")
    assert clone.references == (f"{tmp_path}/prompts/p.wav",)
    assert {each.speaker for each in found.real} == {clone.speaker}
    assert [Path(each.path).name for each in found.real] == ["p.wav", "u1.wav"]
    assert [failure.path for failure in found.failures] == [f"{tmp_path}/outputs/u2.wav"]
    assert "speakers are known by their prompts only" in found.notes[0]
    touch(tmp_path, "prompts/q.wav", "prompts/r.wav", "outputs/u2.wav")
    lines += "u3|words|prompts/q.wav|other|prompts/p.wav\nu4|w|prompts/r.wav|o\n"
    (tmp_path / "meta.lst").write_text(lines)
    found = find_clones([tmp_path / "outputs"], meta=tmp_path / "meta.lst")
    assert len({clone.speaker for clone in found.clones}) == 1, "lines link p and q"
    assert len(found.clones) == 3
    for content, words in (("a|b|c\n", "got 3 fields"), ("a|b|c|d\na|b|c|e\n", "more than once")):
        (tmp_path / "meta.lst").write_text(content)
        with pytest.raises(DataError, match=words):
            read_meta(tmp_path / "meta.lst")


def test_folders_are_matched_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "ref/anna/1.wav", "ref/anna/2.wav", "ref/ben/3.flac", "ref/ben/9.flac")
    touch(tmp_path, "tts/anna/1.wav", "tts/3.wav", "tts/4.wav")
    found = find_clones([tmp_path / "tts", tmp_path / "ref"])
    assert [(each.name, each.speaker) for each in found.clones] == [
        ("3", "ben"),
        ("anna/1", "anna"),
    ]
    assert len(found.real) == 4
    [failure] = found.failures
    assert str(failure).endswith(f"4.wav: has no reference of the same name in {tmp_path}/ref")
    others = find_clones([tmp_path / "tts", tmp_path / "ref"], to_speaker=True)
    assert others.clones[1].references == (f"{tmp_path}/ref/anna/2.wav",)
    flat = touch(tmp_path / "flat", "1.wav", "3.wav")
    found = find_clones([tmp_path / "tts", flat])
    assert "speakers of the references are unknown" in found.notes[0]
    assert len({each.speaker for each in found.clones}) == 2
    with pytest.raises(DataError, match="has no other recording than the reference"):
        find_clones([tmp_path / "tts", flat], to_speaker=True)
    known = find_clones([tmp_path / "tts", flat], corpus=touch(tmp_path / "c", "a/1.wav"))
    assert known.notes
    with pytest.raises(DataError, match=r"is a recording\. Give folders of recordings or a list"):
        find_clones([tmp_path / "tts/3.wav", tmp_path / "ref/ben/3.flac"])
    with pytest.raises(
        DataError, match=r"no synthesized recording has a reference; the first.*; list pairs in a"
    ):
        find_clones([touch(tmp_path / "x", "7.wav"), flat])


def test_a_folder_names_the_speaker_where_no_recording_has_the_name(tmp_path: Path) -> None:
    touch(tmp_path, "ref/anna/1.wav", "ref/anna/2.wav", "ref/ben/3.wav", "ref/ben/9.wav")
    folders = [touch(tmp_path / "tts", "anna/x.wav", "ben/1.wav", "ben/9.wav"), tmp_path / "ref"]
    found = find_clones(folders)
    assert [(each.name, each.speaker) for each in found.clones] == [("ben/9", "ben")]
    assert [str(each).partition("wav: ")[2] for each in found.failures] == [
        f"has no reference of the same name in {tmp_path}/ref; `to_speaker` compares it with all "
        f"recordings of {speaker}"
        for speaker in ("anna", "ben")
    ], "the only recording of a name is no reference where it is another speaker's"
    found = find_clones(folders, to_speaker=True)
    assert {
        each.name: sorted(Path(path).stem for path in each.references) for each in found.clones
    } == {
        "ben/9": ["3"],
        "anna/x": ["1", "2"],
        "ben/1": ["3", "9"],
    }
    assert found.failures == ()


def test_nothing_of_one_name_is_merged(tmp_path: Path) -> None:
    references = touch(tmp_path / "ref", "anna/1.wav", "anna/2.wav")
    folders = [touch(tmp_path / name / "out", "1.wav", "2.wav") for name in ("a", "b")]
    found = find_clones([*folders, references])
    assert {each.system for each in found.clones} == {"a/out", "b/out"}
    lists = []
    for folder in folders:
        lists.append(folder.parent / "pairs.txt")
        lists[-1].write_text("out/x/1.wav r.wav\nout/y/1.wav r.wav\nout/y/1.wav q.wav\n")
    found = find_clones(lists)
    assert {each.system for each in found.clones} == {"a/pairs", "b/pairs"}
    assert [each.name for each in found.clones] == ["x/1", "y/1", "y/1"] * 2
    with pytest.raises(DataError, match="is given twice"):
        find_clones([lists[0], lists[0]])
    lists[0].write_text("out/1.wav r.wav\nout/2.wav r.wav\nout/1.wav r.wav\n")
    with pytest.raises(DataError, match=r"lists .*out/1\.wav with .* 2 times"):
        find_clones(lists)
    touch(folders[0], "1.flac")
    with pytest.raises(DataError, match=r"1\.flac and .*1\.wav: differ only in their suffixes"):
        find_clones([*folders, references])
    (folders[0] / "1.flac").unlink()
    flat = touch(tmp_path / "flat", "2.ogg", "2.wav")
    with pytest.raises(DataError, match=r"2\..* differ only in their suffixes"):
        find_clones([*folders, flat])


def test_an_empty_folder_of_synthesized_recordings_is_told(tmp_path: Path) -> None:
    references = touch(tmp_path / "ref", "anna/1.wav")
    (tmp_path / "tts").mkdir()
    with pytest.raises(DataError, match=r"/tts contains no audio"):
        find_clones([tmp_path / "tts", references])


def test_words_are_encoders_and_sources(tmp_path: Path) -> None:
    touch(tmp_path, "run/checkpoint.json", "out/a.wav")
    encoders = ("ecapa", str(tmp_path / "run"), "there/enc.onnx")
    sources = (str(tmp_path / "out"), "reference")
    assert split_words((*encoders, *sources)) == (list(encoders), list(sources))


def test_report(ask: Ask, run: Path, voices: Path, tmp_path: Path, embedder: Embedder) -> None:
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
    assert (tmp_path / "report" / "similarity.png").exists()
    refused = ask("similarity", run, *systems, real, "--output", real)
    assert refused.code == 2
    assert "choose" in refused.err


def test_drift(ask: Ask, run: Path, voices: Path, tmp_path: Path) -> None:
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


def test_mistakes(ask: Ask, tmp_path: Path) -> None:
    told = ask("similarity", "ecapa", "--output", "o").err
    assert "give encoders, followed by what to compare" in told
    assert "`timbral similarity ecapa SYNTHESIZED REFERENCES --output report`" in told
    assert (
        f"similarity campplus-int8 {tmp_path} --"
        in ask("similarity", tmp_path, "--output", "o").err
    )
    told = ask("similarity", tmp_path, "ge2e-lstm", tmp_path, "--output", "o").err
    assert f"`timbral similarity ge2e-lstm {tmp_path} {tmp_path} --output report`" in told
    with pytest.raises(InputError, match="a list of encoders"):
        api.clone_similarity("ecapa", [tmp_path])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="ge2e-lstm is listed twice"):
        api.clone_similarity(["ge2e-lstm", "ecapa", "ge2e-lstm"], [tmp_path])


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


def test_anchors_that_are_one_give_no_position(embedder: Embedder) -> None:
    """An encoder to which others are as near as the speaker: any position may come out."""
    good = view_of(embedder, 1.0, 1)
    draws = SpeakerDraws([clone.speaker for clone in good.clones], 200)
    assert system_figures(good, "tts", draws).position_interval is not None
    random = np.random.default_rng(0)
    blind = replace(good, other=good.same + 0.001 + 0.01 * random.standard_normal(len(good.same)))
    figures = system_figures(blind, "tts", draws)
    assert np.isnan(figures.position)
    assert figures.position_interval is None
    assert not gaming_flags([good, blind], ["tts"], draws)


def test_encoders_that_differ_halfway_are_not_flagged(embedder: Embedder) -> None:
    """As by a second voice underneath: both find it nearer to the speaker, one more so."""
    near, halfway = view_of(embedder, 1.0, 1), view_of(embedder, 0.62, 2)
    draws = SpeakerDraws([clone.speaker for clone in near.clones], 200)
    positions = [system_figures(each, "tts", draws).position for each in (near, halfway)]
    assert positions[1] > 0.5
    assert not gaming_flags([near, halfway], ["tts"], draws)


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
