"""Clones that are copies of their references: of another level, coding or rate, or a part."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import Ask
from timbral import api
from timbral.audio.decode import Wave, decode, resample
from timbral.audio.quality.measures import Quality
from timbral.cloning.clones import Clone
from timbral.cloning.copies import (
    LEAST_CORRELATION,
    LONGEST_SECONDS,
    RATE,
    copies,
    highest_correlation,
    similar_pairs,
)
from timbral.cloning.encoded_recording import EncodedRecording


def changed(wave: Wave, rate: int, how: str) -> tuple[Wave, int]:
    if how == "quieter, inverted":
        return -0.2 * wave, rate
    if how == "8 kHz":
        return resample(wave, rate, 8_000), 8_000
    if how == "48 kHz":
        return resample(wave, rate, 48_000), 48_000
    if how == "a part":
        return wave[rate // 2 + 1 : rate // 2 + 1 + 3 * rate // 2], rate
    if how == "before it":
        return np.concatenate([wave, np.roll(wave[::-1], 1_000)]), rate
    assert how == "noise"
    return wave + np.random.default_rng(0).normal(0, 0.2 * wave.std(), len(wave)), rate


CHANGES = ("quieter, inverted", "8 kHz", "48 kHz", "a part", "before it", "noise")


@pytest.mark.parametrize("how", CHANGES)
def test_copies_are_found(voices: Path, tmp_path: Path, how: str) -> None:
    for path in sorted(voices.glob("*/*_00.ogg"))[:4]:
        soundfile.write(tmp_path / "copy.wav", *changed(*decode(path), how), subtype="PCM_24")
        pair = (str(tmp_path / "copy.wav"), str(path))
        assert copies([pair]) == {pair}


@pytest.mark.parametrize("suffix", [".mp3", ".ogg"])
def test_coded_copies_are_found(voices: Path, tmp_path: Path, suffix: str) -> None:
    for path in sorted(voices.glob("*/*_00.ogg"))[:4]:
        wave, rate = decode(path)
        soundfile.write(tmp_path / f"copy{suffix}", wave, rate)
        pair = (str(tmp_path / f"copy{suffix}"), str(path))
        assert copies([pair, (pair[0], str(tmp_path / "gone.wav"))]) == {pair}


def test_other_recordings_are_no_copies(voices: Path) -> None:
    """Of the same speaker, and of the same sentence; a second of one in another, too."""
    speaker = sorted(voices.iterdir())[0]
    same_sentence = sorted(voices.glob("*/*_00.ogg"))
    waves = [
        resample(*decode(path), RATE) for path in (*sorted(speaker.iterdir()), *same_sentence[1:])
    ]
    found = [highest_correlation(one, other) for one, other in combinations(waves, 2)]
    found += [
        highest_correlation(one[RATE : 2 * RATE], other) for one, other in combinations(waves, 2)
    ]
    assert max(found) < LEAST_CORRELATION - 0.1


def test_what_is_too_short_or_silent_is_no_copy() -> None:
    noise = np.random.default_rng(0).normal(size=4 * RATE).astype(np.float32)
    assert highest_correlation(noise[: RATE - 1], noise) == 0.0
    assert highest_correlation(noise[:RATE], noise) == pytest.approx(1, abs=1e-3)
    assert highest_correlation(0 * noise, noise) == 0.0


def test_few_references_of_many_are_compared() -> None:
    """Of a speaker with a hundred, those that are nearest in duration and in cosine."""
    quality = Quality(4.0, 4.0, -20.0, None, 8_000.0, 0.0, 1, None, 1.0, 0.0)
    axes = np.eye(2, dtype=np.float32)
    encoded = {"clone": EncodedRecording(axes[0], quality)}
    for number in range(100):
        angle = 0.003 * number
        vector = np.float32(np.cos(angle)) * axes[0] + np.float32(np.sin(angle)) * axes[1]
        measured = replace(quality, seconds=4.5 - 0.004 * number)
        encoded[f"{number}"] = EncodedRecording(vector, measured)
    clone = Clone("clone", "tts", "clone", (*sorted(encoded.keys() - {"clone"}), "gone"), "anna")
    pairs = {("clone", each) for each in ("0", "1", "2", "97", "98", "99")}
    assert similar_pairs([clone], encoded) == pairs
    long = replace(quality, seconds=LONGEST_SECONDS + 1)
    encoded |= {name: EncodedRecording(axes[0], long) for name in ("0", "99")}
    assert similar_pairs([clone], encoded) == {
        ("clone", each) for each in ("1", "2", "3", "96", "97", "98")
    }


def test_similarity_names_copies(ask: Ask, run: Path, voices: Path, tmp_path: Path) -> None:
    """Beside a recording of the speaker that is none."""
    first, second, third = sorted(sorted(voices.iterdir())[0].iterdir())[:3]
    soundfile.write(tmp_path / "louder.wav", *changed(*decode(first), "quieter, inverted"))
    pairs = ((tmp_path / "louder.wav", first), (second, third))
    (tmp_path / "pairs.txt").write_text("".join(f"{one} {other}\n" for one, other in pairs))
    answer = ask("similarity", run, tmp_path / "pairs.txt", "--output", tmp_path / "report")
    assert "1 of 2 pairs compare a recording with itself or a copy of it" in answer.err
    assert "measures no system: louder\n" in answer.err


def test_a_copy_of_the_prompt_is_no_anchor(run: Path, voices: Path, tmp_path: Path) -> None:
    """A corpus with what the prompts were made of gives the anchors of one without it."""
    rows = ["synthesized,reference,speaker"]
    for speaker in sorted(voices.iterdir())[:2]:
        first, second, third = sorted(speaker.iterdir())[:3]
        for corpus, recordings in (("whole", (first, third)), ("others", (third,))):
            (tmp_path / corpus / speaker.name).mkdir(parents=True)
            for recording in recordings:
                shutil.copy(recording, tmp_path / corpus / speaker.name)
        prompt = tmp_path / f"{speaker.name}.wav"
        soundfile.write(prompt, *changed(*decode(first), "quieter, inverted"))
        rows.append(f"{second},{prompt},{speaker.name}")
    table = tmp_path / "clones.csv"
    table.write_text("\n".join(rows) + "\n")
    whole, others = (
        api.clone_similarity([run], [table], corpus=tmp_path / corpus).views[0].same
        for corpus in ("whole", "others")
    )
    np.testing.assert_allclose(whole, others, atol=1e-5)
