"""What speaks against recordings stands beside every verdict: verify, identify, enroll."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import timbral
from conftest import Ask
from timbral.audio.decode import decode
from timbral.audio.quality.measures import Quality
from timbral.calibration.calibration import Calibration, FittedOn, OperatingPoint
from timbral.calibration.conditions import Conditions, Ranges
from timbral.calibration.risk_warnings import risk_warnings
from timbral.demo.shipped import VOICES
from timbral.inference.decision import Question
from timbral.inference.sides import Side, compare_sides
from timbral.io.types import Vectors

GOOD = Quality(4.0, 3.0, -25.0, 30.0, 8000.0, 0.0, 1, None, 1.0, 0.0)
SHORT = replace(GOOD, speech_seconds=1.5)
NARROW = replace(GOOD, bandwidth_hz=3500.0)


def kinds(*measured: Quality, narrow_allowed: bool = False) -> list[str]:
    named = [(f"{row}.wav", quality) for row, quality in enumerate(measured)]
    told = risk_warnings(named, narrow_allowed=narrow_allowed)
    return [" ".join(message.split(": ")[:2]) for message in told]


def test_nothing_is_told_of_good_recordings() -> None:
    assert kinds(GOOD) == []


def test_a_short_recording_is_told_unless_others_join_it() -> None:
    assert kinds(SHORT) == ["0.wav short"]
    assert kinds(SHORT, SHORT) == []
    tiny = replace(GOOD, speech_seconds=0.6)
    assert kinds(tiny, tiny) == ["0.wav short", "1.wav short"]


def test_a_telephone_is_told_unless_it_is_allowed() -> None:
    assert kinds(NARROW, GOOD) == ["0.wav narrow-band"]
    assert kinds(NARROW, GOOD, narrow_allowed=True) == []


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (GOOD, GOOD, []),
        (SHORT, GOOD, ["first: short"]),
        (NARROW, GOOD, ["first: narrow-band"]),
        (NARROW, NARROW, []),
        (GOOD, replace(GOOD, snr_db=5.0), ["second: noisy"]),
    ],
)
def test_a_calibrated_decision_tells_them(first: Quality, second: Quality, told: list[str]) -> None:
    ranges = Ranges((0.5, 12.0), (3000.0, 8000.0), (0.0, 60.0))
    data = FittedOn("simulated", "0" * 64, 50, 100, 100, 0.1, 0.1, 0.2, 0.1)
    points = (OperatingPoint(0.0, 0.1, 0.2, 0.1, 0.2),)
    calibration = Calibration(
        "none", "1" * 64, "2" * 64, (-5.0,), (20.0,), ranges, (-5.0, 5.0), points, data
    )

    def side(name: str, quality: Quality) -> Side:
        voice: Vectors = np.eye(16, dtype=np.float32)[len(name) % 2]
        return Side(voice, Conditions.of([quality]), ((name, quality),))

    question = Question(calibration=calibration)
    decision = compare_sides(side("first", first), side("second", second), question)
    assert [": ".join(each.split(": ")[:2]) for each in decision.warnings] == told


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Good, 1.5 s of it, and good."""
    folder = tmp_path_factory.mktemp("recordings")
    one, other = sorted((VOICES / "am_adam").glob("*.ogg"))[:2]
    wave, rate = decode(one)
    soundfile.write(folder / "short.wav", wave[: 3 * rate // 2], rate)
    return one, folder / "short.wav", other


def test_verify_tells_it_beside_a_probability(
    ask: Ask, recordings: tuple[Path, Path, Path]
) -> None:
    """By the encoder that comes with timbral, and its calibration."""
    _, short, other = recordings
    answer = ask("verify", short, other, "--json")
    found = json.loads(answer.out)
    assert found["probability"] is not None
    assert found["warnings"][0].startswith(f"{short}: short: ")
    assert f"note: {short}: short: " in answer.err


def test_a_gallery_tells_it(
    ask: Ask, run: Path, recordings: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    _, short, other = recordings
    gallery = tmp_path / "gallery.db"
    enrolled = ask("enroll", gallery, "adam", short, "--encoder", run, "--force", "--json")
    assert f"note: {short}: short: " in enrolled.err
    assert len(json.loads(enrolled.out)["warnings"]) == 1
    encoder, opened = timbral.load_encoder(run), timbral.Gallery(str(gallery))
    [warning] = opened.identify(short, encoder).warnings
    assert warning.startswith(f"{short}: short: ")
    assert opened.identify(other, encoder).warnings == ()
    assert opened.enroll("adam", other, encoder, force=True).warnings == ()
    assert [each.risks for each in opened.voice("adam").recordings] == [("short",), ()]
