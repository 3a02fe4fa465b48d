"""The sequential test: it stops early, stays with its verdict, and errs as seldom as promised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from timbral.calibration.calibration import Calibration, FittedOn, OperatingPoint
from timbral.calibration.conditions import Conditions, Ranges
from timbral.errors import AudioError, ConfigError, InputError
from timbral.inference.streaming import Enrolled, StoppingBounds, StreamingVerifier
from timbral.io.types import Vectors

RATE = 100
DIFFERENCE = 1.2
"""between the two speakers' means, in standard deviations of a second of speech"""
LARGEST_LLR = 1000.0
"""of 60 seconds, and more"""
ANY = Conditions(*np.ones((3, 1)))
FITTED_ON = FittedOn("simulated", "0" * 64, 100, 1000, 1000, 0.2, 0.1, 0.3, 0.2)
POINTS = (
    OperatingPoint(-2.9, 0.9, 0.95, 0.0, 0.001),
    OperatingPoint(2.9, 0.0, 0.001, 0.9, 0.95),
)
CALIBRATION = Calibration(
    "simulated",
    "1" * 64,
    "2" * 64,
    (0.0,),
    (LARGEST_LLR,),
    Ranges((0.1, 100.0), (1.0, 8000.0), (0.0, 60.0)),
    (-8.0, 8.0),
    POINTS,
    FITTED_ON,
)
"""whose llr is the cosine times a number, so that a test decides what it is"""


def mean_of_seconds(samples: Vectors, name: str, rate: float) -> tuple[Vectors, Conditions]:
    """A true log-likelihood ratio of Gaussian seconds as the cosine with (1, 0)."""
    seconds = len(samples) / rate
    if seconds < 0.5:
        raise AudioError(name, "too short", "too-short")
    per_second = samples.reshape(-1, RATE)[:, 0]
    llr = float((DIFFERENCE * per_second - DIFFERENCE**2 / 2).sum())
    cosine = llr / LARGEST_LLR
    vector = np.array([cosine, np.sqrt(1 - cosine**2)])
    return vector, Conditions(np.array([seconds]), np.ones(1), np.ones(1))


def verifier(false_accept: float = 0.05, false_reject: float = 0.05) -> StreamingVerifier:
    bounds = StoppingBounds.of(CALIBRATION, false_accept, false_reject)
    return StreamingVerifier(mean_of_seconds, Enrolled(np.eye(2)[0], ANY, bounds), RATE)


def speech(mean: float, seconds: int, generator: np.random.Generator) -> NDArray[np.float64]:
    return np.repeat(generator.normal(mean, 1.0, size=seconds), RATE)


@pytest.mark.parametrize(("mean", "right"), [(DIFFERENCE, "same"), (0.0, "different")])
def test_errors_stay_below_what_was_promised(mean: float, right: str) -> None:
    """And on average it needs less speech than a test of fixed length with the same errors."""
    generator = np.random.default_rng(0)
    wrong, needed = 0, []
    for _ in range(400):
        stream = verifier()
        for second in speech(mean, 60, generator).reshape(60, RATE):
            state = stream.add(second)
            if state.verdict != "undecided":
                break
        wrong += state.verdict != right
        needed.append(state.seconds)
    assert wrong / 400 < 0.05
    fixed = (2 * 1.645 / DIFFERENCE) ** 2  # seconds at which both errors are 5 %
    assert np.mean(needed) < 0.95 * fixed


def test_verdict_stays_and_speech_is_kept_no_longer() -> None:
    stream = verifier()
    states = [stream.add(np.full(RATE, 5.0)) for _ in range(4)]
    assert states[-1].verdict == "same"
    assert stream.add(np.full(20 * RATE, -5.0)).verdict == "same"
    assert stream.state.seconds == 24.0
    assert stream._chunks == []


def test_chunks_may_be_cut_anywhere() -> None:
    samples = speech(DIFFERENCE, 3, np.random.default_rng(1))
    whole = verifier()
    whole.add(samples)
    parts = verifier()
    for piece in np.array_split(samples, 3):
        parts.add(piece)
    assert (parts.state.llr, parts.state.verdict) == (whole.state.llr, whole.state.verdict)


def test_nothing_is_decided_below_the_speech_that_is_promised_something_of() -> None:
    ranges = replace(CALIBRATION.ranges, speech_seconds=(3.0, 100.0), snr_db=(5.0, 60.0))
    bounds = StoppingBounds.of(replace(CALIBRATION, ranges=ranges), 0.05, 0.05)
    stream = StreamingVerifier(mean_of_seconds, Enrolled(np.eye(2)[0], ANY, bounds), RATE)
    states = [stream.add(np.full(RATE, 5.0)) for _ in range(3)]
    assert [state.verdict for state in states] == ["undecided", "undecided", "same"]
    assert states[1].llr is None
    assert [each.split(" of ")[0] for each in states[2].warnings] == [
        "net speech",
        "speech over noise",
    ]
    assert verifier().add(np.full(RATE, 5.0)).warnings == ()


