"""Augmentation: exact ratios, no delay, and draws that depend on (seed, step, index) alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from conftest import make_recordings
from timbral import api
from timbral.audio.decode import Wave
from timbral.config.schema import TrainConfig
from timbral.config.yaml import from_mapping, to_mapping
from timbral.data.augment.augment_config import (
    PRESETS,
    AugmentConfig,
    BabbleConfig,
    BandpassConfig,
    GainConfig,
    SpeedConfig,
)
from timbral.data.augment.effects import (
    Background,
    Bandpass,
    FeatureMasks,
    Reverberation,
    add_background,
    apply_bandpass,
    limit_peak,
    mask_features,
    reverberate,
)
from timbral.data.augment.plan import Augmenter
from timbral.data.augment.rir import RoomImpulseResponses, fast_size
from timbral.data.augment.sound_files import Recordings
from timbral.data.augment.telephone import Telephone, apply_telephone
from timbral.data.batches.batch import WaveBatch
from timbral.data.batches.data_config import DataConfig
from timbral.data.batches.wave_crops import WaveCrops
from timbral.data.prepared.store import Store
from timbral.encoders.lstm import LstmConfig, LstmEncoder
from timbral.errors import ConfigError, DataError

SAMPLES = 4800


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    return make_recordings(tmp_path)


def settings(name: str, recordings: Path, **more: object) -> AugmentConfig:
    """A preset with recordings of noise, music and RIRs."""
    content: dict[str, object] = {"name": name, **more}
    for section in ("noise", "music", "rir"):
        if PRESETS[name].get(section):
            content[section] = {"paths": [str(recordings / section)]}
    return from_mapping(TrainConfig, {"augment": content}, "test").augment


def crops(
    store: Store, config: AugmentConfig, cache: Path, data: DataConfig | None = None
) -> WaveCrops:
    rows = np.arange(len(store))
    return WaveCrops(store, rows, data or DataConfig(4, 3, 0.5), 7, Augmenter(config, 7, cache))


def assert_same(first: WaveBatch, second: WaveBatch) -> None:
    for mine, theirs in zip(leaves(first), leaves(second), strict=True):
        assert torch.equal(mine, theirs)


def leaves(record: object) -> list[torch.Tensor]:
    if isinstance(record, torch.Tensor):
        return [record]
    if not hasattr(record, "__dict__"):
        return []
    return [leaf for value in vars(record).values() for leaf in leaves(value)]


def power(waves: torch.Tensor) -> torch.Tensor:
    return waves.double().square().mean(dim=1)


def test_ratios_are_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = 0.1 * torch.randn(6, SAMPLES, generator=generator)
    noise = (3000 * torch.randn(3, SAMPLES, generator=generator)).to(torch.int16)
    noisy, snr = clean.clone(), torch.tensor([20.0, 0.0, -7.5])
    add_background(noisy, Background(torch.tensor([0, 2, 5]), noise, 10 ** (-snr / 20)))
    added = noisy - clean
    assert not added[[1, 3, 4]].any()
    ratio = 10 * torch.log10(power(clean) / power(added))[[0, 2, 5]]
    torch.testing.assert_close(ratio.float(), snr, rtol=0, atol=1e-3)


def test_silence_is_safe() -> None:
    waves = torch.zeros(2, SAMPLES)
    waves[1] = 0.1
    noise, silence = torch.ones(1, SAMPLES), torch.zeros(1, SAMPLES)
    add_background(waves, Background(torch.tensor([0]), noise, torch.ones(1)))
    add_background(waves, Background(torch.tensor([1]), silence, torch.ones(1)))
    reverberate(waves, Reverberation(torch.tensor([0]), torch.ones(1, 4097, dtype=torch.complex64)))
    limit_peak(waves)
    assert not waves[0].any()
    assert torch.equal(waves[1], torch.full((SAMPLES,), 0.1))


def test_reverberation_keeps_delay_and_energy(recordings: Path, tmp_path: Path) -> None:
    rirs = RoomImpulseResponses.open("augment.rir", [str(recordings / "rir")], tmp_path / "cache")
    response, _ = soundfile.read(recordings / "rir" / "1.wav")
    clean = 0.1 * torch.randn(3, SAMPLES, generator=torch.Generator().manual_seed(1))
    wet = clean.clone()
    reverberate(wet, Reverberation(torch.tensor([2]), rirs.spectra(np.array([0.5]), SAMPLES)))
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


def test_bandpass_removes_what_lies_outside(tmp_path: Path) -> None:
    time = torch.arange(16_000, dtype=torch.float64) / 16_000
    tones = {hz: torch.sin(2 * torch.pi * hz * time).float() for hz in (100, 1000, 5000)}
    everything = sum(tones.values(), torch.zeros(16_000))
    waves = torch.stack([everything, everything])
    speakers = np.arange(2)

    def bandpass(low: float, high: float) -> Bandpass:
        config = AugmentConfig(bandpass=BandpassConfig(1.0, (low, low), (high, high)))
        augmenter = Augmenter(config, 0, tmp_path)
        plan = augmenter.plan(0, speakers, slice(0, 1), 16_000, lambda index, offset: index)
        assert plan.bandpass is not None
        return plan.bandpass

    apply_bandpass(waves, bandpass(300.0, 3400.0))
    torch.testing.assert_close(waves[0], tones[1000], rtol=0, atol=1e-4)
    assert torch.equal(waves[1], everything)
    apply_bandpass(waves, bandpass(0.0, 8000.0))
    torch.testing.assert_close(waves[0], tones[1000], rtol=0, atol=1e-4)


@pytest.mark.parametrize("a_law", [False, True])
def test_telephone(a_law: bool) -> None:
    """As libsndfile's G.711 at 8 kHz, but for the straight segments that the standard has."""
    random = np.random.default_rng(0)
    time = np.arange(8_000) / 8_000
    narrow = sum(0.2 * np.sin(2 * np.pi * hz * time + hz) for hz in (300, 1000, 2700))
    content = io.BytesIO()
    soundfile.write(content, narrow, 8_000, "ALAW" if a_law else "ULAW", format="WAV")
    content.seek(0)
    expected = soundfile.read(content)[0]
    sampled = np.fft.rfft(narrow)
    wave = np.fft.irfft(2 * np.pad(sampled[:-1], (0, 4001)), n=16_000)
    high = 0.1 * np.sin(2 * np.pi * 6000 * np.arange(16_000) / 16_000)  # does not come through
    others = random.standard_normal((2, 16_000))
    waves = torch.from_numpy(np.stack([others[0], wave + high, others[1]])).float()
    alone = waves[1:2].clone()
    apply_telephone(waves, Telephone(torch.tensor([1, 2]), torch.tensor([a_law, not a_law])))
    apply_telephone(alone, Telephone(torch.tensor([0]), torch.tensor([a_law])))
    assert torch.equal(alone[0], waves[1])
    assert torch.equal(waves[0], torch.from_numpy(others[0]).float())
    got = waves[1, ::2].numpy()
    error = np.sqrt(np.mean((got - narrow) ** 2) / np.mean(narrow**2))
    official = np.sqrt(np.mean((expected - narrow) ** 2) / np.mean(narrow**2))
    assert 0.7 * official < error < 1.3 * official


