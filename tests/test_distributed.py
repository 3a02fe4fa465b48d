"""Several processes give what one gives: exactly the loss of the whole batch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from torch import Tensor, nn

from conftest import SMALL, make_recordings, sections
from timbral import api
from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.weights import build_encoder
from timbral.config.schema import TrainConfig
from timbral.config.yaml import from_mapping, to_mapping
from timbral.data.augment.augment_config import AugmentConfig
from timbral.data.augment.plan import Augmenter
from timbral.data.batches.batch import WaveBatch
from timbral.data.batches.data_config import DataConfig
from timbral.data.batches.wave_crops import WaveCrops
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.lstm import LstmConfig
from timbral.errors import ConfigError, TrainingError
from timbral.losses.ge2e import GE2EConfig
from timbral.losses.margin import AamConfig
from timbral.losses.registry import SumConfig, build_loss
from timbral.training.distributed import Ranks, joined, sync_batch_norm
from timbral.training.launch import check_processes, launch
from timbral.training.loop import train_step
from timbral.training.state import TrainState

Make = Callable[..., TrainConfig]
Trained = dict[str, dict[str, np.ndarray]]
SPEAKERS, UTTERANCES = 5, 3


class Toy(SpeakerEncoder):
    """Energies of sixteen pieces of the signal, two linear layers."""

    name = "toy"

    def __init__(self) -> None:
        super().__init__(config=None)
        self.layers = nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 8))

    def features(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return waves.unflatten(1, (-1, 16)).square().mean(dim=1)[:, None], lengths

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        embeddings: Tensor = self.layers(features[:, 0])
        return embeddings


@dataclass(frozen=True)
class Case:
    """One training, the same for any number of processes."""

    encoder: Any
    dtype: torch.dtype = torch.float64
    loss: Any = field(default_factory=GE2EConfig)
    steps: int = 10
    sgd: bool = False
    micro_batch_size: int | None = None
    augmented: bool = False
    """crops of a store, with noise, RIRs and the like, instead of made-up batches"""
    local_loss: bool = False
    """what DDP does when nobody gathers the embeddings"""


LSTM = LstmConfig(num_layers=2, hidden_size=12, embedding_dim=8)
BOTH = SumConfig((GE2EConfig(gradient_scale=1.0), AamConfig(sub_centers=2)), (1.0, 0.5))
CASES = {
    "lstm": Case(LSTM),
    "lstm-sgd-float32": Case(LSTM, torch.float32, sgd=True),
    "lstm-micro-batches": Case(LSTM, micro_batch_size=2),
    "toy": Case(None),
    "toy-sgd-float32": Case(None, torch.float32, sgd=True),
    "loss-with-weights": Case(None, loss=BOTH),
    "batch-norm-ragged": Case(SMALL["tdnn"]),
    "campplus": Case(SMALL["campplus"], steps=3),
    "ecapa": Case(SMALL["ecapa"], steps=3),
    "augmented": Case(LSTM, augmented=True),
    "augmented-sgd-float32": Case(LSTM, torch.float32, sgd=True, augmented=True),
    "local-loss": Case(LSTM, local_loss=True),
}


def make_batch(step: int, dtype: torch.dtype, rows: slice) -> WaveBatch:
    """Ragged noise with a tone for each speaker, from (step, index) alone."""
    index = torch.arange(SPEAKERS * UTTERANCES)[rows]
    speakers = (index // UTTERANCES + step) % 7
    lengths = 3600 - 160 * ((index * 7 + step) % 9)
    time = torch.arange(3600) / 16_000
    waves = torch.stack([
        0.1 * torch.sin(2 * torch.pi * (200 + 80 * int(speaker)) * time)
        + 0.1 * torch.from_numpy(np.random.default_rng([step, int(i)]).standard_normal(3600))
        for i, speaker in zip(index, speakers, strict=True)
    ])  # fmt: skip
    return WaveBatch(
        waves=waves.to(dtype), lengths=lengths, speakers=speakers, rows=torch.arange(len(waves))
    )


def make_augmented(store: Path) -> Callable[[int, torch.dtype, slice], WaveBatch]:
    """Crops of a store's voices, each changed in every way there is."""
    values = {
        "speed": {"factors": [1.0, 0.9, 1.1], "new_speakers": True},
        "rir": {"paths": [str(store.parent / "rir")], "probability": 0.6},
        "music": {"paths": [str(store.parent / "music")], "probability": 0.6},
        "babble": {"probability": 0.6},
        "noise": {"paths": [str(store.parent / "noise")], "probability": 0.6},
        **{
            name: {"probability": 0.6} for name in ("bandpass", "telephone", "gain", "spec_augment")
        },
    }
    augmenter = Augmenter(from_mapping(AugmentConfig, values, "augment"), 3, store.parent / "cache")
    opened = Store.open(store)
    data = DataConfig(SPEAKERS, UTTERANCES, 0.5)
    crops = WaveCrops(opened, np.arange(len(opened)), data, 3, augmenter)

    def make(step: int, dtype: torch.dtype, rows: slice) -> WaveBatch:
        batch = crops.batch(step, rows).augmented()
        return replace(batch, waves=batch.waves.to(dtype))

    return make


