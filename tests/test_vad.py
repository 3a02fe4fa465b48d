"""The detectors: what they keep, and that Silero's network is used as its package uses it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from timbral.audio import vad
from timbral.audio.decode import Wave
from timbral.audio.preprocessing import Preprocessing, load, seconds_in_recording
from timbral.demo.shipped import VOICES
from timbral.errors import ConfigError, MissingExtraError


@pytest.fixture(scope="module")
def speech() -> Wave:
    """Two sentences with a second of faint noise before, between and after them."""
    noise = 1e-3 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    first, second = (load(path) for path in sorted(VOICES.glob("am_adam/*.ogg"))[:2])
    return np.concatenate([noise, first, noise, second, noise])


def test_silero_in_blocks_equals_silero_in_one_call(
    speech: Wave, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state goes over from block to block, and frames see the end of those before."""
    whole = vad.speech_probabilities(speech)
    assert whole.shape == (-(-speech.size // 512),)
    monkeypatch.setattr(vad, "SILERO_BLOCK", 7)
    np.testing.assert_allclose(vad.speech_probabilities(speech), whole, atol=1e-5)


def test_silero_equals_its_streaming_network(speech: Wave) -> None:
    """Against the network that takes one window a call, fed as its authors' wrapper feeds it."""
    import importlib.util

    import onnxruntime

    package = importlib.util.find_spec("silero_vad")
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "data" / "silero_vad.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros((1, 64), np.float32)
    expected = []
    for start in range(0, 60 * 512, 512):
        window = speech[None, start : start + 512]
        frame = np.concatenate([context, window], axis=1)
        rate = np.array(16_000, np.int64)
        out, state = session.run(None, {"input": frame, "state": state, "sr": rate})
        context = window[:, -64:]
        expected.append(out[0, 0])
    np.testing.assert_allclose(vad.speech_probabilities(speech)[:60], expected, atol=1e-4)
    assert "silero_vad" not in sys.modules


@pytest.mark.parametrize("trim", ["none", "energy", "webrtc", "silero", "edges", "quiet-ends"])
def test_times_say_where_what_is_left_lay(speech: Wave, trim: str) -> None:
    padded = np.concatenate([np.zeros(8_000, np.float32), speech])
    prepared = Preprocessing(trim=trim, min_rms_dbfs=None)
    wave, kept = prepared.with_times(padded, 16_000, 16_000)
    np.testing.assert_array_equal(wave, prepared(padded, 16_000, 16_000))
    ranges = [padded[round(16_000 * a) : round(16_000 * b)] for a, b in kept]
    np.testing.assert_array_equal(wave, np.concatenate(ranges))
    assert (kept[0, 0] >= 0.3) == (trim != "none")
    for sample in (0, 20_000, 50_000, len(wave) - 1):
        when = seconds_in_recording(kept, sample / 16_000)
        assert padded[round(16_000 * when)] == wave[sample]
    assert seconds_in_recording(kept, len(wave) / 16_000) == pytest.approx(kept[-1, 1])


@pytest.mark.parametrize("trim", ["energy", "webrtc", "silero"])
def test_pauses_are_cut_and_speech_is_kept(speech: Wave, trim: str) -> None:
    kept = Preprocessing(trim=trim, min_rms_dbfs=None)(speech, 16_000, 16_000)
    sentences = (speech.size - 48_000) / 16_000
    assert 0.7 * sentences < kept.size / 16_000 < sentences + 1.5
    spoken = np.square(speech).sum()
    assert np.square(kept).sum() > 0.97 * spoken


def test_silero_finds_no_speech_in_noise() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    assert not vad.voiced_frames(noise, 16_000, "silero")[0].any()
    assert vad.voiced_frames(noise, 16_000, "energy")[0].all()


def test_silero_needs_16_khz_and_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="takes 16000 Hz, not 8000 Hz"):
        vad.voiced_frames(np.zeros(8_000, np.float32), 8_000, "silero")
    vad._silero.cache_clear()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"\[vad\].*pip install"):
        Preprocessing(trim="silero").check_installed()
