"""Open-set identification: probabilities, promised rates of a whole search, the verb."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import Ask
from test_calibration import calibrate, halved, simulate
from timbral.audio.quality.measures import Quality
from timbral.calibration.calibration import Calibration, promised
from timbral.calibration.conditions import Ranges
from timbral.embeddings.vectors import unit_length
from timbral.errors import AudioError, ConfigError, DataError
from timbral.gallery.from_embeddings import EmbeddedSpeakers
from timbral.gallery.gallery import Gallery
from timbral.gallery.identifier import Identifier
from timbral.gallery.posterior import posterior
from timbral.gallery.search_rates import SearchRates, StrangerSearches, VoicePairs
from timbral.gallery.searched_recordings import SearchedRecording
from timbral.gallery.stranger_searches import stranger_searches
from timbral.gallery.voices import EnrolledRecording
from timbral.inference.embedder import Embedder
from timbral.inference.load import load_encoder
from timbral.io.types import Vectors


def test_probabilities_are_those_of_bayes() -> None:
    llrs = np.array([7.0, 2.0, -1.0])
    each, nobody = posterior(llrs, 3, 0.2, 1e-9)
    weights = np.append(0.2 / 3 * np.exp(llrs), 0.8)
    np.testing.assert_allclose([*each, nobody], weights / weights.sum())


def test_voices_that_are_not_listed_count_as_the_last_one() -> None:
    listed, of_listed = posterior(np.array([5.0, 0.0]), 10, 0.5, 1e-9)
    every, of_every = posterior(np.array([5.0, *[0.0] * 9]), 10, 0.5, 1e-9)
    np.testing.assert_allclose([*listed, of_listed], [*every[:2], of_every])


def test_no_probability_is_larger_than_the_data_can_show() -> None:
    each, nobody = posterior(np.array([50.0, 0.0]), 2, 0.5, 0.02)
    assert nobody == pytest.approx(0.02 / 1.02)
    assert each.sum() + nobody == pytest.approx(1.0)


def searches_of(voices: Vectors) -> StrangerSearches:
    cosines = voices @ voices.T
    np.fill_diagonal(cosines, -1)
    count = len(voices)
    return StrangerSearches.of(cosines.max(axis=1), np.arange(count), count / 2)


def test_promised_rate_of_a_search_holds_for_strangers() -> None:
    random = np.random.default_rng(0)
    broken = 0
    for _ in range(60):
        voices = unit_length(random.standard_normal((80, 12)))
        threshold = SearchRates(80, searches_of(voices)).threshold(0.15)
        strangers = unit_length(random.standard_normal((2000, 12)))
        broken += bool(((strangers @ voices.T).max(axis=1) >= threshold).mean() > 0.15)
    assert broken <= 6  # 95 of 100 hold; seven or more of 60 would be one case in 30


def test_rate_that_cannot_be_promised_is_refused_with_what_it_takes() -> None:
    voices = unit_length(np.random.default_rng(1).standard_normal((60, 12)))
    rates = SearchRates(60, searches_of(voices))
    with pytest.raises(ConfigError, match=r"0\.1 can be\. .* 600 speakers .* 1,200 voices") as info:
        rates.threshold(0.005)
    assert "calibration" not in str(info.value)


def test_small_gallery_takes_the_promise_of_the_calibration_times_its_size() -> None:
    calibration = calibrate(simulate(60))
    rates = SearchRates(
        3, searches_of(np.eye(3, dtype=np.float32)), (VoicePairs(3, calibration.points, 20),)
    )
    assert rates.least == 3 * calibration.points[-1].false_accept_bound
    llr = rates.threshold(0.3)
    assert llr == calibration.threshold(0.1).llr
    assert rates.bound(llr) <= 0.3


def test_each_speaker_of_strangers_weighs_the_same() -> None:
    best = np.array([3.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    one = StrangerSearches.of(best, np.array([0, 1, 1, 1, 1, 1]), 100.0)
    half = StrangerSearches.of(np.array([3.0, 0.0]), np.array([0, 1]), 100.0)
    np.testing.assert_allclose(one.bounds(np.array([2.0])), half.bounds(np.array([2.0])))


@pytest.fixture(scope="module")
def encoder(run: Path) -> Embedder:
    return load_encoder(run, device="cpu")


@pytest.fixture(scope="module")
def enrolled(encoder: Embedder, voices: Path, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """Six of eight voices, with three recordings each."""
    gallery = Gallery.create(tmp_path_factory.mktemp("gallery") / "g.db", encoder)
    for folder in sorted(voices.iterdir())[:6]:
        paths = sorted(folder.iterdir())[:3]
        gallery.add(
            folder.name,
            [
                EnrolledRecording(vector, path.name, "", 3.0, 2.5, 8000.0, 40.0)
                for path, vector in zip(paths, encoder.encode(paths), strict=True)
            ],
        )
    return gallery


def test_enrolled_recording_is_identified_and_a_rate_promised(
    enrolled: Gallery, encoder: Embedder, voices: Path
) -> None:
    folder = sorted(voices.iterdir())[2]
    path = str(sorted(folder.iterdir())[0])
    found = enrolled.identify(path, encoder, top=2)
    assert found.candidates[0].name == folder.name
    assert len(found.candidates) == 2
    assert (found.name, found.nobody) == (None, None)  # no calibration: nothing is claimed
    assert "calibration" in found.why
    with pytest.raises(TypeError):
        bool(found)
    with pytest.raises(ConfigError, match="false_accept"):
        enrolled.identify(path, encoder, false_accept=0.05)


def calibration_of(encoder: Embedder, calibration: Calibration) -> Calibration:
    """For the encoder, whose recordings all lie within its ranges."""
    return replace(
        calibration,
        weights_sha256=encoder.weights_identity(),
        embedding_sha256=encoder.embedding_identity(),
        ranges=Ranges((0.01, 100.0), (1.0, 8000.0), (-100.0, 60.0)),
    )


def test_probabilities_come_from_the_calibration(
    enrolled: Gallery, encoder: Embedder, voices: Path
) -> None:
    changed = calibration_of(encoder, calibrate(simulate(60)))
    paths = [sorted(folder.iterdir())[0] for folder in sorted(voices.iterdir())]
    missing = voices / "nobody.wav"
    identifier = Identifier(enrolled, encoder, top=6, false_accept=0.6, calibration=changed)
    *found, failed = identifier.identify_many([*paths, missing])
    assert isinstance(failed, AudioError)
    for each in found:
        assert not isinstance(each, AudioError)
        shown = [candidate.probability for candidate in each.candidates]
        assert sum(shown) + each.nobody == pytest.approx(1.0)
        assert shown == sorted(shown, reverse=True)
        assert each.false_accept_bound <= 0.6
        is_named = each.candidates[0].llr >= each.threshold
        assert each.name == (each.candidates[0].name if is_named else None)


def test_recordings_below_the_ranges_are_promised_no_rate(
    enrolled: Gallery, encoder: Embedder, voices: Path
) -> None:
    calibration = calibration_of(encoder, calibrate(simulate(60)))
    narrow = replace(calibration, ranges=replace(calibration.ranges, speech_seconds=(50.0, 100.0)))
    path = str(next(voices.glob("*/*")))
    identifier = Identifier(enrolled, encoder, false_accept=0.6, calibration=narrow)
    found = identifier.identify(path)
    assert found.threshold == identifier.rates.threshold(0.6)
    assert found.false_accept_bound is None
    assert "no false accept rate can be promised for such recordings" in found.warnings
    assert "if the recordings are like those" in found.why


def searched_for(
    seconds: float, encoder: Embedder, speech_probability: float = 1.0
) -> SearchedRecording:
    vector = np.random.default_rng(5).standard_normal(encoder.embedding_dim).astype(np.float32)
    quality = Quality(seconds, seconds, -20.0, 40.0, 8000, 0.0, 1, None, speech_probability, 0.0)
    return SearchedRecording("a.wav", vector, quality)


@pytest.mark.parametrize("false_accept", [None, 0.6])
def test_recordings_without_speech_are_of_nobody(
    enrolled: Gallery, encoder: Embedder, false_accept: float | None
) -> None:
    calibration = calibration_of(encoder, calibrate(simulate(60)))
    identifier = Identifier(enrolled, encoder, false_accept=false_accept, calibration=calibration)
    own = replace(searched_for(3.0, encoder), vector=enrolled.snapshot().vectors[0])
    assert identifier.identify_searched(own).nobody is not None
    noise = replace(own, quality=searched_for(3.0, encoder, 0.0).quality)
    found = identifier.identify_searched(noise)
    assert not found.holds_speech
    assert (found.name, found.nobody, found.threshold, found.false_accept_bound) == (None,) * 4
    assert {(each.llr, each.probability) for each in found.candidates} == {(None, None)}
    assert found.candidates[0].score == pytest.approx(1.0)
    assert "no speech was found in a.wav" in found.why
    assert any("no-speech" in each for each in found.warnings)


def test_questions_share_the_searches_of_strangers(
    enrolled: Gallery, encoder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = []

    def counted(*args: Any, **kwargs: Any) -> StrangerSearches | None:
        searches.append(kwargs["shorter_than"])
        return stranger_searches(*args, **kwargs)

    monkeypatch.setattr("timbral.gallery.gallery_rates.stranger_searches", counted)
    calibration = calibration_of(encoder, calibrate(halved(simulate(60))))
    identifier = Identifier(enrolled, encoder, calibration=calibration)
    for rate in (0.9, 0.8):
        asked = identifier.with_settings(top=2, false_accept=rate, prior=0.3)
        alone = Identifier(
            enrolled, encoder, top=2, false_accept=rate, prior=0.3, calibration=calibration
        )
        searches.clear()
        for seconds in (0.9, 3.0):
            searched = searched_for(seconds, encoder)
            assert asked.identify_searched(searched) == alone.identify_searched(searched)
    assert searches == [1.0]  # of `alone`
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"0\.0001 cannot be promised"):
            identifier.with_settings(top=5, false_accept=0.0001, prior=0.5)
    assert searches == [1.0]
    with pytest.raises(ConfigError, match="top"):
        identifier.with_settings(top=0, false_accept=None, prior=0.5)


def test_recordings_with_little_speech_are_promised_what_such_pairs_promise(
    enrolled: Gallery, encoder: Embedder
) -> None:
    """At the threshold of all recordings more strangers are named than promised."""
    calibration = calibration_of(encoder, calibrate(halved(simulate(60))))
    least_of_all, least_of_short = (
        6 * min(each.false_accept_bound for each in points)
        for points in (calibration.points, calibration.short_points)
    )
    assert least_of_all < least_of_short < 0.9
    identifier = Identifier(enrolled, encoder, false_accept=0.9, calibration=calibration)
    long, short = (
        identifier.identify_searched(searched_for(seconds, encoder)) for seconds in (1.1, 0.9)
    )
    assert long.threshold == calibration.threshold(0.9 / 6).llr
    assert short.threshold == promised(0.9 / 6, calibration.short_points).llr
    assert long.threshold < short.threshold
    assert short.false_accept_bound <= 0.9
    rate = (least_of_all + least_of_short) / 2
    identifier = Identifier(enrolled, encoder, false_accept=rate, calibration=calibration)
    long, short = (
        identifier.identify_searched(searched_for(seconds, encoder)) for seconds in (1.1, 0.9)
    )
    assert long.false_accept_bound <= rate
    assert short.false_accept_bound is None
    assert short.threshold == long.threshold
    assert any("less than 1 s of net speech" in each for each in short.warnings)


def test_strangers_with_little_speech_promise_a_rate_of_such_searches(
    enrolled: Gallery, encoder: Embedder, tmp_path: Path
) -> None:
    calibration = calibration_of(encoder, calibrate(halved(simulate(60))))
    random = np.random.default_rng(2)
    vectors = random.standard_normal((400, encoder.embedding_dim)).astype(np.float32)
    seconds = np.where(np.arange(400) % 2, 0.8, 4.0)
    table = table_of(vectors, encoder, 200).append_column("speech_seconds", pa.array(seconds))
    pq.write_table(table, tmp_path / "strangers.parquet")
    identifier = Identifier(
        enrolled,
        encoder,
        false_accept=0.05,
        calibration=calibration,
        strangers=tmp_path / "strangers.parquet",
    )
    own = stranger_searches(
        enrolled,
        identifier._voices,
        EmbeddedSpeakers.read(tmp_path / "strangers.parquet"),
        shorter_than=1.0,
    )
    assert own is not None
    assert (len(own.best), own.num_speakers, own.independent) == (200, 200, 200.0)
    short = identifier.identify_searched(searched_for(0.9, encoder))
    assert short.threshold == SearchRates(6, own).threshold(0.05)
    assert short.false_accept_bound <= 0.05
    assert identifier.identify_searched(searched_for(2.0, encoder)).threshold != short.threshold


def table_of(vectors: Vectors, encoder: Embedder, speakers: int) -> pa.Table:
    count = len(vectors)
    return pa.table(
        {
            "utterance": [f"u{row}" for row in range(count)],
            "speaker": [f"s{row * speakers // count}" for row in range(count)],
            "path": [f"u{row}.wav" for row in range(count)],
            "embedding": pa.FixedSizeListArray.from_arrays(
                pa.array(vectors.ravel()), encoder.embedding_dim
            ),
            "encoder": [encoder.name] * count,
            "weights_sha256": [encoder.weights_identity()] * count,
        }
    )


def test_strangers_lower_the_rate_that_can_be_promised(
    enrolled: Gallery, encoder: Embedder, tmp_path: Path
) -> None:
    random = np.random.default_rng(2)
    vectors = random.standard_normal((200, encoder.embedding_dim)).astype(np.float32)
    table = table_of(vectors, encoder, 100)
    pq.write_table(table, tmp_path / "strangers.parquet")
    rates = Identifier(enrolled, encoder, strangers=tmp_path / "strangers.parquet").rates
    assert rates.searches is not None
    assert rates.searches.independent == 103.0
    assert rates.least == pytest.approx(3 / 103)
    other = table.set_column(5, "weights_sha256", pa.array(["0" * 64] * 200))
    pq.write_table(other, tmp_path / "other.parquet")
    with pytest.raises(DataError, match="different encoders"):
        _ = Identifier(enrolled, encoder, strangers=tmp_path / "other.parquet").rates


def test_verb_identify(
    ask: Ask, enrolled: Gallery, run: Path, voices: Path, tmp_path: Path
) -> None:
    folders = sorted(voices.iterdir())
    paths = [sorted(folder.iterdir())[1] for folder in folders[:2]]
    answer = ask("identify", enrolled.location, *paths, "--encoder", run, "--json", "--exit-code")
    assert answer.code == 4
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert [row["recording"] for row in rows] == list(map(str, paths))
    assert {row["num_voices"] for row in rows} == {6}
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no audio")
    answer = ask("identify", enrolled.location, f"file://{paths[0]}", broken, "--encoder", run)
    assert answer.code == 1
    assert "broken.wav: " in answer.err
    assert "cannot be said" in answer.out
    answer = ask(
        "identify", enrolled.location, paths[0], "--encoder", run, "--false-accept", "0.01"
    )
    assert answer.code == 2
    assert "0.01 cannot be promised" in answer.err


def test_empty_gallery_holds_nobody(encoder: Embedder, voices: Path, tmp_path: Path) -> None:
    gallery = Gallery.create(tmp_path / "g.db", encoder)
    path = next(voices.glob("*/*"))
    found = gallery.identify(str(path), encoder)
    assert (found.name, found.nobody, found.candidates) == (None, 1.0, ())
