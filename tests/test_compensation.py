"""Calibrations that take out of vectors what lines do to them (nuisance attribute projection)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from timbral.calibration.calibration import Calibration
from timbral.calibration.calibration_file import read_calibration, write_calibration
from timbral.calibration.conditions import Conditions, Ranges
from timbral.embeddings.vectors import project_out, unit_length
from timbral.errors import ConfigError, DataError
from timbral.gallery.evidence import CalibratedEvidence, Evidence
from timbral.gallery.guard import Guard, Near
from timbral.gallery.voice_matrix import Snapshot
from timbral.gallery.voice_search import Voices
from timbral.gallery.voices import EnrolledRecording
from timbral.inference.decision import PairScore, Question, decide
from timbral.io.types import Vectors
from timbral.scoring.calibration_fit import DIRECTIONS, CalibrationFit, TrialData, fit_trials
from timbral.scoring.trial_vectors import TrialVectors

SIZE = 24
SHIPPED = read_calibration(
    Path(__file__).parents[1] / "src/timbral/calibration/published/campplus-zh-en.json"
)
PLAIN = replace(SHIPPED, nuisance=())
LINES = np.linalg.qr(np.random.default_rng(9).normal(size=(SIZE, 2)))[0].T.astype(np.float32)
"""two directions in which lines move all speakers' vectors"""


def simulate(lines: float, num_speakers: int = 40, seed: int = 0) -> tuple[TrialData, TrialVectors]:
    """Speakers with six recordings each, moved along `LINES` by so much."""
    generator = np.random.default_rng(seed)
    speakers = np.repeat(np.arange(num_speakers), 6)
    means = generator.normal(size=(num_speakers, SIZE))
    vectors = means[speakers] + 0.8 * generator.normal(size=(len(speakers), SIZE))
    vectors += lines * generator.normal(size=(len(speakers), 2)) @ LINES
    first, second = np.triu_indices(len(speakers), k=1)
    same = speakers[first] == speakers[second]
    kept = same | (generator.random(len(same)) < 0.1)
    first, second, same = first[kept], second[kept], same[kept]
    recordings = TrialVectors(unit_length(vectors), speakers, first, second)
    ones = Conditions(*np.ones((3, len(first))))
    scores = recordings.cosines(recordings.nuisance(0))
    sides = speakers[first], speakers[second]
    return TrialData(scores, same.astype(np.int64), *sides, ones, ones), recordings


def fit(
    data: TrialData, recordings: TrialVectors | None, directions: tuple[int, ...]
) -> CalibrationFit:
    ranges = Ranges.of(data.first_conditions)
    return fit_trials(data, ranges, recordings, directions=directions, draws=100)


def test_directions_of_lines_are_found_and_lower_the_cost() -> None:
    data, recordings = simulate(lines=6.0)
    plain, fitted = fit(data, None, ()), fit(data, recordings, DIRECTIONS)
    assert len(fitted.nuisance) == 2
    np.testing.assert_allclose(np.linalg.svd(fitted.nuisance @ LINES.T)[1], 1.0, atol=0.02)
    assert fitted.cllr < 0.6 * plain.cllr
    new, of_new = simulate(lines=6.0, seed=1)  # and so it is with other speakers
    scores = of_new.cosines(fitted.nuisance)
    llrs = fitted.offset[0] + fitted.scale[0] * scores
    assert (llrs[new.labels == 1] > 0).mean() > 0.9
    assert (llrs[new.labels == 0] < 0).mean() > 0.9


def test_nothing_is_taken_out_where_it_does_not_help() -> None:
    data, recordings = simulate(lines=0.0)
    fitted, plain = fit(data, recordings, DIRECTIONS), fit(data, None, ())
    assert fitted.nuisance.shape == (0, SIZE)
    np.testing.assert_allclose(fitted.scale, plain.scale, rtol=1e-4)
    np.testing.assert_allclose(fitted.cllr, plain.cllr, rtol=1e-4)


def test_costs_are_of_speakers_whose_directions_were_not_seen() -> None:
    """Where every speaker has a line of its own, taking these out helps nobody else."""
    generator = np.random.default_rng(0)
    data, recordings = simulate(lines=0.0, num_speakers=20)
    own = unit_length(generator.normal(size=(20, SIZE)))[recordings.speakers]
    moved = recordings.vectors + 0.8 * generator.normal(size=(len(own), 1)) * own
    recordings = replace(recordings, vectors=unit_length(moved))
    data = replace(data, scores=recordings.cosines(recordings.nuisance(0)))
    in_sample = recordings.cosines(recordings.nuisance(12))
    seen = fit(replace(data, scores=in_sample), None, ())
    assert fit(data, recordings, (12,)).cllr > 1.02 * seen.cllr


