"""`audit --encoder` finds recordings in which a second speaker talks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
import pytest
import soundfile
import torch

import timbral
from conftest import Ask
from timbral.audio.decode import decode
from timbral.audio.preprocessing import Preprocessing
from timbral.bulk import part_vectors
from timbral.embeddings.audit import known_speakers, second_speaker
from timbral.embeddings.audit.known_speakers import KnownSpeakers
from timbral.embeddings.audit.second_speaker import SplitRecordings, find_second_speakers
from timbral.embeddings.audit.two_covariance import MeanVector, TwoCovariance
from timbral.embeddings.vectors import unit_length
from timbral.inference.speech_parts import cut_in_two, parts_at
from timbral.inference.speech_windows import speech_extent, speech_windows

SPEAKERS, EACH = 20, 10


def recordings(planted: Sequence[int] = ()) -> tuple[SplitRecordings, np.ndarray]:
    """Parts around a center of each speaker; of planted ones the second is the next speaker's."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(SPEAKERS + 1, 32))
    codes = np.repeat(np.arange(SPEAKERS), EACH)
    seconds = rng.uniform(1, 4, size=(len(codes), 2))
    middle = np.stack([centers[codes]] * 2, axis=1)
    for row in planted:
        middle[row, 1] = centers[codes[row] + 1]
    noisy = middle + 0.6 * rng.normal(size=middle.shape) / np.sqrt(seconds[:, :, None]) + 1.5
    vectors = unit_length(noisy.astype(np.float32))
    return SplitRecordings(np.arange(len(codes)), vectors, seconds, seconds[:, 0]), codes


def blocks(all_: SplitRecordings, size: int = 64) -> list[SplitRecordings]:
    numbers = np.arange(len(all_.rows)) // size
    return [all_.subset(numbers == number) for number in range(numbers.max() + 1)]


def found_in(split: SplitRecordings, codes: np.ndarray) -> list[int]:
    found = find_second_speakers(blocks(split), codes)
    return sorted(each.recording for each in found if each.probability >= 0.5)


def test_planted_recordings_are_found_and_nothing_else() -> None:
    planted = [3, 77, 120, 191]
    split, codes = recordings(planted)
    assert found_in(split, codes) == planted
    first = next(find_second_speakers(blocks(split), codes))
    assert first.moment == split.moments[first.recording]
    assert all(
        each.is_after
        for each in find_second_speakers(blocks(split), codes)
        if each.recording in planted
    )
    turned = replace(split, parts=split.parts[:, ::-1], seconds=split.seconds[:, ::-1])
    assert not any(
        each.is_after
        for each in find_second_speakers(blocks(turned), codes)
        if each.recording in planted
    )
    assert found_in(*recordings()) == []


def test_a_wrong_label_is_no_second_speaker() -> None:
    """Nor are many planted recordings taken for what is usual."""
    split, codes = recordings()
    split.parts[[3, 77]] = split.parts[[77, 3]]
    assert found_in(split, codes) == []
    planted = list(range(3, 200, 10))
    assert found_in(*recordings(planted)) == planted


def test_a_speaker_of_the_corpus_is_more_probable_than_a_stranger() -> None:
    """For the same recordings: of the second speaker's own ones none is left, or all."""
    planted = [3, 77, 120]
    split, codes = recordings(planted)
    known, unknown = (
        {each.recording: each.probability for each in find_second_speakers([part], codes)}
        for part in (split, split.subset(~np.isin(codes, codes[planted] + 1)))
    )
    assert all(known[row] > unknown[row] for row in planted)


@pytest.mark.parametrize("probability", [0.3, 0.9])
@pytest.mark.parametrize("noises", [(0.5, 5.0), (0.02, 20.0)])
def test_known_speakers_are_compared_as_one_by_one(
    probability: float, noises: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    spread = rng.normal(size=(12, 12))
    model = TwoCovariance.fit(spread @ spread.T / 12, 40.0)
    means, counts = rng.normal(size=(7, 12)), np.array([1, 3, 0, 3, 2, 1, 3])
    vectors, worth = rng.normal(size=(5, 12)), rng.uniform(0.2, 2, size=5)
    own = np.array([0, 1, 3, 4, 6])
    monkeypatch.setattr(known_speakers, "MOST_RATIOS", 6)  # two vectors at a time
    known = KnownSpeakers.of(model, means, counts, noises)
    found = known.anybody(MeanVector(vectors @ model.axes, worth), own, probability)
    for row in range(5):
        ratios = [
            -model.log_ratio(
                MeanVector(vectors[row] @ model.axes, worth[row]),
                MeanVector(means[other] @ model.axes, np.float64(counts[other])),
            )
            for other in range(7)
            if counts[other] and other != own[row]
        ]
        expected = np.log(1 - probability + probability * np.exp(ratios).mean())
        assert found[row] == pytest.approx(expected, abs=1e-3)


def test_blocks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_speaker, "BLOCK_RECORDINGS", 15)
    split, codes = recordings([3, 77])
    one, many = (list(find_second_speakers(blocks(split, size), codes)) for size in (200, 7))
    assert [each.recording for each in one] == [each.recording for each in many]
    np.testing.assert_allclose(
        [each.probability for each in one], [each.probability for each in many], atol=1e-6
    )


