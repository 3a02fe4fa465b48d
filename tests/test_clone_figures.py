"""Figures of cloned voices: anchors, position, intervals, flags of gamed encoders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conftest import SMALL
from timbral.audio.quality.measures import Quality
from timbral.calibration.calibration_file import read_calibration
from timbral.calibration.conditions import Conditions
from timbral.calibration.known import SHIPPED
from timbral.cloning.clone_figures import SpeakerDraws, student_t_975, system_figures
from timbral.cloning.clones import Clone, CloneSet, RealRecording
from timbral.cloning.encoded_recording import EncodedRecording
from timbral.cloning.encoder_view import EncoderFacts, EncoderView
from timbral.cloning.gaming import gaming_flags
from timbral.encoders.lstm import LstmEncoder
from timbral.inference.decision import PairScore, Question, decide
from timbral.inference.embedder import Embedder
from timbral.io.types import Floats

QUALITY = Quality(4.0, 4.0, -20.0, None, 8_000.0, 0.0, 1, None, 1.0, 0.0)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(LstmEncoder(SMALL["lstm"]))  # type: ignore[arg-type]


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
    return EncoderView.of(EncoderFacts.of(embedder), CloneSet(tuple(clones), tuple(real)), encoded)


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
    embedder = Embedder(LstmEncoder(SMALL["lstm"]))  # type: ignore[arg-type]
    view = EncoderView.of(EncoderFacts.of(embedder), CloneSet(clones, real), encoded)
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
    view = EncoderView.of(EncoderFacts.of(embedder), found, encoded)
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
def test_student_t(freedom: int, point: float) -> None:
    assert student_t_975(freedom) == pytest.approx(point, rel=4e-3)


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


def test_encoders_that_differ_halfway_are_not_flagged(embedder: Embedder) -> None:
    """As by a second voice underneath: both find it nearer to the speaker, one more so."""
    near, halfway = view_of(embedder, 1.0, 1), view_of(embedder, 0.62, 2)
    draws = SpeakerDraws([clone.speaker for clone in near.clones], 200)
    positions = [system_figures(each, "tts", draws).position for each in (near, halfway)]
    assert positions[1] > 0.5
    assert not gaming_flags([near, halfway], ["tts"], draws)