def test_peaks_are_scaled_not_clipped() -> None:
    waves = torch.tensor([[0.5, -2.0, 1.0], [0.5, -0.5, 1.0]])
    limit_peak(waves)
    assert waves.tolist() == [[0.25, -1.0, 0.5], [0.5, -0.5, 1.0]]


def test_masks_stay_inside_the_utterance() -> None:
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
    name: str, store: Store, recordings: Path, tmp_path: Path
) -> None:
    config = settings(name, recordings)
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
    encoder = LstmEncoder(LstmConfig())
    for start, stop in ((0, 5), (5, 12), (11, 12), (0, 1), (3, 4)):  # rows of some process
        some = first.batch(5, slice(start, stop))
        assert torch.equal(some.augmented().waves, augmented.waves[start:stop])
        assert torch.equal(some.waves, whole.waves[start:stop])
        assert torch.equal(some.speakers, whole.speakers[start:stop])
        features, _ = some.features(encoder)
        torch.testing.assert_close(features, whole.features(encoder)[0][start:stop])
    micro_batches = augmented.split(5)
    for column in ("waves", "lengths", "speakers", "rows"):
        joined = torch.cat([getattr(each, column) for each in micro_batches])
        assert torch.equal(joined, getattr(augmented, column))
    if whole.masks is not None:
        times = torch.cat([each.masks.time for each in micro_batches if each.masks is not None])
        assert torch.equal(times, whole.masks.time)
    if name != "none":
        assert not torch.equal(augmented.waves, whole.waves)
        assert not torch.equal(first.batch(6).augmented().waves, augmented.waves)


def test_each_kind_of_augmentation_has_its_own_random_stream(
    store: Store, recordings: Path, tmp_path: Path
) -> None:
    alone = settings("light", recordings, babble={"probability": 0.0}, gain={"probability": 0.0})
    both = settings("light", recordings)
    plans = [crops(store, config, tmp_path / "c").batch(3).plan for config in (alone, both)]
    assert plans[0] is not None
    assert plans[1] is not None
    assert plans[0].noise is not None
    assert plans[1].noise is not None
    assert plans[0].babble is None
    assert torch.equal(plans[0].noise.signals, plans[1].noise.signals)
    assert torch.equal(plans[0].noise.ratios, plans[1].noise.ratios)


def test_babble_is_of_other_speakers_of_the_batch(tmp_path: Path) -> None:
    config = AugmentConfig(babble=BabbleConfig(1.0, (2, 4)))
    speakers = np.array([0, 0, 1, 1, 2, 2, 0, 0])  # the last two: the first at another speed
    drawn: list[int] = []

    def source(index: int, offset: float) -> np.ndarray:
        assert 0 <= offset < 1
        drawn.append(index)
        return np.full(SAMPLES, 100 + index, np.int16)

    augmenter = Augmenter(config, 0, tmp_path)
    for index in range(8):
        drawn.clear()
        plan = augmenter.plan(2, speakers, slice(index, index + 1), SAMPLES, source)
        others = speakers[drawn].tolist()
        assert speakers[index] not in others
        assert len(others) == len(set(others)) == 2, "the batch has two other speakers"
        assert plan.babble is not None
        torch.testing.assert_close(plan.babble.signals, torch.full((1, SAMPLES), 2.0))


