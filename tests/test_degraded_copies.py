"""Degraded copies of recordings, which `keep_old` compares beside the recordings themselves."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest

from timbral.audio.decode import SAMPLE_RATE, Wave
from timbral.audio.preprocessing import Preprocessing
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.demo.shipped import VOICES
from timbral.errors import ConfigError
from timbral.training.degraded_copies import CONDITIONS, DegradedCopies


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("voices")
    for voice in sorted(VOICES.glob("*/"))[:5]:
        (folder / "voices" / voice.name).mkdir(parents=True)
        for path in sorted(voice.glob("*.ogg"))[:3]:
            (folder / "voices" / voice.name / path.name).symlink_to(path)
    prepare(scan_corpus("folder", folder / "voices"), folder / "data", Preprocessing())
    return Store.open(folder / "data")


def by_condition(store: Store, copies: DegradedCopies) -> dict[str, tuple[Wave, Wave]]:
    """A recording and its copy, of each condition."""
    return {copies.condition(row): (store.wave(row), copies.wave(row)) for row in range(len(store))}


def test_a_speakers_copies_take_turns(store: Store) -> None:
    copies = DegradedCopies(store, np.arange(len(store)), 1)
    names = [copies.condition(row) for row in range(len(store))]
    assert set(names) == set(CONDITIONS)
    for code in range(5):
        own = [name for name, of in zip(names, store.speaker_codes, strict=True) if of == code]
        assert max(Counter(own).values()) == 1


def test_what_the_conditions_do(store: Store) -> None:
    copies = DegradedCopies(store, np.arange(len(store)), 1)
    found = by_condition(store, copies)
    plain, same = found["as it is"]
    assert np.allclose(plain, same)
    for name, (wave, copy) in found.items():
        assert np.isfinite(copy).all()
        assert np.abs(copy).max() <= 1.0
        speed = {"fast and loud": 1.06, "slow and quiet": 0.94}.get(name, 1.0)
        assert abs(len(copy) - len(wave) / speed) < 2
        assert 10 * np.log10(np.mean(np.square(copy))) > -30.1  # as `prepare` raises them
        if speed == 1.0 and name != "as it is":
            assert 0.3 < np.corrcoef(wave, copy)[0, 1] < 0.999
    narrow = np.abs(np.fft.rfft(found["telephone"][1]))
    hz = np.fft.rfftfreq(len(found["telephone"][1]), 1 / SAMPLE_RATE)
    assert narrow[hz > 4000].sum() < 1e-3 * narrow.sum()
    assert np.mean(np.abs(found["fast and loud"][1]) == 1.0) > 1e-3  # clipped


def test_copies_follow_from_the_row_alone(store: Store) -> None:
    rows = np.arange(len(store))
    one, other = DegradedCopies(store, rows, 1), DegradedCopies(Store.open(store.folder), rows, 1)
    for row in reversed(rows.tolist()):
        assert np.array_equal(one.wave(row), other.wave(row))
    hashes = []
    for data in (store, one):
        digest = hashlib.sha256()
        data.update_hash(digest, 0)
        hashes.append(digest.hexdigest())
    assert hashes[0] != hashes[1]


def test_short_recordings_keep_their_speed(store: Store) -> None:
    row = next(
        row
        for row in range(len(store))
        if DegradedCopies(store, np.arange(len(store)), 1).condition(row) == "fast and loud"
    )
    samples = int(store.samples[row])
    assert len(DegradedCopies(store, np.arange(len(store)), samples).wave(row)) == samples


def test_their_speed_is_their_own(store: Store) -> None:
    with pytest.raises(ConfigError, match="speed cannot be changed with degraded copies"):
        DegradedCopies(store, np.arange(len(store)), 1).embed(None, [0], 1.1)  # type: ignore[arg-type]
