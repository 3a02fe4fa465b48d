"""Recordings of every kind: right, or an error that says what is wrong."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from timbral.audio.decode import (
    Wave,
    check_wave,
    decode,
    decode_bytes,
    resample,
    to_int16,
)
from timbral.audio.preprocessing import Preprocessing, load
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.errors import AudioError, ConfigError, MissingExtraError

Tone = Callable[..., Wave]


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        ("wav", "PCM_U8", 1e-2),
        ("wav", "PCM_16", 1e-4),
        ("wav", "PCM_24", 1e-6),
        ("wav", "FLOAT", 1e-7),
        ("wav", "DOUBLE", 1e-7),
        ("flac", "PCM_16", 1e-4),
        ("ogg", "VORBIS", 0.1),
        ("ogg", "OPUS", 0.1),
        ("mp3", "MPEG_LAYER_III", 0.1),
    ],
)
def test_every_format_is_decoded(
    tmp_path: Path, tone: Tone, suffix: str, subtype: str, tolerance: float
) -> None:
    wave = tone(1.0)
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, wave, 16_000, subtype=subtype)
    loaded, sample_rate = decode(path)
    assert sample_rate == 16_000
    assert loaded.dtype == np.float32
    assert abs(len(loaded) - 16_000) <= 2_500  # mp3 adds its own padding
    if suffix != "mp3":
        middle = slice(4_000, 12_000)
        assert np.abs(loaded[middle] - wave[middle]).mean() < tolerance


def test_channels_are_averaged(tmp_path: Path, tone: Tone) -> None:
    wave = tone(0.5)
    soundfile.write(tmp_path / "a.wav", np.stack([wave, 0.5 * wave], 1), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(decode(tmp_path / "a.wav")[0], 0.75 * wave, atol=1e-6)


@pytest.mark.parametrize("sample_rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_any_sample_rate_becomes_16_khz(tmp_path: Path, tone: Tone, sample_rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1.0, sample_rate), sample_rate, subtype="FLOAT")
    wave = load(tmp_path / "a.wav")
    assert abs(len(wave) - 16_000) <= 1
    assert np.abs(wave[2000:14_000] - tone(1.0)[2000:14_000]).max() < 0.01


def test_format_is_told_by_content(tmp_path: Path, tone: Tone) -> None:
    soundfile.write(tmp_path / "a.flac", tone(0.5), 16_000, format="WAV")
    assert decode(tmp_path / "a.flac")[0].size == 8_000


def broken_files(folder: Path, tone: Wave) -> dict[str, Path]:
    """One unusable file of each kind, under the words that its error must have."""
    paths = {
        "no such file": folder / "missing.wav",
        "is a folder": folder / "folder.wav",
        "0 bytes": folder / "zero.wav",
        "cannot be read as audio": folder / "text.wav",
        "no samples": folder / "header.wav",
        "is silent": folder / "silent.wav",
        "NaN": folder / "nan.wav",
    }
    paths["is a folder"].mkdir()
    paths["0 bytes"].touch()
    paths["cannot be read as audio"].write_text("this is not audio " * 100)
    soundfile.write(paths["no samples"], np.zeros(0), 16_000)
    soundfile.write(paths["is silent"], np.zeros(16_000), 16_000)
    bad = tone.copy()
    bad[100] = np.nan
    soundfile.write(paths["NaN"], bad, 16_000, subtype="FLOAT")
    return paths


def test_unusable_files(tmp_path: Path, tone: Tone) -> None:
    for words, path in broken_files(tmp_path, tone(1.0)).items():
        with pytest.raises(AudioError, match=words) as error:
            decode(path)
        assert str(path) in str(error.value)


def test_truncated_flac_is_an_error(tmp_path: Path, tone: Tone) -> None:
    soundfile.write(tmp_path / "a.flac", tone(3.0), 16_000)
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[:40])
    with pytest.raises(AudioError, match="cannot be read as audio"):
        decode(tmp_path / "a.flac")


def test_wrong_headers_are_errors(tmp_path: Path, tone: Tone) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1.0), 16_000)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[24:28] = (1).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioError, match="impossible sample rate of 1 Hz"):
        decode(tmp_path / "a.wav")
    soundfile.write(tmp_path / "b.flac", tone(1.0), 16_000)
    content = bytearray((tmp_path / "b.flac").read_bytes())
    content[21:26] = bytes([content[21] | 0x0F, 0xFF, 0xFF, 0xFF, 0xFF])  # 36 bits of length
    (tmp_path / "b.flac").write_bytes(content)
    with pytest.raises(AudioError, match=r"truncated: 1.00 of 4294967.30 s are there"):
        decode(tmp_path / "b.flac")


def test_arrays_are_scaled_by_their_type_or_refused(tone: Tone) -> None:
    wave = tone(0.5)
    as_integers = to_int16(wave)
    np.testing.assert_allclose(check_wave(as_integers, "x"), wave, atol=2e-5)
    assert check_wave(wave.astype(np.float64), "x").dtype == np.float32
    with pytest.raises(AudioError, match="one channel"):
        check_wave(np.zeros((2, 100)), "x")
    with pytest.raises(AudioError, match="uint8"):
        check_wave(np.zeros(100, np.uint8), "x")
    with pytest.raises(AudioError, match=r"int64.*samples.astype\(np.int16\)"):
        check_wave(as_integers.astype(np.int64), "x")
    with pytest.raises(
        AudioError, match=r"is silent: its int32 samples reach .*astype\(np.int16\)"
    ):
        check_wave(as_integers.astype(np.int32), "x")
    as_int32 = (wave.astype(np.float64) * 2**31).astype(np.int32)
    np.testing.assert_allclose(check_wave(as_int32, "x"), wave, atol=1e-6)
    with pytest.raises(AudioError, match=r"is silent$"):
        check_wave(np.zeros(100, np.int32), "x")
    in_32_bits = (wave / 65_536).astype(np.float32)  # as a file of 32 bits is read
    with pytest.raises(
        AudioError, match=r"is silent: its samples reach .* multiply them by 65,536"
    ):
        check_wave(in_32_bits, "x")
    with pytest.raises(AudioError, match=r"is silent$"):
        check_wave(in_32_bits / 1000, "x")


def test_int16_is_clipped_not_wrapped() -> None:
    wave = np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0], np.float32)
    assert to_int16(wave).tolist() == [-32_768, -32_768, 0, 16_384, 32_767, 32_767]


def level(wave: Wave) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(wave)))))


def test_rms_level_is_only_raised(tone: Tone) -> None:
    quiet, loud = 0.01 * tone(1.0), tone(1.0)
    rule = Preprocessing(min_rms_dbfs=-30.0)
    assert level(rule(quiet, 16_000, 16_000)) == pytest.approx(-30.0, abs=1e-3)
    np.testing.assert_array_equal(rule(loud, 16_000, 16_000), loud)
    np.testing.assert_array_equal(Preprocessing(min_rms_dbfs=None)(quiet, 16_000, 16_000), quiet)


def with_pauses(tone: Tone) -> Wave:
    noise = 1e-4 * np.random.default_rng(0).standard_normal(48_000).astype(np.float32)
    speech = tone(1.0)
    return np.concatenate([noise, speech, noise, speech, noise])


def test_trim_energy(tone: Tone) -> None:
    kept = Preprocessing(trim="energy")(with_pauses(tone), 16_000, 16_000)
    assert 2.0 <= kept.size / 16_000 <= 3.0


def test_trim_edges(tone: Tone) -> None:
    kept = Preprocessing(trim="edges", min_rms_dbfs=None)(with_pauses(tone), 16_000, 16_000)
    assert kept.size / 16_000 == pytest.approx(5.0, abs=0.01), "only the edges go"
    assert kept[0] ** 2 > 0.001
    assert kept[-1] ** 2 > 0.001


def test_trim_webrtc_equals_paddlespeechs(voices: Path) -> None:
    """PaddleSpeech's rule, written again with scipy as its sources have it."""
    import webrtcvad
    from scipy.ndimage import binary_dilation

    wave = load(sorted(voices.glob("*/*.ogg"))[0])
    wave = np.concatenate([np.zeros(24_000, np.float32), wave, np.zeros(24_000, np.float32)])
    cut = wave[: len(wave) // 480 * 480]
    vad = webrtcvad.Vad(3)
    pcm = np.round(cut * 32_767).astype(np.int16)
    flags = [
        vad.is_speech(pcm[start : start + 480].tobytes(), 16_000)
        for start in range(0, len(pcm), 480)
    ]
    padded = np.concatenate([np.zeros(3), flags, np.zeros(4)])
    average = np.array([padded[i : i + 8].mean() for i in range(len(flags))])
    mask = binary_dilation(np.round(average).astype(bool), np.ones(7))
    expected = cut[np.repeat(mask, 480)]
    kept = Preprocessing(trim="webrtc", min_rms_dbfs=None)(wave, 16_000, 16_000)
    assert kept.size < wave.size
    np.testing.assert_array_equal(kept, expected)


def test_nothing_left_is_an_error() -> None:
    quiet = np.full(16_000, 1e-3, np.float32)
    with pytest.raises(AudioError, match=r"x\.wav: nothing is left"):
        Preprocessing(trim="edges", min_rms_dbfs=None)(quiet, 16_000, 16_000, "x.wav")
    with pytest.raises(AudioError, match="nothing is left"):
        Preprocessing(trim="energy", min_rms_dbfs=None)(quiet[:100], 16_000, 16_000)


def test_missing_detector_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_webrtcvad", None)
    with pytest.raises(MissingExtraError, match=r"\[vad\].*pip install"):
        Preprocessing(trim="webrtc").check_installed()


@pytest.mark.parametrize(
    ("values", "words"),
    [({"trim": "webrct"}, "did you mean 'webrtc'"), ({"min_rms_dbfs": 3.0}, "min_rms_dbfs")],
)
def test_unknown_settings_are_errors(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Preprocessing(**values)  # type: ignore[arg-type]


def test_equal_rates_need_no_resampling(tone: Tone) -> None:
    wave = tone(0.1)
    assert resample(wave, 16_000, 16_000) is wave


def test_overshoot_is_scaled_and_integers_in_floats_are_recognized(
    tmp_path: Path, tone: Tone
) -> None:
    """Overshoot is scaled, not clipped; 16-bit numbers stored as floats are told by their size."""
    wave = tone(1.0)
    wave /= np.abs(wave).max()
    for gain, expected in ((0.5, 0.5), (1.78, 1.0), (16.0, 1.0), (12_000.0, 12_000 / 32_768)):
        soundfile.write(tmp_path / "a.wav", gain * wave, 16_000, subtype="FLOAT")
        scaled, _ = decode(tmp_path / "a.wav")
        np.testing.assert_allclose(scaled, expected * wave, atol=1e-6)
        np.testing.assert_array_equal(check_wave(np.float32(gain) * wave, "an array"), scaled)
        assert np.abs(scaled).max() <= 1.0


@pytest.mark.parametrize(
    ("spike", "words"),
    [(1e30, r"single samples reach 1e\+30"), (300.0, "single samples reach 300")],
)
def test_one_absurd_sample_is_an_error(tone: Tone, spike: float, words: str) -> None:
    wave = tone(1.0)
    wave[1_000] = spike
    with pytest.raises(AudioError, match=words) as error:
        check_wave(wave, "x")
    assert error.value.kind == "out-of-range"


def test_scale_of_other_integers_is_an_error(tone: Tone) -> None:
    with pytest.raises(AudioError, match=r"its samples reach 2.53e\+06, but floats must be in"):
        check_wave(8e6 * tone(1.0), "x")


def test_store_holds_what_the_file_holds(tmp_path: Path, tone: Tone) -> None:
    """A float WAV beyond full scale was clipped in the store, and not elsewhere."""
    (tmp_path / "corpus" / "s").mkdir(parents=True)
    path = tmp_path / "corpus" / "s" / "a.wav"
    soundfile.write(path, 3.56 * tone(1.0), 16_000, subtype="FLOAT")
    prepare(tmp_path / "corpus", tmp_path / "store", Preprocessing(min_rms_dbfs=None))
    stored = Store.open(tmp_path / "store").pcm(0)
    np.testing.assert_array_equal(stored, to_int16(decode(path)[0]))
    wave = tone(1.0)
    np.testing.assert_allclose(stored / 32_768, wave / np.abs(wave).max(), atol=4e-5)


def test_a_name_that_is_no_utf8_is_told(tmp_path: Path, tone: Tone) -> None:
    path = tmp_path / "M\udcfcller.wav"
    soundfile.write(tmp_path / "a.wav", tone(0.2), 16_000)
    (tmp_path / "a.wav").rename(path)
    with pytest.raises(AudioError, match=r"M\\xfcller.wav: the name is not UTF-8; rename"):
        decode(path)


def test_channels_that_cancel_out(tmp_path: Path, tone: Tone) -> None:
    wave = tone(0.5)
    channels = np.stack([0.3 * wave[::-1], wave, 0.1 * wave, -1.4 * wave - 0.3 * wave[::-1]], 1)
    channels[:, 3] += 0.3 * wave
    soundfile.write(tmp_path / "a.wav", channels, 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match="2 and 4 are of opposite phase") as error:
        decode(tmp_path / "a.wav")
    assert error.value.kind == "silent"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        soundfile.write(tmp_path / "a.wav", np.full((9, 2), 3e38, np.float32), 16_000, "FLOAT")
        with pytest.raises(AudioError, match="NaN or infinite"):
            decode(tmp_path / "a.wav")
    one_of_six = np.stack([wave, *5 * [0 * wave]], 1)
    soundfile.write(tmp_path / "b.wav", one_of_six, 16_000)
    np.testing.assert_allclose(decode(tmp_path / "b.wav")[0], wave / 6, atol=1e-4)


def test_whatever_a_recording_throws_is_its_failure(
    tmp_path: Path, tone: Tone, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.flac", tone(0.5), 16_000)

    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("a surprise inside a codec")

    monkeypatch.setattr(soundfile.SoundFile, "read", fail)
    for path in (tmp_path / "a.flac", f"{tmp_path}/a.flac#t=0.1,0.2"):
        with pytest.raises(AudioError, match="RuntimeError: a surprise") as error:
            decode(path)
        assert error.value.kind == "unreadable"
    with pytest.raises(AudioError, match="RuntimeError: a surprise"):
        decode_bytes((tmp_path / "a.flac").read_bytes(), "bytes")