def test_babble_of_a_batch_of_one_speaker_is_silence(tmp_path: Path) -> None:
    """A batch of one recorded speaker at two speeds has nobody else to add."""
    augmenter = Augmenter(AugmentConfig(babble=BabbleConfig(1.0)), 0, tmp_path)
    speakers = np.zeros(4, dtype=np.int64)
    plan = augmenter.plan(0, speakers, slice(None), SAMPLES, lambda index, offset: index)
    waves = torch.full((4, SAMPLES), 0.1)
    assert torch.equal(plan.apply(waves), waves)


def test_speeds_make_new_speakers(store: Store, tmp_path: Path) -> None:
    count = len(store.speaker_names)
    plain = WaveCrops(store, np.arange(len(store)), DataConfig(4, 3, 0.5), 7)
    config = AugmentConfig(speed=SpeedConfig((1.0, 0.9, 1.1), new_speakers=True))
    batches = crops(store, config, tmp_path, DataConfig(20, 2, 0.5))
    assert (plain.num_speakers, batches.num_speakers) == (count, 3 * count)
    batch = batches.batch(0)
    own = torch.from_numpy(store.speaker_codes)[batch.rows]
    assert torch.equal(batch.speakers % count, own)
    drawn = {int(number) for step in range(2) for number in batches.batch(step).speakers}
    assert len(drawn) > 2 * count


def test_speed_changes_the_pitch(tmp_path: Path, tone: Callable[..., Wave]) -> None:
    from timbral.audio.preprocessing import Preprocessing
    from timbral.data.corpora.scanning import scan_corpus
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


def test_recordings_are_decoded_once(recordings: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    found = Recordings.open("augment.noise", [str(recordings / "noise")], cache)
    assert len(found) == 3
    crop = found.crop(0.0, 0.3, SAMPLES)
    assert np.array_equal(crop[:2000], crop[2000:4000])
    times = {path: path.stat().st_mtime_ns for path in cache.glob("*.pcm")}
    (recordings / "noise" / "broken.wav").write_text("no audio")
    again = Recordings.open("augment.noise", [str(recordings / "noise")], cache)
    assert len(again) == 3
    assert "broken.wav: cannot be read as audio" in again.failures[0]
    assert len(list(cache.glob("*.pcm"))) == 2, "other files, another entry"
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_missing_recordings_are_an_error_before_the_first_step(
    store: Store, recordings: Path, small_config: Callable[..., TrainConfig], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))
    (recordings / "empty").mkdir()
    (recordings / "bad").mkdir()
    (recordings / "bad" / "a.wav").write_text("no audio")
    for paths, words in (
        ([], "paths is empty"),
        (["nowhere"], r"augment.noise.paths: nowhere: no such folder; give folders"),
        ([str(recordings / "empty")], "contains no recordings"),
        ([str(recordings / "bad")], "none of 1 recordings can be read"),
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
        ({"noise": {"snr_db": [5]}}, r"augment.noise.snr_db must be \[LOW, HIGH\]"),
        ({"noise": {"snr_db": [15, 5]}}, r"must be \[LOW, HIGH\]"),
        ({"name": "light", "noise": 3}, "a mapping is needed, got 3"),
        ({"speed": {"factors": []}}, "must be different numbers"),
        ({"speed": {"factors": [9.0]}}, r"different numbers in \[0.5, 2\]"),
        ({"spec_augment": {"max_time_fraction": 1.5}}, "spec_augment.max_time_fraction must be in"),
        ({"name": ["light"]}, "unknown preset"),
    ],
)
def test_mistakes_are_explained(augment: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_mapping(TrainConfig, {"augment": augment}, "c")


def test_presets_survive_a_round_trip_and_own_values_win() -> None:
    for name in PRESETS:
        config = from_mapping(TrainConfig, {"augment": name}, "c")
        assert from_mapping(TrainConfig, to_mapping(config), "again") == config
    own = from_mapping(
        TrainConfig, {"augment": {"name": "ddvc", "noise": {"probability": 0.1}}}, "c"
    )
    assert own.augment.noise.probability == 0.1
    assert own.augment.noise.snr_db == own.augment.music.snr_db == (10.0, 15.0)
    assert own.augment.music.probability == own.augment.rir.probability == 0.6


def test_training_with_strong_augmentation_resumes_exactly(
    store: Store, recordings: Path, small_config: Callable[..., TrainConfig], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))
    config = replace(small_config("tdnn", steps=4), augment=settings("strong", recordings))
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


def test_gain_changes_the_level_only(store: Store, tmp_path: Path) -> None:
    config = AugmentConfig(gain=GainConfig(1.0, (-6.0, -6.0)))
    batch = crops(store, config, tmp_path).batch(0)
    torch.testing.assert_close(batch.augmented().waves, batch.waves * 10 ** (-0.3))