def test_what_tells_nothing_gives_nothing() -> None:
    split, codes = recordings()
    assert list(find_second_speakers([], codes)) == []
    row = split.rows
    assert found_in(split.subset(row < 5), codes) == [], "too few"
    assert found_in(split.subset(row < 10), codes) == [], "one speaker"
    some = list(find_second_speakers([split.subset((row >= 5) & (row < 25))], codes))
    assert {each.recording for each in some} == set(range(5, 25))
    alone = list(find_second_speakers([split], np.arange(len(codes))))
    assert len(alone) == len(codes), "one recording each"
    shorter = split.seconds[:, 1] <= split.seconds[:, 0]
    assert all(each.is_after == shorter[each.recording] for each in alone)


def test_the_same_vector_everywhere_gives_nothing() -> None:
    split, codes = recordings()
    split.parts[:] = split.parts[0, 0]
    assert found_in(split, codes) == []


def windows_of_two(change: int) -> tuple[np.ndarray, np.ndarray]:
    """Half overlapping windows of 10 samples from 100 to 145, and vectors of one voice before a
    moment and another one after it; a window with both has a mixture.
    """
    ranges = np.array([[start, start + 10] for start in range(100, 140, 5)])
    after = np.clip((ranges[:, 1] - change) / 10, 0, 1)
    return ranges, np.stack([1 - after, after], axis=1).astype(np.float32)


@pytest.mark.parametrize("change", range(110, 136))
def test_the_moment_is_where_windows_differ_most(change: int) -> None:
    """Also between the middles of windows, and within a window that is left out."""
    cut = cut_in_two(*windows_of_two(change), (102, 144), (1, 99))
    assert cut[0, 0] == 102
    assert cut[1, 1] == 144
    assert cut[0, 1] == cut[1, 0]
    assert abs(cut[0, 1] - change) <= 3, "a third of a window"


def test_parts_are_neither_too_short_nor_too_long() -> None:
    ranges, vectors = windows_of_two(125)
    speech = (102, 144)
    np.testing.assert_array_equal(
        cut_in_two(ranges, vectors, speech, (1, 9)), [[116, 125], [125, 134]]
    )
    later = cut_in_two(ranges, vectors, (122, 144), (5, 99))
    assert 127 <= later[0, 1] <= 130, "a moment that fits"
    assert len(cut_in_two(ranges, vectors, speech, (22, 99))) == 0, "too short for the encoder"
    assert len(cut_in_two(ranges[:1], vectors[:1], speech, (1, 99))) == 0
    assert len(cut_in_two(ranges[:0], vectors[:0], speech, (1, 99))) == 0
    vectors[3] = np.nan
    assert abs(cut_in_two(ranges, vectors, speech, (1, 99))[0, 1] - 125) <= 2


@pytest.mark.parametrize(("seconds", "size"), [(0.5, 0), (1.0, 0.6), (3.0, 1.0), (9.0, 1.5)])
def test_windows_are_of_speech_and_fit_the_recording(
    voices: Path, seconds: float, size: float
) -> None:
    wave, rate = decode(sorted(voices.glob("*/*.ogg"))[0])
    speech = np.tile(wave, 4)[: round(seconds * rate)]
    ranges = speech_windows(speech, rate, 0)
    assert np.allclose((ranges[:, 1] - ranges[:, 0]) / rate, size)
    assert (len(ranges) > 0) == (size > 0)
    silent = speech_windows(np.zeros_like(speech), rate, 0)
    assert len(silent) == 0


def test_a_pause_in_a_part_does_not_count_as_speech(run: Path, voices: Path) -> None:
    encoder = timbral.load_encoder(run)
    speech = encoder.load_audio(sorted(voices.glob("*/*.ogg"))[0])
    speech = speech[slice(*speech_extent(speech, encoder.sample_rate))]
    pause = np.zeros(2 * encoder.sample_rate, np.float32)
    wave = np.concatenate([speech, pause, speech, speech])
    change = 2 * len(speech) + len(pause)
    no_windows = np.zeros((0, 2), np.int64), np.zeros((0, encoder.embedding_dim), np.float32)
    cut = np.array([[0, change], [change, len(wave)]])
    paused, alone = parts_at(encoder, [wave, wave], [no_windows] * 2, [cut, cut[:0]])
    assert alone is None
    assert paused is not None
    seconds = len(speech) / encoder.sample_rate
    assert 0.7 * seconds < paused.seconds[1] <= seconds
    with_pause = (2 * seconds) ** 2 / (2 * seconds + 2)
    assert 0.5 * with_pause < paused.seconds[0] <= with_pause


