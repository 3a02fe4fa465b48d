"""`check`: what it says of each kind of recording, in lines, JSON and tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pyarrow.parquet
import pytest
import soundfile

import timbral
from conftest import Ask
from timbral.audio.decode import Wave, decode, resample
from timbral.audio.quality.measures import Quality
from timbral.audio.quality.risks import RISK_KINDS, risks_of
from timbral.demo.shipped import VOICES
from timbral.io.types import Vectors

RATE = 16_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One recording for each risk that a recording alone shows, named by it; and a good one."""
    folder = tmp_path_factory.mktemp("recordings")
    voices = [sorted((VOICES / name).glob("*.ogg"))[0] for name in ("am_adam", "bf_alice")]
    one, other = (decode(voice)[0] for voice in voices)
    noise = np.random.default_rng(1).standard_normal(one.size).astype(np.float32)
    loud = one / np.abs(one).max()
    turns = np.stack([np.r_[one, 0 * other], np.r_[0 * one, other]], axis=1)
    time = np.arange(3 * RATE) / RATE
    tones = np.concatenate([np.sin(2 * np.pi * hertz * time) for hertz in (440, 660, 880)])
    recordings: dict[str, tuple[Wave, int]] = {
        "good": (one, RATE),
        "no-speech": (0.1 * noise, RATE),
        "short": (one[: 3 * RATE // 2], RATE),
        "clipped": (np.clip(8 * loud, -1, 1), RATE),
        "narrow-band": (resample(one, RATE, 8_000), 8_000),
        "channels-differ": (turns, RATE),
        "quiet": (0.01 * one, RATE),
        "noisy": (one + 0.7 * np.sqrt(np.mean(one**2)) * noise, RATE),
        "music": (0.3 * tones, RATE),
    }
    for name, (wave, rate) in recordings.items():
        soundfile.write(folder / f"{name}.wav", wave, rate, subtype="PCM_16")
    return folder


def kinds(summary: timbral.CheckSummary) -> dict[str, list[str]]:
    return {Path(checked.path).stem: checked.kinds for checked in summary.recordings}


def test_each_risk_is_found_where_it_is(folder: Path) -> None:
    found = kinds(timbral.check(sorted(folder.glob("*.wav"))))
    assert found.pop("good") == []
    assert found.pop("music") == ["no-speech", "music"]
    assert found.keys() == set(RISK_KINDS) - {"music", "several-speakers"}
    assert {name: names for name, names in found.items() if names != [name]} == {}


def test_a_line_a_recording_and_a_line_a_risk(ask: Ask, folder: Path) -> None:
    answer = ask("check", folder / "good.wav", folder / "channels-differ.wav")
    assert answer.code == 0
    good, differing, risk = answer.out.splitlines()
    assert good.startswith(f"{folder}/good.wav: ")
    assert "s of speech in" in good
    assert good.endswith("8.0 kHz, mono")
    assert differing.endswith("8.0 kHz, stereo")
    assert risk.startswith("  channels-differ: ")
    assert "1 or 2" in risk


def test_exit_code_is_asked_for(ask: Ask, folder: Path) -> None:
    assert ask("check", folder / "good.wav", "--exit-code").code == 0
    assert ask("check", folder / "short.wav").code == 0
    assert ask("check", folder / "short.wav", "--exit-code").code == 1


def test_unreadable_recordings_are_named_and_the_rest_is_checked(
    ask: Ask, folder: Path, tmp_path: Path
) -> None:
    broken, empty = tmp_path / "broken.wav", tmp_path / "empty.wav"
    broken.write_bytes(b"no audio")
    soundfile.write(empty, np.zeros(0, np.float32), RATE)
    answer = ask("check", broken, folder / "good.wav", empty, "--json")
    assert answer.code == 1
    content = json.loads(answer.out)
    assert [row["path"] for row in content["recordings"]] == [f"{folder}/good.wav"]
    assert [row["path"] for row in content["failures"]] == [str(broken), str(empty)]
    assert content["failures"][1]["kind"] == "empty"
    assert f"{broken}: " in answer.err
    assert "2 recordings could not be read" in answer.err
    assert ask("check", tmp_path / "none.wav").code == 2


def test_json_holds_measures_and_risks(ask: Ask, folder: Path) -> None:
    [row] = json.loads(ask("check", folder / "narrow-band.wav", "--json").out)["recordings"]
    quality = Quality(**row["quality"])
    assert quality.bandwidth_hz <= 4_000
    assert row["risks"] == [
        {"kind": risk.kind, "message": risk.message} for risk in risks_of(quality)
    ]


def test_silence_is_no_speech(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(RATE), RATE)
    [checked] = timbral.check(path).recordings
    assert checked.kinds == ["no-speech"]
    assert checked.quality.speech_seconds == 0
    assert "it is silent (-1" in checked.risks[0].message


def test_16_bit_numbers_in_a_file_of_32_bits_are_told(folder: Path, tmp_path: Path) -> None:
    samples, _ = soundfile.read(folder / "good.wav", dtype="int16")
    path = tmp_path / "widened.wav"
    soundfile.write(path, samples.astype(np.int32), RATE, subtype="PCM_32")
    [checked] = timbral.check(path).recordings
    assert "multiply those by 65,536" in checked.risks[0].message


@pytest.mark.parametrize("name", ["table.parquet", "table.csv"])
def test_a_corpus_gives_a_table(ask: Ask, folder: Path, tmp_path: Path, name: str) -> None:
    speaker = tmp_path / "corpus" / "speaker"
    speaker.mkdir(parents=True)
    for recording in ("good", "short"):
        (speaker / f"{recording}.wav").symlink_to(folder / f"{recording}.wav")
    (speaker / "broken.wav").write_bytes(b"no audio")
    output = tmp_path / name
    answer = ask("check", tmp_path / "corpus", "--output", output)
    assert answer.code == 1
    assert answer.out == "2 recordings, 1 at risk: short 1\n"
    assert "broken.wav" in answer.err
    if name.endswith("parquet"):
        rows = pyarrow.parquet.read_table(output).to_pylist()
        assert [row["risks"] for row in rows] == [[], ["short"]]
        assert rows[1]["speech_seconds"] < 2 < rows[0]["speech_seconds"]
    assert ask("check", tmp_path / "corpus", "--output", output).code == 1  # replaces its own
    other = tmp_path / "notes.csv"
    other.write_text("mine\n")
    refused = ask("check", tmp_path / "corpus", "--output", other)
    assert refused.code == 2
    assert "--output" in refused.err
    assert other.read_text() == "mine\n"


def test_without_an_encoder_torch_is_not_imported(folder: Path) -> None:
    code = (
        f"import sys, timbral; timbral.check({str(folder / 'good.wav')!r}); "
        "print('torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout == "False\n", answer.stderr


class LevelEncoder:
    """Stands for an encoder: its vector tells the level of a window, as if that were the voice."""

    sample_rate, embedding_dim = RATE, 2
    runtime = SimpleNamespace(network=SimpleNamespace(min_samples=1))

    def load_audio(self, path: str) -> Wave:
        return decode(path)[0]

    def encode_preprocessed(self, waves: list[Wave]) -> Vectors:
        loud = np.array([np.sqrt(np.mean(wave**2)) > 0.03 for wave in waves])
        nearby = 0.1 * np.sin(np.arange(len(waves)))  # windows of one speaker differ, too
        angle = np.where(loud, nearby, np.pi / 2 + nearby)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


@pytest.mark.parametrize(("gain", "expected"), [(1.0, []), (0.05, ["several-speakers"])])
def test_two_clusters_of_windows_are_two_speakers(
    folder: Path, tmp_path: Path, gain: float, expected: list[str]
) -> None:
    one = decode(folder / "good.wav")[0]
    one = 0.1 * one / np.sqrt(np.mean(one**2))
    soundfile.write(tmp_path / "two.wav", np.concatenate([one, one, one, gain * one]), RATE)
    encoder = cast(timbral.Embedder, LevelEncoder())
    [checked] = timbral.check(tmp_path / "two.wav", encoder=encoder).recordings
    assert checked.kinds == expected


def test_a_folder_of_recordings_needs_no_speakers(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "one.wav").symlink_to(folder / "good.wav")
    (tmp_path / "deep" / "er" / "two.wav").symlink_to(folder / "short.wav")
    assert kinds(timbral.check(tmp_path)) == {"one": [], "two": ["short"]}
    assert kinds(timbral.check(tmp_path / "deep")) == {"one": [], "two": ["short"]}


def test_one_channel_of_a_call_is_no_risk(ask: Ask, folder: Path) -> None:
    answer = ask("check", folder / "channels-differ.wav", "--channel", "2", "--exit-code")
    assert (answer.code, len(answer.out.splitlines())) == (0, 1)
    assert "#channel=1: " in answer.out
    assert answer.out.rstrip().endswith("mono")
    both = ask("check", folder / "good.wav", folder / "channels-differ.wav", "--channel", "2")
    assert (both.code, both.out.count("#channel")) == (0, 1)
    mono = ask("check", folder / "good.wav", "--channel", "1", "--exit-code")
    assert (mono.code, "#channel" in mono.out) == (0, False)
    with pytest.raises(timbral.ConfigError, match="counted from 1"):
        timbral.check(folder / "good.wav", channel=0)


def test_a_second_channel_that_no_recording_has_is_an_error(
    ask: Ask, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(timbral.ConfigError, match=r"`channel` 2: .*good\.wav has one channel only"):
        timbral.check(folder / "good.wav", channel=2)
    for name in ("good", "short"):
        (tmp_path / f"{name}.wav").symlink_to(folder / f"{name}.wav")
    answer = ask("check", tmp_path, "--channel", "2")
    assert (answer.code, answer.out) == (2, "")
    assert "--channel 2: all 2 recordings have one channel only; leave" in answer.err