def train(case: Case, ranks: Ranks, store: Path) -> dict[str, np.ndarray]:
    """All parameters, and the running statistics, after the steps."""
    torch.manual_seed(0)
    encoder = Toy() if case.encoder is None else build_encoder(case.encoder)
    loss_fn = build_loss(case.loss, 8 if case.encoder in (None, LSTM) else 16, 7)
    config = TrainConfig(
        data=DataConfig(SPEAKERS, UTTERANCES),
        **sections(steps=case.steps, learning_rate=1e-2, micro_batch_size=case.micro_batch_size),
    )
    state = TrainState.new(config, encoder.to(case.dtype), loss_fn.to(case.dtype))
    if case.sgd:
        parameters = [*encoder.parameters(), *loss_fn.parameters()]
        state.optimizer = torch.optim.SGD([{"params": parameters, "lr_scale": 1.0}], momentum=0.9)
    rows = ranks.rows(SPEAKERS, UTTERANCES).rows
    sync_batch_norm(encoder, ranks)
    if case.local_loss and ranks.count > 1:
        train_on_local_losses(state, case.steps, rows)
    else:
        make = make_augmented(store) if case.augmented else make_batch
        for step in range(case.steps):
            batch = make(step, case.dtype, rows)
            train_step(state, [batch], ranks)
    modules = state.modules().items()
    return {f"{name}.{key}": v.numpy() for name, m in modules for key, v in m.state_dict().items()}


def train_on_local_losses(state: Any, steps: int, rows: slice) -> None:
    parallel = nn.parallel.DistributedDataParallel(state.encoder)
    for step in range(steps):
        batch = make_batch(step, torch.float64, rows)
        state.optimizer.zero_grad()
        state.loss_fn(parallel(batch.waves, batch.lengths), batch.speakers).backward()
        torch.nn.utils.clip_grad_norm_(state.encoder.parameters(), 3.0)
        for group in state.optimizer.param_groups:
            group["lr"] = 1e-2
        state.optimizer.step()


def train_cases(names_and_store: tuple[list[str], Path], report: Any) -> Trained:
    names, store = names_and_store
    torch.set_num_threads(1)
    with joined(torch.device("cpu")) as ranks:
        return {name: train(CASES[name], ranks, store) for name in names}


@pytest.fixture(scope="module")
def augmented(voices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, beside what it is augmented with."""
    store = make_recordings(tmp_path_factory.mktemp("augmented")) / "store"
    prepare(scan_corpus("folder", voices), store, Preprocessing())
    return store


@pytest.fixture(scope="module")
def trained(augmented: Path) -> dict[int, Trained]:
    """The cases by one and two processes; speakers of each batch lie on both."""
    return {
        1: train_cases((list(CASES), augmented), None),
        2: launch(2, train_cases, (list(CASES), augmented), lambda step, values: None),
    }


def assert_same(one: Trained, other: Trained, name: str) -> None:
    bound = 1e-5 if CASES[name].dtype == torch.float32 else 1e-9
    for key, values in one[name].items():
        assert np.abs(values - other[name][key]).max() < bound, key


@pytest.mark.parametrize("name", [name for name in CASES if name != "local-loss"])
def test_two_processes_give_what_one_gives(trained: dict[int, Trained], name: str) -> None:
    assert_same(trained[1], trained[2], name)


@pytest.mark.slow
def test_four_processes_give_what_one_gives(trained: dict[int, Trained], augmented: Path) -> None:
    by_four = launch(4, train_cases, (list(CASES), augmented), lambda step, values: None)
    for name in CASES:
        if name != "local-loss":
            assert_same(trained[1], by_four, name)


def test_local_losses_give_other_weights(trained: dict[int, Trained]) -> None:
    """The check above tells: with a loss of each process's own speakers it fails by far."""
    one, two = (trained[count]["local-loss"]["encoder.linear.weight"] for count in (1, 2))
    assert np.abs(one - two).max() > 1e-3


def test_rows_of_ranks_are_whole_speakers_and_make_up_the_batch(store: Store) -> None:
    crops = WaveCrops(store, np.arange(len(store)), DataConfig(5, 3, 0.8), seed=3)
    whole = crops.batch(7)
    for count in (1, 2, 4):
        slices = [Ranks(rank, count).rows(5, 3) for rank in range(count)]
        batches = [crops.batch(7, own.rows) for own in slices]
        assert torch.equal(torch.cat([batch.waves for batch in batches]), whole.waves)
        assert torch.equal(torch.cat([batch.speakers for batch in batches]), whole.speakers)
        assert {own.largest for own in slices} == {max(map(len, batches))}
    with pytest.raises(ConfigError, match="each needs at least one speaker"):
        Ranks(0, 6).rows(5, 3)


def test_torchs_batch_norm_is_refused() -> None:
    encoder = Toy()
    encoder.layers.append(nn.BatchNorm1d(8))
    sync_batch_norm(encoder, Ranks())
    with pytest.raises(TrainingError, match=r"Toy\.layers\.3 is torch's BatchNorm1d"):
        sync_batch_norm(encoder, Ranks(0, 2))


def fail(rank_and_how: tuple[int, str], report: Any) -> None:
    with joined(torch.device("cpu")) as ranks:
        if ranks.rank == rank_and_how[0]:
            if rank_and_how[1] == "mistake":
                raise ConfigError("a mistake")
            if rank_and_how[1] == "bug":
                raise KeyError("a bug")
            os.kill(os.getpid(), signal.SIGKILL)
        ranks.all_reduce_max(1.0)


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        pytest.param("mistake", ConfigError, "^a mistake$", marks=pytest.mark.slow),
        ("bug", TrainingError, r"process 1 failed \(KeyError: 'a bug'\).*worker_1\.log"),
        pytest.param(
            "kill", TrainingError, r"process 1 failed \(killed by SIGKILL\)", marks=pytest.mark.slow
        ),
    ],
)
def test_a_process_that_fails_ends_the_run(how: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        launch(2, fail, (1, how), lambda step, values: None)


def test_impossible_numbers_of_processes_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    with pytest.raises(ConfigError, match="must be 1 or more"):
        check_processes(0, cpu)
    with pytest.raises(ConfigError, match="need a GPU each"):
        check_processes(100, torch.device("cuda"))
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ConfigError, match="torchrun has already started them"):
        check_processes(2, cpu)


