"""A student learns a teacher's vectors: the loss, the vectors that are kept, whole trainings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from conftest import SMALL, sections
from timbral import api
from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.weights import build_encoder
from timbral.config.schema import TrainConfig
from timbral.data.augment.augment_config import AugmentConfig, GainConfig, SpeedConfig
from timbral.data.augment.plan import Augmenter
from timbral.data.batches.batch import WaveBatch
from timbral.data.batches.data_config import DataConfig
from timbral.data.batches.wave_crops import WaveCrops
from timbral.data.prepared.mels import PrecomputedMels
from timbral.data.prepared.store import Store
from timbral.encoders.ecapa import EcapaConfig
from timbral.errors import ConfigError, TrainingError
from timbral.losses.distillation import DistillationConfig, DistillationLoss
from timbral.losses.ge2e import GE2EConfig
from timbral.losses.registry import SumConfig, build_loss
from timbral.training import teacher as teacher_module
from timbral.training.distributed import Ranks
from timbral.training.loop import train_step
from timbral.training.state import TrainState
from timbral.training.teacher import TaughtBatches, TaughtCrops, Teacher

B, E = 7, 5
STUDENT = EcapaConfig(16, 24, 8, 8, 2, 16, stride=3)
SPEEDS = (1.0, 0.9)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TIMBRAL_CACHE", str(folder))
    return folder


@pytest.fixture
def teacher(run: Path) -> Path:
    """A tiny TDNN."""
    return run


def student_config(**settings: object) -> TrainConfig:
    return TrainConfig(
        encoder=STUDENT,
        loss=DistillationConfig(relation_weight=0.5),
        data=DataConfig(4, 2, crop_seconds=0.6, max_crop_seconds=1.0),
        augment=AugmentConfig(speed=SpeedConfig(SPEEDS)),
        **sections(
            **{"steps": 6, "learning_rate": 1e-2, "log_every": 1, "save_every": 3, **settings}
        ),
    )


def naive(student: Tensor, target: Tensor, weight: float) -> Tensor:
    def cosine(a: Tensor, b: Tensor) -> Tensor:
        return torch.dot(a, b) / (a.norm() * b.norm())

    loss = sum((1 - cosine(student[i], target[i]) for i in range(B)), torch.zeros(())) / B
    for i in range(B):
        for j in range(B):
            if i != j:
                difference = cosine(student[i], student[j]) - cosine(target[i], target[j])
                loss = loss + weight * difference**2 / (B * (B - 1))
    return loss


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_loss_equals_the_naive_loop(weight: float) -> None:
    torch.manual_seed(0)
    student = torch.randn(B, E, dtype=torch.float64, requires_grad=True)
    target = torch.randn(B, E)
    expected = naive(student, target.double(), weight)
    (wanted,) = torch.autograd.grad(expected, student)
    for dtype in (torch.float64, torch.float32):
        embeddings = student.detach().to(dtype).requires_grad_()
        loss = DistillationLoss(DistillationConfig(weight)).taught(
            embeddings, torch.zeros(B, dtype=torch.long), target
        )
        (grad,) = torch.autograd.grad(loss, embeddings)
        torch.testing.assert_close(loss, expected.to(dtype), atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(grad, wanted.to(dtype), atol=1e-6, rtol=1e-5)


def test_a_sum_hands_the_teacher_to_its_terms() -> None:
    torch.manual_seed(0)
    vectors, target = torch.randn(6, E), torch.randn(6, E)
    speakers = torch.arange(3).repeat_interleave(2)
    terms = (DistillationConfig(1.0), GE2EConfig())
    alone = [build_loss(term, E, 3).taught(vectors, speakers, target) for term in terms]
    summed = build_loss(SumConfig(terms, (1.0, 0.1)), E, 3)
    assert summed.needs_teacher
    assert not build_loss(GE2EConfig(), E, 3).needs_teacher
    expected = alone[0] + 0.1 * alone[1]
    torch.testing.assert_close(summed.taught(vectors, speakers, target), expected)
    with pytest.raises(TrainingError, match="needs a teacher"):
        summed(vectors, speakers)


def test_vectors_are_the_teachers_own_and_kept(
    store: Store, teacher: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher_module, "CHUNK_ROWS", 5)
    rows = np.flatnonzero(np.arange(24) % 3)  # some are not trained on
    embedder = api.load_encoder(teacher, device="cpu")
    asked = Teacher(embedder, SPEEDS)
    counts: list[int] = []
    vectors = asked.vectors(store, rows, Ranks(), lambda done, total: counts.append(total - done))
    assert counts == list(range(len(counts)))[::-1]
    for index, speed in enumerate(SPEEDS):
        chunk = rows[5:10]
        computed = embedder.encode_preprocessed([store.wave(row, speed) for row in chunk.tolist()])
        assert np.array_equal(vectors.of(chunk, np.full(5, index)), computed)
    assert not np.allclose(vectors.of(rows[:3]), vectors.of(rows[:3], np.ones(3, np.int64)))

    files = sorted((cache / "teachers").iterdir())
    assert len(files) == len(counts)
    monkeypatch.setattr(Teacher, "_compute", None)  # all that follows comes from the cache
    again = Teacher(api.load_encoder(teacher, device="cpu"), SPEEDS)
    kept = again.vectors(store, rows[::-1], Ranks(), lambda done, total: None)
    assert np.array_equal(kept.of(rows), vectors.of(rows))
    with pytest.raises(TypeError):  # other recordings are other files
        again.vectors(store, rows[1:], Ranks(), lambda done, total: None)


def test_batches_know_their_recordings_at_their_speeds(store: Store, teacher: Path) -> None:
    rows = np.arange(24)
    asked = Teacher(api.load_encoder(teacher, device="cpu"), SPEEDS)
    vectors = asked.vectors(store, rows, Ranks(), lambda done, total: None)
    for new_speakers in (False, True):
        config = AugmentConfig(speed=SpeedConfig(SPEEDS, new_speakers))
        crops = WaveCrops(store, rows, DataConfig(4, 2, 0.6), 0, Augmenter(config, 0))
        batch = TaughtBatches(crops, vectors).batch(3)
        assert batch.teacher is not None
        assert batch.speeds is not None
        assert set(batch.speeds.tolist()) == {0, 1}
        whole = [
            store.wave(row, SPEEDS[speed])
            for row, speed in zip(batch.rows.tolist(), batch.speeds.tolist(), strict=True)
        ]
        expected = asked.embedder.encode_preprocessed(whole)
        np.testing.assert_allclose(batch.teacher.numpy(), expected, atol=1e-5)
        some = TaughtBatches(crops, vectors).batch(3, slice(2, 5))
        assert some.teacher is not None
        assert torch.equal(some.teacher, batch.teacher[2:5])


def test_crops_are_the_students_own_before_their_augmentation(store: Store, teacher: Path) -> None:
    embedder = api.load_encoder(teacher, device="cpu")
    config = AugmentConfig(speed=SpeedConfig(SPEEDS), gain=GainConfig(probability=1.0))
    crops = WaveCrops(store, np.arange(24), DataConfig(4, 2, 0.6), 0, Augmenter(config, 0))
    batch = TaughtCrops(crops, embedder).batch(3)
    assert isinstance(batch, WaveBatch)
    assert batch.teacher is not None
    expected = embedder.encode_preprocessed(list(batch.waves.numpy()))
    np.testing.assert_allclose(batch.teacher.numpy(), expected, atol=1e-5)
    assert not torch.allclose(batch.augmented().waves, batch.waves)
    some = TaughtCrops(crops, embedder).batch(3, slice(2, 5))
    assert some.teacher is not None
    torch.testing.assert_close(some.teacher, batch.teacher[2:5], atol=1e-5, rtol=0)


@pytest.mark.parametrize("teacher_input", ["recordings", "crops"])
def test_distillation_learns_and_resumes_exactly(
    store: Store, teacher: Path, tmp_path: Path, teacher_input: str
) -> None:
    def train(output: str, steps: int, teacher: Path = teacher) -> None:
        config = student_config(steps=steps, validate_every=steps)
        data = dataclasses.replace(config.data, teacher_input=teacher_input)
        config = dataclasses.replace(config, data=data)
        path = tmp_path / output
        api.train(
            config, store.folder, path, teacher=teacher, validation_speakers=2, device="cpu",
            progress=lambda step, numbers: told.append(numbers),
        )  # fmt: skip

    told: list[Mapping[str, float]] = []
    train("whole", 8)
    train("parts", 5)
    train("parts", 8)
    lines = (tmp_path / "whole/metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert np.mean(losses[-2:]) < 0.9 * np.mean(losses[:2])
    assert told[0] == {}  # the training begins
    if teacher_input == "recordings":
        assert told[1]["teacher_vectors"] == 0.5  # of two files, one a speed
    assert -1 < json.loads(lines[-1])["val_teacher_cosine"] < 1
    whole, parts = (
        safetensors.torch.load_file(tmp_path / name / "checkpoints/step-8/model.safetensors")
        for name in ("whole", "parts")
    )
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    with pytest.raises(TrainingError, match=r"data source\.teacher"):
        train("whole", 8, teacher=tmp_path / "parts")  # any encoder of this size can be one


def test_recordings_without_labels_are_speakers_of_their_own(store: Store) -> None:
    rows = np.flatnonzero(store.speaker_codes == 3)  # one speaker: too few for any batch
    config = DataConfig(4, 2, 0.6)
    with pytest.raises(ConfigError, match="only 1 speaker to train on"):
        WaveCrops(store, rows, config, 0)
    crops = WaveCrops(store, rows, dataclasses.replace(config, recordings_as_speakers=True), 0)
    assert crops.num_speakers == len(rows)
    batch = crops.batch(0)
    assert len(set(batch.rows.tolist())) == 4
    assert torch.equal(batch.rows[::2], batch.rows[1::2])  # two crops of each recording


def test_micro_batches_give_the_gradient_of_the_whole() -> None:
    torch.manual_seed(0)
    encoder = build_encoder(SMALL["lstm"]).double()
    batch = WaveBatch(
        speakers=torch.arange(4).repeat_interleave(2),
        rows=torch.arange(8),
        teacher=torch.randn(8, encoder.embedding_dim),
        waves=torch.randn(8, 8_000).double(),
        lengths=torch.full((8,), 8_000),
    )
    gradients = []
    for size in (None, 3):
        config = student_config(micro_batch_size=size, learning_rate=1e-12)
        state = TrainState.new(config, encoder, build_loss(config.loss, encoder.embedding_dim, 4))
        train_step(state, [batch], Ranks())
        gradients.append(torch.cat([p.grad.ravel() for p in encoder.parameters()]))  # type: ignore[union-attr]
    whole, split = gradients
    assert float((whole - split).norm() / whole.norm()) < 1e-6


def test_what_does_not_fit_is_an_error_before_anything_is_written(
    store: Store, teacher: Path, tmp_path: Path
) -> None:
    config, output = student_config(), tmp_path / "out"
    other_size = dataclasses.replace(config, encoder=dataclasses.replace(STUDENT, embedding_dim=8))
    without = dataclasses.replace(config, loss=GE2EConfig())
    for settings, asked, words in (
        (config, None, "the loss distillation needs a teacher"),
        (without, teacher, "the loss ge2e does not use a teacher"),
        (other_size, teacher, "set encoder.embedding_dim to 16"),
    ):
        with pytest.raises(ConfigError, match=words):
            api.train(settings, store.folder, output, teacher=asked, device="cpu")
    trimmed = Teacher(
        api.load_encoder(teacher, device="cpu").with_inference(Preprocessing("energy")), SPEEDS
    )
    student = api.load_encoder(teacher, device="cpu").network
    with pytest.raises(ConfigError, match="prepare the corpus with those settings"):
        trimmed.check(student, store)
    assert not output.exists()


def test_crops_that_the_teacher_cannot_take_are_an_error(
    store: Store, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Teacher(api.load_encoder(teacher, device="cpu"), SPEEDS)
    config = DataConfig(4, 2, crop_seconds=1.0)
    monkeypatch.setattr(asked.embedder.runtime.network, "min_samples", 20_000)
    with pytest.raises(ConfigError, match=r"needs at least 1\.25 s: make the crops longer"):
        asked.check_crops(config, store)
    asked.check_crops(dataclasses.replace(config, crop_seconds=1.25), store)
    mels = PrecomputedMels.__new__(PrecomputedMels)
    mels.folder = tmp_path
    with pytest.raises(ConfigError, match="needs waves"):
        asked.check_crops(config, mels)