def test_enrolled_side_with_little_speech_keeps_the_promises_of_such_pairs() -> None:
    short = (
        OperatingPoint(-4.1, 0.9, 0.95, 0.0, 0.001),
        OperatingPoint(4.1, 0.0, 0.03, 0.9, 0.95),
    )
    calibration = replace(CALIBRATION, short_seconds=1.0, short_points=short)
    long, little = (StoppingBounds.of(calibration, 0.05, 0.05, each) for each in (1.0, 0.9))
    assert (long.reject_llr, long.accept_llr) == pytest.approx((np.log(0.05), -np.log(0.05)))
    assert (little.reject_llr, little.accept_llr) == (-4.1, 4.1)
    said = r"0\.02 cannot be promised for recordings with less than 1 s of net speech.* below 0\.03"
    with pytest.raises(ConfigError, match=said):
        StoppingBounds.of(calibration, 0.02, 0.05, 0.9)
    later = replace(calibration, short_seconds=2.5)
    enrolled = Enrolled(np.eye(2)[0], ANY, StoppingBounds.of(later, 0.05, 0.05))
    stream = StreamingVerifier(mean_of_seconds, enrolled, RATE)
    states = [stream.add(np.full(RATE, 5.0)) for _ in range(3)]
    assert [state.llr is None for state in states] == [True, True, False]


def test_nothing_is_said_before_there_is_speech() -> None:
    stream = verifier()
    state = stream.add(np.zeros(20))
    assert (state.verdict, state.llr, state.speech_seconds) == ("undecided", None, 0.0)


def test_samples_that_are_no_recording_are_refused() -> None:
    stream = verifier()
    with pytest.raises(AudioError, match="NaN or infinite"):
        stream.add(np.array([0.0, np.nan]))
    with pytest.raises(InputError, match="1 of 2 values are masked"):
        stream.add(np.ma.array([0.0, 0.5], mask=[False, True]))

    def of_another_scale(samples: Vectors, name: str, rate: float) -> tuple[Vectors, Conditions]:
        raise AudioError(name, "samples lie outside [-1, 1]", "out-of-range")

    enrolled = Enrolled(np.eye(2)[0], ANY, StoppingBounds.of(CALIBRATION, 0.05, 0.05))
    with pytest.raises(AudioError, match="outside"):
        StreamingVerifier(of_another_scale, enrolled, RATE).add(np.ones(2 * RATE))


def test_what_holds_no_speech_is_nobody() -> None:
    """It is looked at again when there is a quarter more of it, not with each chunk."""
    looks = []

    def measure(samples: Vectors, name: str, rate: float) -> tuple[Vectors, Conditions] | None:
        looks.append(len(samples) / rate)
        return None if len(samples) < 3 * rate else mean_of_seconds(samples[: 3 * RATE], name, rate)

    bounds = StoppingBounds.of(CALIBRATION, 0.05, 0.05)
    stream = StreamingVerifier(measure, Enrolled(np.eye(2)[0], ANY, bounds), RATE)
    states = [stream.add(np.full(RATE // 10, 5.0)) for _ in range(40)]
    assert states[19].verdict == "undecided"
    assert "no speech was found so far" in states[19].warnings[0]
    assert (states[-1].verdict, states[-1].warnings) == ("same", ())
    assert looks == pytest.approx([1.0, 2.0, 3.0], abs=0.25)


def test_what_cannot_be_promised_is_refused() -> None:
    with pytest.raises(ConfigError, match="`false_accept`: 1e-05 cannot be promised"):
        StoppingBounds.of(CALIBRATION, 1e-5, 0.05)
    with pytest.raises(ConfigError, match="`false_reject`: 1e-05 cannot be promised"):
        StoppingBounds.of(CALIBRATION, 0.05, 1e-5)
    with pytest.raises(ConfigError, match="with a calibration"):
        StoppingBounds.of(None, 0.05, 0.05)
    weak = replace(CALIBRATION, limits=(-2.0, 2.0))
    with pytest.raises(ConfigError, match=r"need an llr of 3\.0 and -3\.0.*allow more errors"):
        StoppingBounds.of(weak, 0.05, 0.05)


def test_samples_of_another_form_are_an_error() -> None:
    stream = verifier()
    with pytest.raises(InputError, match=r"one channel of shape \(T,\)"):
        stream.add(np.zeros((2, 10)))
    stream.add(np.zeros(10))
    with pytest.raises(InputError, match="of the same type in all chunks"):
        stream.add(np.zeros(10, dtype=np.int16))