def weights(run: Path, step: int) -> dict[str, Tensor]:
    folder = run / "checkpoints" / f"step-{step}"
    tensors: dict[str, Tensor] = safetensors.torch.load_file(folder / "model.safetensors")
    return tensors


def command(tmp_path: Path, config: TrainConfig, store: Store, run: str) -> list[str]:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(to_mapping(config)))
    words = ["-m", "timbral", "train", str(path), "--data", str(store.folder)]
    return [
        *words,
        "--output",
        str(tmp_path / run),
        "--validation-speakers",
        "2",
        "--device",
        "cpu",
    ]


@pytest.mark.slow
def test_two_processes_killed_at_any_moment(
    store: Store, small_config: Make, tmp_path: Path
) -> None:
    """SIGKILL of the parent, then of one process; the weights are those of an unbroken run."""
    config = small_config("tdnn", steps=60, save_every=10, validate_every=20)
    config = replace(config, optimizer=replace(config.optimizer, ema=0.9))
    words = [sys.executable, *command(tmp_path, config, store, "broken"), "--workers", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = tmp_path / "broken"
    for stop in (13, 37):
        process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
        victim = None
        while process.poll() is None:
            path = run / "metrics.jsonl"
            if victim is None and path.exists() and len(path.read_text().splitlines()) >= stop:
                log = (run / "worker_1.log").read_text()
                victim = process.pid if stop == 13 else int(log.rpartition(" pid ")[2].split()[0])
                os.kill(victim, signal.SIGKILL)
        message = process.communicate()[1]
        assert process.returncode == (-signal.SIGKILL if stop == 13 else 2)
        assert stop == 13 or "process 1 failed (killed by SIGKILL)" in message
    done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    assert "resumed from step" in done.stdout
    torch.set_num_threads(1)
    whole = api.train(
        config, store.folder, tmp_path / "whole", validation_speakers="2", device="cpu", workers=2
    )
    torch.set_num_threads(2)
    for key, tensor in weights(tmp_path / "whole", 60).items():
        assert torch.equal(tensor, weights(run, 60)[key]), key
    assert whole.validation_eer is not None
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 61))


@pytest.mark.slow
def test_torchrun(store: Store, small_config: Make, tmp_path: Path) -> None:
    """torchrun's processes do the same as those of --workers; one of them speaks."""
    config = small_config("lstm", steps=4)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    words = command(tmp_path, config, store, "torchrun")
    done = subprocess.run(
        [*torchrun, *words], env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.count("4 steps in") == 1
    words = [sys.executable, *command(tmp_path, config, store, "nprocs"), "--workers", "2"]
    subprocess.run(words, env=environment, check=True, capture_output=True)
    for key, tensor in weights(tmp_path / "torchrun", 4).items():
        assert torch.equal(tensor, weights(tmp_path / "nprocs", 4)[key]), key


@pytest.mark.slow
def test_four_processes_of_torchrun_convert_weights_for_the_first_time(
    store: Store, small_config: Make, tmp_path: Path
) -> None:
    """The cache is empty: one converts, the others wait; none misses the last checkpoint."""
    weights_file = Path(__file__).parent / "golden" / "paddle-tiny.pdparams"
    config = replace(small_config(steps=1), encoder=LstmConfig(2, 24, 16))
    environment = {**os.environ, "TIMBRAL_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "4"]
    words = [*command(tmp_path, config, store, "run"), "--init", str(weights_file)]
    result = subprocess.run(
        [*torchrun, *words], env=environment, check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert weights(tmp_path / "run", 1)
    converted = [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    assert len(converted) == 1
