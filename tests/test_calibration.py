"""From cosines to likelihood ratios: fitted, promised, kept as a file, and refused elsewhere."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from timbral.calibration.calibration import Calibration, FittedOn, OperatingPoint, promised
from timbral.calibration.calibration_file import read_calibration, write_calibration
from timbral.calibration.conditions import Conditions, Ranges
from timbral.errors import ConfigError, DataError
from timbral.inference.decision import PairScore, Question, decide
from timbral.scoring.calibration_fit import TrialData, fit_trials
from timbral.scoring.logistic import fit_logistic
from timbral.scoring.metrics import cllr
from timbral.scoring.rate_bounds import upper_bounds


def simulate(
    num_speakers: int, *, seed: int = 0, per_speaker: int = 6, conditions_matter: bool = True
) -> TrialData:
    """Trials of vectors whose noise is larger the less speech there is."""
    generator = np.random.default_rng(seed)
    means = generator.normal(size=(num_speakers, 16))
    speakers = np.repeat(np.arange(num_speakers), per_speaker)
    seconds = 2.0 ** generator.uniform(0, 4, size=len(speakers))
    spread = 1.6 / np.sqrt(seconds) if conditions_matter else np.full(len(speakers), 0.7)
    vectors = means[speakers] + spread[:, None] * generator.normal(size=(len(speakers), 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    conditions = Conditions(seconds, np.full(len(seconds), 8000.0), np.full(len(seconds), 40.0))
    first, second = np.triu_indices(len(speakers), k=1)
    same = speakers[first] == speakers[second]
    kept = same | (generator.random(len(same)) < 0.1)
    first, second, same = first[kept], second[kept], same[kept]
    return TrialData(
        (vectors[first] * vectors[second]).sum(axis=1),
        same.astype(np.int64),
        speakers[first],
        speakers[second],
        conditions.rows(first),
        conditions.rows(second),
    )


def calibrate(data: TrialData) -> Calibration:
    ranges = Ranges.of(data.first_conditions)
    fit = fit_trials(data, ranges, draws=200)
    fitted_on = FittedOn(
        "simulated voices",
        "0" * 64,
        len(np.union1d(data.first, data.second)),
        int(data.labels.sum()),
        int((1 - data.labels).sum()),
        fit.cllr,
        fit.cllr_interval.low,
        fit.cllr_interval.high,
        fit.min_cllr,
    )
    return Calibration(
        "simulated", "1" * 64, "2" * 64, fit.offset, fit.scale, ranges, fit.limits, fit.points,
        fitted_on, short_seconds=fit.short_seconds, short_points=fit.short_points,
    )  # fmt: skip


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(simulate(60))


def llrs_of(calibration: Calibration, data: TrialData) -> NDArray[np.float64]:
    return calibration.llr(data.scores, data.first_conditions, data.second_conditions)


def test_logistic_regression_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(1)
    features = np.concatenate((np.ones((500, 1)), generator.normal(size=(500, 3))), axis=1)
    labels = (features @ [0.3, 2.0, -1.0, 0.0] + generator.logistic(size=500) > 0).astype(int)
    weights = generator.uniform(0.5, 2.0, size=500)
    found = fit_logistic(features, labels, weights, np.array([0.0, 0.5, 0.5, 0.5]))
    peer = LogisticRegression(C=2.0, tol=1e-10, max_iter=1000).fit(
        features[:, 1:], labels, sample_weight=weights
    )
    np.testing.assert_allclose(found, [*peer.intercept_, *peer.coef_[0]], atol=1e-5)


def test_llrs_hold_for_speakers_that_were_not_fitted_on(calibration: Calibration) -> None:
    """Their cost is near that of the best calibration, and near what was cross-validated."""
    unseen = simulate(80, seed=5)
    cost = cllr(llrs_of(calibration, unseen), unseen.labels)
    assert cost < 1.15 * calibration.fitted_on.cllr
    assert calibration.fitted_on.min_cllr < calibration.fitted_on.cllr
    low, high = calibration.fitted_on.cllr_low, calibration.fitted_on.cllr_high
    assert low < calibration.fitted_on.cllr < high


def test_conditions_are_used_when_they_matter(calibration: Calibration) -> None:
    assert calibration.uses_conditions
    alike = simulate(40, conditions_matter=False)
    assert len(fit_trials(alike, Ranges.of(alike.first_conditions), draws=100).offset) == 1


def test_short_recordings_need_a_higher_cosine_to_be_refused_or_say_less(
    calibration: Calibration,
) -> None:
    """The same high cosine is weaker evidence when little was said."""
    short, long = (Conditions(np.array([s]), np.array([8e3]), np.array([40.0])) for s in (1.2, 14))
    assert calibration.llr(0.9, long, long) > calibration.llr(0.9, short, short)


def test_sides_can_be_exchanged(calibration: Calibration) -> None:
    data = simulate(10, seed=3)
    exchanged = calibration.llr(data.scores, data.second_conditions, data.first_conditions)
    np.testing.assert_allclose(llrs_of(calibration, data), exchanged, rtol=1e-12)


def test_llrs_end_where_the_data_end(calibration: Calibration) -> None:
    any_side = Conditions(np.array([8.0]), np.array([8e3]), np.array([40.0]))
    assert calibration.llr(50.0, any_side, any_side)[0] == calibration.limits[1]
    assert calibration.llr(-50.0, any_side, any_side)[0] == calibration.limits[0]
    assert calibration.limits[0] < -1
    assert calibration.limits[1] > 1


def test_cosine_is_the_inverse_of_the_llr(calibration: Calibration) -> None:
    data = simulate(10, seed=4)
    sides = data.first_conditions, data.second_conditions
    threshold = calibration.cosine(1.5, *sides)
    np.testing.assert_allclose(calibration.unlimited_llr(threshold, *sides), 1.5)


def test_promised_false_accepts_hold_for_other_speakers(calibration: Calibration) -> None:
    """Most of 20 groups of other speakers stay below what was promised."""
    point = calibration.threshold(0.05)
    assert point.false_accept <= point.false_accept_bound <= 0.05
    kept = 0
    for seed in range(20):
        others = simulate(60, seed=100 + seed)
        llrs = calibration.unlimited_llr(
            others.scores, others.first_conditions, others.second_conditions
        )
        kept += (llrs[others.labels == 0] >= point.llr).mean() <= 0.05
    assert kept >= 17


def test_what_cannot_be_promised_is_refused(calibration: Calibration) -> None:
    with pytest.raises(ConfigError, match=r"1e-06 cannot be promised.*about [\d,]+ speakers would"):
        calibration.threshold(1e-6)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        calibration.threshold(0.0)


def test_bounds_without_any_error_are_those_of_three() -> None:
    """The rule of three: no error in n independent trials leaves 3 / n."""
    bound = upper_bounds(np.zeros(1), np.zeros((100, 1)), 1000, 1000.0)
    np.testing.assert_allclose(bound, 2.9957 / 1000, rtol=1e-3)


def test_bounds_count_trials_of_the_same_speakers_once() -> None:
    """A rate that varies between draws ten times as much as among independent trials."""
    generator = np.random.default_rng(0)
    drawn = generator.normal(0.1, np.sqrt(0.1 * 0.9 / 100), size=(4000, 1))
    bound = upper_bounds(np.array([0.1]), drawn, 1000, 1e9)
    np.testing.assert_allclose(bound, 16.96 / 100, rtol=0.05)  # Poisson: 10 of 100


def test_too_few_speakers_are_refused() -> None:
    few = simulate(19)
    with pytest.raises(DataError, match="at least 20 speakers; these trials have 19"):
        fit_trials(few, Ranges.of(few.first_conditions))


def test_scores_upside_down_are_refused() -> None:
    data = simulate(40)
    turned = replace(data, scores=-data.scores)
    with pytest.raises(DataError, match="a higher score does not mean the same speaker"):
        fit_trials(turned, Ranges.of(data.first_conditions), draws=100)


def test_scores_without_overlap_give_no_endless_ratios() -> None:
    data = simulate(40)
    perfect = replace(data, scores=data.scores + 3.0 * data.labels)
    fit = fit_trials(perfect, Ranges.of(data.first_conditions), draws=100)
    assert all(np.isfinite(fit.limits))
    assert fit.limits[1] < 12


def test_file_is_the_same_when_read(calibration: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    write_calibration(path, calibration)
    assert read_calibration(path) == calibration


POINT = [each.name for each in fields(OperatingPoint)]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("offset", [1.0, 2.0]),
        ("offset", "many"),
        ("scale", []),
        ("limits", [1.0]),
        ("limits", [2.0, 1.0]),
        ("scale", [0.0]),
        ("scale", [1.0, 0.0, 0.0, 0.0, 0.0, -1.0]),
        ("ranges", {"speech_seconds": [0, 9], "bandwidth_hz": [4e3, 8e3], "snr_db": [0, 60]}),
        ("ranges", {"speech_seconds": [], "bandwidth_hz": [], "snr_db": [0, 60]}),
        ("points", []),
        ("points", [dict.fromkeys(POINT, -1.0)]),
        ("points", [{"llr": 1.0}]),
        ("ranges", {"speech_seconds": [1, 2]}),
        ("fitted_on", None),
        ("fitted_on", {"num_speakers": float("nan")}),
        ("surprise", 1),
        ("calibration", 99),
    ],
)
def test_other_content_is_an_error(
    calibration: Calibration, tmp_path: Path, key: str, value: object
) -> None:
    path = tmp_path / "calibration.json"
    write_calibration(path, calibration)
    content = json.loads(path.read_text()) | {key: value}
    if key == "scale" and len(value) == 1:
        content["offset"] = [0.0]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=str(path)):
        read_calibration(path)


def test_calibration_is_of_one_encoder(calibration: Calibration) -> None:
    calibration.check_encoder("1" * 64, "2" * 64)
    with pytest.raises(DataError, match="cosines of different encoders cannot be compared"):
        calibration.check_encoder("3" * 64, "2" * 64)
    with pytest.raises(DataError, match="other preprocessing"):
        calibration.check_encoder("1" * 64, "3" * 64)


def side(seconds: float, bandwidth: float = 8e3, snr: float = 40.0) -> Conditions:
    return Conditions(np.array([seconds]), np.array([bandwidth]), np.array([snr]))


def test_a_recording_compared_with_itself_is_told(calibration: Calibration) -> None:
    for question in (Question(threshold=0.5), Question(calibration=calibration)):
        same, other = (
            decide(PairScore(score, score), question, side(10), side(10)) for score in (1.0, 0.999)
        )
        assert same.same
        assert "both sides are the same recording" in same.warnings[-1]
        assert not any("same recording" in each for each in other.warnings)


def test_decision_says_a_probability_and_what_it_rests_on(calibration: Calibration) -> None:
    decision = decide(PairScore(0.9, 0.9), Question(calibration=calibration), side(10), side(10))
    assert decision.same
    assert decision.llr is not None
    assert decision.llr > 0
    assert decision.probability == pytest.approx(1 / (1 + np.exp(-decision.llr)))
    assert "on 60 speakers (simulated voices)" in decision.why
    assert decision.warnings == ()
    rare = decide(
        PairScore(0.9, 0.9), Question(calibration=calibration, prior=0.01), side(10), side(10)
    )
    assert rare.llr == decision.llr
    assert rare.probability is not None
    assert rare.probability < decision.probability
    assert rare.threshold is not None
    assert decision.threshold is not None
    assert rare.threshold > decision.threshold


def test_decision_at_a_promised_rate(calibration: Calibration) -> None:
    question = Question(calibration=calibration, false_accept=0.05)
    decision = decide(PairScore(0.9, 0.9), question, side(10), side(10))
    assert decision.false_accept_bound is not None
    assert decision.false_accept_bound <= 0.05
    point = calibration.threshold(0.05)
    assert decision.threshold == pytest.approx(calibration.cosine(point.llr, side(10), side(10))[0])


def test_conditions_outside_the_data_are_told(calibration: Calibration) -> None:
    decision = decide(PairScore(0.9, 0.9), Question(calibration=calibration), side(0.3), side(10))
    said, no_promise = decision.warnings
    assert "net speech of 0.3 s is below what the calibration was fitted on" in said
    assert "no false accept rate can be promised" in no_promise
    assert decision.false_accept_bound is None
    promised = Question(calibration=calibration, false_accept=0.05)
    assert (
        "like those of the calibration"
        in decide(PairScore(0.9, 0.9), promised, side(0.3), side(10)).why
    )


def test_questions_that_contradict_themselves_are_errors(calibration: Calibration) -> None:
    with pytest.raises(ConfigError, match="give one"):
        Question(threshold=0.5, calibration=calibration, false_accept=0.05)
    with pytest.raises(ConfigError, match="needs a calibration, which this encoder does not have"):
        Question(false_accept=0.05)
    with pytest.raises(ConfigError, match="`prior` is the probability"):
        Question(prior=1.0)


def halved(data: TrialData) -> TrialData:
    """As of recordings with half the net speech: from 0.5 s on."""
    first, second = data.first_conditions, data.second_conditions
    return replace(
        data,
        first_conditions=replace(first, speech_seconds=first.speech_seconds / 2),
        second_conditions=replace(second, speech_seconds=second.speech_seconds / 2),
    )


def test_short_recordings_keep_promises_of_their_own() -> None:
    """At one llr they accept more strangers: the mixture's threshold would break the promise."""
    calibration = calibrate(halved(simulate(60)))
    assert calibration.short_seconds == 1.0
    data = halved(simulate(200, seed=5, per_speaker=4))
    sides = data.first_conditions, data.second_conditions
    shorter = np.minimum(*(each.speech_seconds for each in sides))
    llrs = calibration.unlimited_llr(data.scores, *sides)
    strangers = llrs[(shorter < 1) & (data.labels == 0)]
    mixture, own = calibration.threshold(0.1).llr, promised(0.1, calibration.short_points)
    assert own is not None
    assert mixture < own.llr
    assert (strangers >= own.llr).mean() <= 0.1 < (strangers >= mixture).mean()
    assert calibration.points_of(side(4.0), side(0.9)) == calibration.short_points
    assert calibration.points_of(side(4.0), side(1.0)) == calibration.points
    calibration = replace(calibration, ranges=replace(calibration.ranges, snr_db=(0.0, 60.0)))
    score = PairScore(0.5, 0.5)
    short, long = (
        decide(score, Question(calibration=calibration, false_accept=0.1), side(4.0), side(seconds))
        for seconds in (0.9, 1.1)
    )
    assert short.threshold is not None
    assert long.threshold is not None
    assert short.threshold > long.threshold
    assert short.false_accept_bound is not None
    assert short.false_accept_bound <= 0.1
    least = min(point.false_accept_bound for point in calibration.points)
    question = Question(calibration=calibration, false_accept=least)
    refused = decide(score, question, side(4.0), side(0.9))
    assert refused.false_accept_bound is None
    assert "cannot be promised for recordings with less than 1 s" in refused.warnings[0]


def test_data_of_few_short_recordings_have_one_promise() -> None:
    data = simulate(40)
    long = replace(data, first_conditions=side_of(data, 3.0), second_conditions=side_of(data, 4.0))
    fit = fit_trials(long, Ranges.of(long.first_conditions), draws=100)
    assert (fit.short_points, fit.short_seconds) == ((), 0.0)


def side_of(data: TrialData, seconds: float) -> Conditions:
    return Conditions(*(np.full(len(data.labels), value) for value in (seconds, 8e3, 40.0)))
