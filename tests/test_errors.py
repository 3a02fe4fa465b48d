"""Errors: what they carry, and that they survive the way from a worker process."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from timbral.audio.decode import check_wave, decode
from timbral.errors import (
    AudioError,
    EnrollmentError,
    MergeError,
    MissingExtraError,
    Refusal,
    TimbralError,
)
from timbral.installation import install_command
from timbral.scoring.calibration_fit import ScoresFallError
from timbral.serving.refusals import ServiceError

ELSEWHERE = (ScoresFallError, ServiceError)
"""defined beside what raises them, and known to `tree` once they are imported"""

ARGUMENTS: dict[type[TimbralError], tuple[object, ...]] = {
    AudioError: ("a.wav", "no such file", "missing"),
    EnrollmentError: ("adam", (Refusal("a.wav", "short", "too little speech"),)),
    MergeError: ("adam", (Refusal("eve", "disagrees", "another speaker"),)),
    MissingExtraError: ("trim silero", "vad"),
    ServiceError: (422, "fields", "a message"),
}
"""of the classes that take more than a message"""


def tree(cls: type[TimbralError]) -> list[type[TimbralError]]:
    return [cls, *(below for child in cls.__subclasses__() for below in tree(child))]


@pytest.mark.parametrize("cls", tree(TimbralError))
def test_every_error_survives_pickling(cls: type[TimbralError]) -> None:
    error = cls(*ARGUMENTS.get(cls, ("a message",)))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_audio_error_carries_path_reason_and_kind(tmp_path: Path) -> None:
    path = str(tmp_path / "a: b.wav")
    with pytest.raises(AudioError) as raised:
        decode(path)
    error = raised.value
    assert error.as_dict() == {"path": path, "reason": "no such file", "kind": "missing"}
    assert str(error) == f"{path}: no such file"
    with pytest.raises(AudioError) as raised:
        check_wave(np.zeros(100, np.float32), "x")
    assert raised.value.kind == "silent"


def test_missing_extra_names_the_command() -> None:
    error = MissingExtraError("trim silero", "vad")
    assert str(error).endswith(install_command("vad"))
