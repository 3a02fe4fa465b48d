"""Augmentation: exact ratios, no delay, and draws that depend on (seed, step, index) alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from conftest import make_sounds
from timbral import api
from timbral.audio.decode import Wave
from timbral.config.schema import TrainConfig
from timbral.config.yaml import from_mapping, to_mapping
from timbral.data.augment.config import (
    PRESETS,
    AugmentConfig,
    BabbleConfig,
    BandConfig,
    GainConfig,
    SpeedConfig,
)
from timbral.data.augment.effects import (
    Bands,
    FeatureMasks,
    Mix,
    Reverberation,
    band_limit,
    limit_peak,
    mask_features,
    mix,
    reverberate,
)
from timbral.data.augment.plan import Augmenter
from timbral.data.augment.sounds import Rooms, Sounds, fast_size
from timbral.data.batches.batch import WaveBatch
from timbral.data.batches.config import DataConfig
from timbral.data.batches.wave_crops import WaveCrops
from timbral.data.prepared.store import Store
from timbral.encoders.lstm import LstmConfig, LstmEncoder
from timbral.errors import ConfigError, DataError

SAMPLES = 4800


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    return make_sounds(tmp_path)


def settings(name: str, sounds: Path, **more: object) -> AugmentConfig:
    """A preset with its folders."""
    content: dict[str, object] = {"name": name, **more}
    for kind in ("noise", "music", "rooms"):
        if PRESETS[name].get(kind):
            content[kind] = {"paths": [str(sounds / kind)]}
    return from_mapping(TrainConfig, {"augment": content}, "test").augment


def crops(
    store: Store, config: AugmentConfig, cache: Path, data: DataConfig | None = None
) -> WaveCrops:
    rows = np.arange(len(store))
    return WaveCrops(store, rows, data or DataConfig(4, 3, 0.5), 7, Augmenter(config, 7, cache))


def assert_same(first: WaveBatch, second: WaveBatch) -> None:
    for mine, theirs in zip(leaves(first), leaves(second), strict=True):
        assert torch.equal(mine, theirs)


def leaves(part: object) -> list[torch.Tensor]:
    if isinstance(part, torch.Tensor):
        return [part]
    if not hasattr(part, "__dict__"):
        return []
    return [leaf for value in vars(part).values() for leaf in leaves(value)]


def power(waves: torch.Tensor) -> torch.Tensor:
    return waves.double().square().mean(dim=1)


def test_ratios_are_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = 0.1 * torch.randn(6, SAMPLES, generator=generator)
    sounds = (3000 * torch.randn(3, SAMPLES, generator=generator)).to(torch.int16)
    noisy, snr = clean.clone(), torch.tensor([20.0, 0.0, -7.5])
    mix(noisy, Mix(torch.tensor([0, 2, 5]), sounds, 10 ** (-snr / 20)))
    added = noisy - clean
    assert not added[[1, 3, 4]].any()
    ratio = 10 * torch.log10(power(clean) / power(added))[[0, 2, 5]]
    torch.testing.assert_close(ratio.float(), snr, rtol=0, atol=1e-3)


def test_silence_is_safe() -> None:
    waves = torch.zeros(2, SAMPLES)
    waves[1] = 0.1
    noise, silence = torch.ones(1, SAMPLES), torch.zeros(1, SAMPLES)
    mix(waves, Mix(torch.tensor([0]), noise, torch.ones(1)))
    mix(waves, Mix(torch.tensor([1]), silence, torch.ones(1)))
    reverberate(waves, Reverberation(torch.tensor([0]), torch.ones(1, 4097, dtype=torch.complex64)))
    limit_peak(waves)
    assert not waves[0].any()
    assert torch.equal(waves[1], torch.full((SAMPLES,), 0.1))


def test_rooms_convolve_without_delay_and_keep_the_energy(sounds: Path, tmp_path: Path) -> None:
    rooms = Rooms(Sounds.open("augment.rooms", [str(sounds / "rooms")], tmp_path / "c", rooms=True))
    response, _ = soundfile.read(sounds / "rooms" / "1.wav")
    clean = 0.1 * torch.randn(3, SAMPLES, generator=torch.Generator().manual_seed(1))
    wet = clean.clone()
    reverberate(wet, Reverberation(torch.tensor([2]), rooms.spectra(np.array([0.5]), SAMPLES)))
    assert torch.equal(wet[:2], clean[:2])
    torch.testing.assert_close(power(wet), power(clean), rtol=1e-5, atol=0)
    wanted = np.convolve(clean[2].numpy(), response[40:] / 0.9)[:SAMPLES]
    wanted *= float(power(clean)[2].sqrt()) / np.sqrt(np.mean(np.square(wanted)))
    difference = wet[2].numpy() - wanted
    assert np.sqrt(np.mean(np.square(difference))) < 0.02 * float(power(clean)[2].sqrt())


@pytest.mark.parametrize("least", [2, 8, 1000, 47_999, 63_999, 64_801])
def test_fast_sizes(least: int) -> None:
    size = fast_size(least)
    rest = size
    for prime in (2, 3, 5):
        while rest % prime == 0:
            rest //= prime
    assert rest == 1
    assert size % 2 == 0
    assert least <= size <= max(2, 1.08 * least)


def test_bands(tmp_path: Path) -> None:
    time = torch.arange(16_000, dtype=torch.float64) / 16_000
    tones = {hz: torch.sin(2 * torch.pi * hz * time).float() for hz in (100, 1000, 5000)}
    everything = sum(tones.values(), torch.zeros(16_000))
    waves = torch.stack([everything, everything])
    people = np.arange(2)

    def bands(low: float, high: float) -> Bands:
        config = AugmentConfig(band=BandConfig(1.0, (low, low), (high, high)))
        plan = Augmenter(config, 0, tmp_path).plan(0, people, slice(0, 1), 16_000, lambda i, p: i)
        assert plan.bands is not None
        return plan.bands

    band_limit(waves, bands(300.0, 3400.0))
    torch.testing.assert_close(waves[0], tones[1000], rtol=0, atol=1e-4)
    assert torch.equal(waves[1], everything)
    band_limit(waves, bands(0.0, 8000.0))
    torch.testing.assert_close(waves[0], tones[1000], rtol=0, atol=1e-4)


def test_peaks_are_scaled_never_cut() -> None:
    waves = torch.tensor([[0.5, -2.0, 1.0], [0.5, -0.5, 1.0]])
    limit_peak(waves)
    assert waves.tolist() == [[0.25, -1.0, 0.5], [0.5, -0.5, 1.0]]


def test_masks_cover_spans_inside_the_utterance() -> None:
    features = torch.rand(2, 10, 8, generator=torch.Generator().manual_seed(2))
    lengths = torch.tensor([10, 5])
    effect = FeatureMasks(
        torch.tensor([[[0.0, 0.5]], [[0.4, 0.999]]]), torch.tensor([[[0.0, 0.5]], [[0.25, 0.0]]])
    )
    masked = mask_features(features, lengths, effect)
    changed = masked != features
    wanted = torch.zeros(2, 10, 8, dtype=torch.bool)
    wanted[1, 3:5] = True  # two of five frames, as late as possible
    wanted[1, :5, :2] = True  # two of eight mels, as low as possible
    assert torch.equal(changed, wanted)
    mean = features[1, :5].mean()
    torch.testing.assert_close(masked[wanted], mean.expand(int(wanted.sum())))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_batch_is_a_function_of_seed_step_and_index(
    name: str, store: Store, sounds: Path, tmp_path: Path
) -> None:
    config = settings(name, sounds)
    first = crops(store, config, tmp_path / "cache")
    whole = first.batch(5)
    assert_same(crops(store, config, tmp_path / "cache").batch(5), whole)
    long = crops(store, config, tmp_path / "cache", DataConfig(4, 3, 3.0))
    assert torch.equal(
        long.batch(1, slice(7, 8)).augmented().waves, long.batch(1).augmented().waves[7:8]
    )
    augmented = whole.augmented()
    assert augmented.waves.shape == whole.waves.shape
    assert float(augmented.waves.abs().max()) <= 1.0
    for start, stop in (
        (0, 5),
        (5, 12),
        (11, 12),
        (0, 1),
        (3, 4),
    ):  # what each of several ranks makes
        part = first.batch(5, slice(start, stop))
        assert torch.equal(part.augmented().waves, augmented.waves[start:stop])
        assert torch.equal(part.waves, whole.waves[start:stop])
        assert torch.equal(part.speakers, whole.speakers[start:stop])
        encoder = LstmEncoder(LstmConfig())
        features, _ = part.features(encoder)
        torch.testing.assert_close(features, whole.features(encoder)[0][start:stop])
    parts = augmented.split(5)
    for column in ("waves", "lengths", "speakers", "rows"):
        joined = torch.cat([getattr(part, column) for part in parts])
        assert torch.equal(joined, getattr(augmented, column))
    if whole.masks is not None:
        times = torch.cat([part.masks.time for part in parts if part.masks is not None])
        assert torch.equal(times, whole.masks.time)
    if name != "none":
        assert not torch.equal(augmented.waves, whole.waves)
        assert not torch.equal(first.batch(6).augmented().waves, augmented.waves)


def test_a_kind_keeps_its_draws_whatever_else_is_on(
    store: Store, sounds: Path, tmp_path: Path
) -> None:
    alone = settings("light", sounds, babble={"probability": 0.0}, gain={"probability": 0.0})
    both = settings("light", sounds)
    plans = [crops(store, config, tmp_path / "c").batch(3).plan for config in (alone, both)]
    assert plans[0] is not None
    assert plans[1] is not None
    assert plans[0].noise is not None
    assert plans[1].noise is not None
    assert plans[0].babble is None
    assert torch.equal(plans[0].noise.sounds, plans[1].noise.sounds)
    assert torch.equal(plans[0].noise.ratios, plans[1].noise.ratios)


def test_babble_is_of_other_people_of_the_batch(tmp_path: Path) -> None:
    config = AugmentConfig(babble=BabbleConfig(1.0, (2, 4)))
    people = np.array([0, 0, 1, 1, 2, 2, 0, 0])  # the last two: the first again, at another speed
    heard: list[int] = []

    def source(item: int, place: float) -> np.ndarray:
        assert 0 <= place < 1
        heard.append(item)
        return np.full(SAMPLES, 100 + item, np.int16)

    augmenter = Augmenter(config, 0, tmp_path)
    for index in range(8):
        heard.clear()
        plan = augmenter.plan(2, people, slice(index, index + 1), SAMPLES, source)
        spoken = people[heard].tolist()
        assert people[index] not in spoken
        assert len(spoken) == len(set(spoken)) == 2, "two others are all there are"
        assert plan.babble is not None
        level = plan.babble.sounds.float()
        torch.testing.assert_close(level, torch.full_like(level, 2.0))


def test_speed_makes_speakers(store: Store, tmp_path: Path) -> None:
    count = len(store.speaker_names)
    plain = WaveCrops(store, np.arange(len(store)), DataConfig(4, 3, 0.5), 7)
    config = AugmentConfig(speed=SpeedConfig((1.0, 0.9, 1.1), as_speakers=True))
    batches = crops(store, config, tmp_path, DataConfig(20, 2, 0.5))
    assert (plain.num_speakers, batches.num_speakers) == (count, 3 * count)
    batch = batches.batch(0)
    own = torch.from_numpy(store.speaker_codes)[batch.rows]
    assert torch.equal(batch.speakers % count, own)
    drawn = {int(number) for step in range(2) for number in batches.batch(step).speakers}
    assert len(drawn) > 2 * count


def test_speed_moves_the_pitch(tmp_path: Path, tone: Callable[..., Wave]) -> None:
    from timbral.audio.preprocessing import Preprocessing
    from timbral.data.corpora.registry import scan_corpus
    from timbral.data.prepared.prepare import prepare

    for name in ("a", "b"):
        for number in range(2):
            (tmp_path / "corpus" / name).mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / "corpus" / name / f"{number}.wav", tone(2.0), 16_000)
    prepare(scan_corpus("folder", tmp_path / "corpus"), tmp_path / "data", Preprocessing())
    store = Store.open(tmp_path / "data")
    for factor in (0.8, 1.25):
        config = AugmentConfig(speed=SpeedConfig((factor,)))
        batch = crops(store, config, tmp_path, DataConfig(2, 2, 1.0)).batch(0)
        loudest = torch.fft.rfft(batch.waves, n=16_000).abs().argmax(dim=1)
        assert batch.waves.shape == (4, 16_000)
        assert loudest.tolist() == [round(220 * factor)] * 4


def test_sounds_are_decoded_once_and_short_ones_repeat(sounds: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    found = Sounds.open("augment.noise", [str(sounds / "noise")], cache)
    assert len(found) == 3
    crop = found.crop(0.0, 0.3, SAMPLES)
    assert np.array_equal(crop[:2000], crop[2000:4000])
    times = {path: path.stat().st_mtime_ns for path in cache.glob("*.pcm")}
    (sounds / "noise" / "broken.wav").write_text("no audio")
    again = Sounds.open("augment.noise", [str(sounds / "noise")], cache)
    assert len(again) == 3
    assert "broken.wav: cannot be read as audio" in again.failures[0]
    assert len(list(cache.glob("*.pcm"))) == 2, "other files, another entry"
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_missing_sounds_end_it_before_the_first_step(
    store: Store, sounds: Path, small_config: Callable[..., TrainConfig], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))
    (sounds / "empty").mkdir()
    (sounds / "bad").mkdir()
    (sounds / "bad" / "a.wav").write_text("no audio")
    for paths, words in (
        ([], "paths names nothing"),
        (["nowhere"], r"augment.noise.paths: nowhere: no such folder; expected are folders"),
        ([str(sounds / "empty")], "no recordings in it"),
        ([str(sounds / "bad")], "none of 1 recordings can be read"),
    ):
        content = {**to_mapping(small_config()), "augment": {"name": "light"}}
        content["augment"] = {"name": "light", "noise": {"paths": paths}}
        config = from_mapping(TrainConfig, content, "test")
        with pytest.raises(DataError, match=words):
            api.train(config, store.folder, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        ("ligth", "unknown preset 'ligth'; did you mean 'light'"),
        ({"noize": {}}, "did you mean 'noise'"),
        ({"noise": {"probability": 2}}, r"augment.noise.probability must be in \[0, 1\]"),
        ({"noise": {"snr_db": [5]}}, r"augment.noise.snr_db takes \[LOW, HIGH\]"),
        ({"noise": {"snr_db": [15, 5]}}, r"takes \[LOW, HIGH\]"),
        ({"name": "light", "noise": 3}, "a mapping is needed, got 3"),
        ({"speed": {"factors": []}}, "takes different numbers"),
        ({"speed": {"factors": [9.0]}}, r"different numbers in \[0.5, 2\]"),
        ({"spec": {"time_share": 1.5}}, "augment.spec.time_share must be in"),
    ],
)
def test_mistakes(augment: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_mapping(TrainConfig, {"augment": augment}, "c")


def test_presets_come_back_and_own_values_win() -> None:
    for name in PRESETS:
        config = from_mapping(TrainConfig, {"augment": name}, "c")
        assert from_mapping(TrainConfig, to_mapping(config), "again") == config
    own = from_mapping(
        TrainConfig, {"augment": {"name": "ddvc", "noise": {"probability": 0.1}}}, "c"
    )
    assert own.augment.noise.probability == 0.1
    assert own.augment.noise.snr_db == own.augment.music.snr_db == (10.0, 15.0)
    assert own.augment.music.probability == own.augment.rooms.probability == 0.6


def test_training_with_everything_on_resumes_exactly(
    store: Store, sounds: Path, small_config: Callable[..., TrainConfig], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))
    config = replace(small_config("tdnn", steps=4), augment=settings("strong", sounds))
    weights = {}
    for name, stops in (("whole", (4,)), ("broken", (2, 4))):
        for steps in stops:
            schedule = replace(config.schedule, steps=steps)
            api.train(
                replace(config, schedule=schedule), store.folder, tmp_path / name,
                validation_speakers="0", device="cpu",
            )  # fmt: skip
        file = tmp_path / name / "checkpoints" / "step-4" / "model.safetensors"
        weights[name] = file.read_bytes()
    assert weights["whole"] == weights["broken"]


def test_gain_alone(store: Store, tmp_path: Path) -> None:
    config = AugmentConfig(gain=GainConfig(1.0, (-6.0, -6.0)))
    batch = crops(store, config, tmp_path).batch(0)
    torch.testing.assert_close(batch.augmented().waves, batch.waves * 10 ** (-0.3))