def test_directions_that_the_data_cannot_show_are_errors() -> None:
    data, recordings = simulate(lines=1.0)
    with pytest.raises(ConfigError, match="`directions` must be from 1 to 23"):
        fit(data, recordings, (SIZE,))
    alone = replace(recordings, speakers=np.arange(len(recordings.speakers)))
    with pytest.raises(DataError, match="several recordings per speaker"):
        alone.nuisance(3)


def compensating(count: int = 2) -> Calibration:
    return replace(SHIPPED, nuisance=tuple(tuple(row) for row in LINES[:count].tolist()))


def test_it_is_kept_with_the_calibration(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    write_calibration(path, compensating())
    read = read_calibration(path)
    vectors = np.random.default_rng(0).normal(size=(5, SIZE)).astype(np.float32)
    np.testing.assert_array_equal(
        read.compensate(vectors), unit_length(project_out(vectors, LINES))
    )
    expected = (read.compensate(vectors[:1]) @ read.compensate(vectors[1:]).T)[0]
    np.testing.assert_allclose(read.scores(vectors[0], vectors[1:]), expected, atol=1e-6)
    with pytest.raises(DataError, match="for vectors with 24 numbers, these have"):
        read.compensate(vectors[:, :20])


@pytest.mark.parametrize(
    ("nuisance", "message"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], "fewer than each has numbers"),
        ([[1.0, 0.0, 0.0], [0.0, 1.0]], "of equal length"),
        ([[2.0, 0.0, 0.0]], "of length 1"),
        ([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]], "orthogonal"),
        ([[]], "fewer than each has numbers"),
        ([["a", 0.0, 0.0]], "nuisance"),
        (3, "nuisance"),
    ],
)
def test_other_directions_in_a_file_are_refused(
    nuisance: object, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "calibration.json"
    write_calibration(path, compensating())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"nuisance": nuisance}))
    with pytest.raises(DataError, match=message):
        read_calibration(path)


def test_decision_compares_what_is_left_of_the_vectors() -> None:
    """A cosine that was given is compared with that of the vectors as they are."""
    calibration = compensating()
    generator = np.random.default_rng(3)
    voice = generator.normal(size=SIZE)
    one, other = unit_length(np.stack([voice + 8 * LINES[0], voice - 8 * LINES[0]]))
    pair = PairScore.of(one, other, calibration)
    assert pair.cosine < 0 < 0.9 < pair.compensated
    side = Conditions(np.array([4.0]), np.array([8000.0]), np.array([40.0]))
    decision = decide(pair, Question(calibration=calibration), side, side)
    assert decision.same
    assert decision.score == pair.compensated
    assert f"before that {pair.cosine:.3f}" in decision.why
    assert decision.false_accept_bound is not None
    given = decide(pair, Question(threshold=0.5, calibration=calibration), side, side)
    assert given.same is False
    assert given.score == pair.cosine
    assert (given.llr, given.false_accept_bound) == (decision.llr, None)
    plain = decide(PairScore.of(one, other, PLAIN), Question(calibration=PLAIN), side, side)
    assert plain.same is False


class Everybody:
    """Voices for a Guard."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def __len__(self) -> int:
        return len(self.vectors)

    def nearest(self, vectors: Vectors) -> list[Near]:
        conditions = Conditions(*np.full((3, len(self.vectors)), 10.0))
        names, mapped = [str(row) for row in range(len(self))], np.zeros(len(self), bool)
        return [Near(names, self.vectors, conditions, mapped) for _ in vectors]


@pytest.mark.parametrize("calibration", [compensating(), PLAIN])
def test_galleries_compare_likewise(calibration: Calibration) -> None:
    evidence: Evidence = CalibratedEvidence(calibration)
    generator = np.random.default_rng(4)
    voices = generator.normal(size=(3, SIZE))
    by_line = unit_length(voices - 6 * LINES[0])
    recordings = [
        EnrolledRecording(vector, f"{row}.wav", speech_seconds=10.0, bandwidth_hz=8e3, snr_db=40.0)
        for row, vector in enumerate(unit_length(voices + 6 * LINES[0]))
    ]
    guard = Guard(evidence)
    ratio, name, said = guard._nearest([recordings[:1]], Everybody(by_line))[0]
    expected = calibration.scores(recordings[0].vector, by_line)
    assert int(name) == int(expected.argmax())
    assert said.startswith(f"cosine {expected.max():.2f}, llr ")
    if calibration.nuisance:
        assert name == "0"
        assert ratio > 0
    conditions = Conditions(*np.full((3, 3), 10.0))
    snapshot = Snapshot(("0", "1", "2"), by_line, conditions, np.zeros(3, bool))
    found = Voices.of(snapshot, evidence).likeliest(
        np.stack([each.vector for each in recordings]), conditions
    )
    np.testing.assert_allclose(
        found.cosines[0],
        np.sort(calibration.scores(recordings[0].vector, by_line))[::-1],
        atol=1e-6,
    )
    assert (guard.llrs_to_rest(recordings[:2]).max() < 0) or not calibration.nuisance