def test_the_windows_in_a_part_are_added_to_its_vector(run: Path, voices: Path) -> None:
    encoder = timbral.load_encoder(run)
    wave, rate = encoder.load_audio(sorted(voices.glob("*/*.ogg"))[0]), encoder.sample_rate
    cut = np.array([[0, rate], [rate, len(wave)]])
    ranges = np.array([[0, rate], [0, rate], [rate // 2, 3 * rate // 2]])
    random = np.random.default_rng(0)
    vectors = unit_length(random.normal(size=(3, encoder.embedding_dim)).astype(np.float32))
    (found,) = parts_at(encoder, [wave], [(ranges, vectors)], [cut])
    assert found is not None
    plain = encoder.encode_preprocessed([wave[:rate], wave[rate:]])
    mixed = unit_length(plain[0] + 0.5 * unit_length(vectors[:2].mean(axis=0)))
    np.testing.assert_allclose(found.vectors, [mixed, plain[1]], atol=1e-5)
    vectors[1] = np.nan
    (found,) = parts_at(encoder, [wave], [(ranges, vectors)], [cut])
    assert found is not None
    np.testing.assert_allclose(
        found.vectors, [unit_length(plain[0] + 0.5 * vectors[0]), plain[1]], atol=1e-5
    )


@pytest.fixture
def embedded(run: Path, voices: Path, tmp_path: Path) -> Path:
    corpus = tmp_path / "corpus"
    for folder in sorted(voices.iterdir())[:4]:
        for path in sorted(folder.glob("*.ogg"))[:2]:
            (corpus / folder.name).mkdir(parents=True, exist_ok=True)
            wave, rate = decode(path)
            soundfile.write(corpus / folder.name / f"{path.stem}.wav", wave, rate)
    timbral.embed(run, corpus, tmp_path / "out")
    return tmp_path / "out"


def test_a_recording_that_is_written_while_it_is_audited(
    ask: Ask, run: Path, embedded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = sorted(embedded.parent.glob("corpus/*/*.wav"))[0]
    parts_of = part_vectors.parts_of

    def write_later(*arguments: Any) -> Any:
        recording.write_bytes(recording.read_bytes() + bytes(2))
        return parts_of(*arguments)

    monkeypatch.setattr(part_vectors, "parts_of", write_later)
    answer = ask("audit", embedded, "--encoder", run, "--min-probability", 0)
    assert answer.code == 0
    assert "recordings in which a second speaker talks: 8\n" in answer.out


def test_audit_reads_the_recordings_and_is_resumed(
    ask: Ask, run: Path, embedded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = ask("audit", embedded, "--encoder", run, "--min-probability", 0)
    assert answer.code == 0
    assert "recordings in which a second speaker talks: 8\n" in answer.out
    assert "second-speaker" in (embedded / "audit.csv").read_text()
    assert "second speaker" not in ask("audit", embedded).out

    monkeypatch.setattr(part_vectors, "_embed", lambda *_: pytest.fail("embedded again"))
    again = ask("audit", embedded, "--encoder", run, "--min-probability", 0)
    assert again.out == answer.out
    table = pa.parquet.read_table(embedded / "audit.parquet")
    row = table.filter(pa.compute.equal(table["kind"], "second-speaker")).to_pylist()[0]
    assert 0 < row["moment_seconds"] < 10
    when = (
        "from {moment_seconds:.1f} s on"
        if row["second_voice"] == "after"
        else ("until {moment_seconds:.1f} s")
    )
    said = f"{row['utterance']} of {row['speaker']}: another voice {when.format(**row)}"
    assert said in answer.out
    timbral.map(embedded, embedded.parent / "map.html")
    page = (embedded.parent / "map.html").read_text()
    assert len(re.findall(r"another voice (until|from) \d+\.\d s( on)?\? \(", page)) >= 8


def test_progress_counts_the_batches_of_a_shard(
    run: Path, embedded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of long recordings has few of them."""
    monkeypatch.setattr(part_vectors, "BATCH_SECONDS", 7.0)  # one or two of these recordings
    told: list[tuple[int, int]] = []
    timbral.audit(embedded, encoder=run, progress=lambda done, total: told.append((done, total)))
    counts = [done for done, _ in told]
    assert counts == sorted(counts)
    assert {total for _, total in told} == {counts[-1]}
    assert all(after - before <= 2 for before, after in pairwise(counts))


def test_a_moved_corpus_is_not_embedded_again(
    ask: Ask, run: Path, embedded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, moved = embedded.parent / "corpus", embedded.parent / "moved"
    answer = ask("audit", embedded, "--encoder", run, "--min-probability", 0)
    corpus.rename(moved)
    timbral.embed(run, moved, embedded)
    monkeypatch.setattr(part_vectors, "_embed", lambda *_: pytest.fail("embedded again"))
    again = ask("audit", embedded, "--encoder", run, "--min-probability", 0)
    assert again.out == answer.out


def test_the_moment_is_one_of_the_recording_as_it_is(
    run: Path, embedded: Path, tmp_path: Path
) -> None:
    """Also where an encoder's preprocessing cuts the silence before it."""
    found = []
    for trim, silence in (("none", 0.0), ("energy", 0.0), ("energy", 2.0)):
        corpus = tmp_path / f"{trim}{silence}"
        for path in sorted((embedded.parent / "corpus").glob("*/*.wav")):
            wave, rate = soundfile.read(path, dtype="float32")
            target = corpus / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, np.pad(wave, (round(silence * rate), 0)), rate)
        encoder = timbral.load_encoder(run).with_inference(Preprocessing(trim))
        out = tmp_path / f"out-{corpus.name}"
        timbral.embed(encoder, corpus, out)
        table = timbral.audit(out, encoder=encoder, min_probability=0)
        rows = table.filter(pa.compute.equal(table["kind"], "second-speaker")).to_pylist()
        found.append({row["utterance"]: row["moment_seconds"] for row in rows})
    plain, trimmed, moved = found
    assert plain.keys() == trimmed.keys() == moved.keys()
    away = sorted(abs(moved[name] - trimmed[name] - 2) for name in moved)
    assert away[len(away) // 2] < 0.03
    assert away[-2] < 0.1, "of one voice, two moments may be as good as each other"


def test_a_damaged_or_missing_recording_is_named(ask: Ask, run: Path, embedded: Path) -> None:
    path = sorted((embedded.parent / "corpus").glob("*/*.wav"))[0]
    path.unlink()
    assert ask("audit", embedded, "--encoder", run).code == 1
    shards = sorted((embedded / ".parts").glob("*/*.arrow"))
    assert len(shards) == 1
    shards[0].write_bytes(b"damaged")
    answer = ask("audit", embedded, "--encoder", run)
    assert shards[0].stat().st_size > 1000
    assert answer.code == 1
    assert f"1 recording could not be examined; the first: {path}" in answer.err
    assert "Traceback" not in answer.err


def test_too_few_recordings_are_told(ask: Ask, run: Path, embedded: Path) -> None:
    corpus = embedded.parent / "corpus"
    for folder in sorted(corpus.iterdir())[1:]:
        shutil.rmtree(folder)
    timbral.embed(run, corpus, embedded.parent / "few")
    answer = ask("audit", embedded.parent / "few", "--encoder", run)
    assert answer.code == 2
    assert "at least 8 recordings of two or more speakers are needed" in answer.err
    assert "has 2 readable ones of 1" in answer.err


def test_another_encoder_has_vectors_of_its_own(
    ask: Ask, run: Path, embedded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask("audit", embedded, "--encoder", run).code == 0
    other = timbral.load_encoder(run)
    with torch.no_grad():
        next(other.network.parameters()).mul_(1.1)
    other.save(embedded.parent / "other")
    assert ask("audit", embedded, "--encoder", embedded.parent / "other").code == 0
    assert len(list((embedded / ".parts").glob("*"))) == 2
    monkeypatch.setattr(part_vectors, "_embed", lambda *_: pytest.fail("embedded again"))
    moved = embedded.rename(embedded.with_name("moved"))
    assert ask("audit", moved, "--encoder", run).code == 0


def test_only_the_corpus_is_read(ask: Ask, run: Path, embedded: Path) -> None:
    """A table of a stranger may name any recording of this machine."""
    table = embedded.parent / "vectors.parquet"
    shutil.copy(embedded / "utterances.parquet", table)
    answer = ask("audit", table, "--encoder", run)
    assert answer.code == 2
    assert "the folder of its corpus is unknown" in answer.err or "--corpus" in answer.err
    named = ask("audit", table, "--encoder", run, "--corpus", embedded.parent / "corpus")
    assert named.code == 0
    alone = ask("audit", embedded, "--corpus", embedded.parent / "corpus")
    assert alone.code == 2
    assert "--encoder" in alone.err
