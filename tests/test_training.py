"""Training: it learns, it is deterministic, it resumes exactly where it was killed."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
import yaml

from conftest import SMALL, sections
from timbral import api
from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.checkpoint import find_checkpoint
from timbral.config.schema import ScheduleConfig, TrainConfig
from timbral.config.yaml import to_mapping
from timbral.data.batches.data_config import DataConfig
from timbral.data.batches.prefetch import prefetch
from timbral.data.batches.selection import split_speakers
from timbral.data.batches.wave_crops import WaveCrops
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.errors import ConfigError, DataError, MissingExtraError, TrainingError
from timbral.io.locks import folder_lock
from timbral.training.optim import lr_at

Make = Callable[..., TrainConfig]


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    folder = run / "checkpoints" / f"step-{step}"
    tensors: dict[str, torch.Tensor] = safetensors.torch.load_file(folder / "model.safetensors")
    return tensors


def assert_same_weights(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for key, tensor in first.items():
        assert torch.equal(tensor, second[key]), key


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("encoder", "accumulate"), [*((name, 1) for name in sorted(SMALL)), ("tdnn", 2)]
)
def test_resumed_training_equals_uninterrupted_training(
    encoder: str, accumulate: int, store: Store, small_config: Make, tmp_path: Path
) -> None:
    config = small_config(encoder, gradient_accumulation_steps=accumulate)
    unbroken = api.train(
        config, store.folder, tmp_path / "a", validation_speakers="2", device="cpu"
    )
    assert unbroken.step == 6
    half = dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, steps=3))
    api.train(half, store.folder, tmp_path / "b", validation_speakers="2", device="cpu")
    resumed = api.train(config, store.folder, tmp_path / "b", validation_speakers="2", device="cpu")
    assert resumed.resumed_from == 3
    assert_same_weights(weights(tmp_path / "a", 6), weights(tmp_path / "b", 6))

    def timeless(rows: list[dict[str, float]]) -> list[dict[str, float]]:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]

    assert timeless(metrics(tmp_path / "a")) == timeless(metrics(tmp_path / "b"))
    assert [row["step"] for row in metrics(tmp_path / "b")] == [1, 2, 3, 4, 5, 6]


def test_another_seed_gives_another_run(store: Store, small_config: Make, tmp_path: Path) -> None:
    for seed in (0, 1):
        config = small_config(steps=1, seed=seed)
        api.train(config, store.folder, tmp_path / str(seed), validation_speakers="0", device="cpu")
    first, second = weights(tmp_path / "0", 1), weights(tmp_path / "1", 1)
    assert not torch.equal(first["encoder.linear.weight"], second["encoder.linear.weight"])


@pytest.mark.parametrize("stops", [(3,), pytest.param((1, 4, 7, 9), marks=pytest.mark.slow)])
def test_killed_at_any_moment(
    stops: tuple[int, ...], store: Store, small_config: Make, tmp_path: Path
) -> None:
    """SIGKILL after some of ten steps; the weights are those of one run."""
    config = small_config("tdnn", steps=10, save_every=2, validate_every=4)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(to_mapping(config)))

    def go(run: str) -> None:
        api.train(
            tmp_path / "c.yaml", store.folder, tmp_path / run, validation_speakers=2, device="cpu"
        )

    options = ["--data", str(store.folder), "--output", str(tmp_path / "broken")]
    command = [sys.executable, "-m", "timbral", "train", str(tmp_path / "c.yaml"), *options]
    command += ["--validation-speakers", "2", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    go("whole")
    for stop in stops:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        path = tmp_path / "broken" / "metrics.jsonl"
        while process.poll() is None:
            if path.exists() and len(path.read_text().splitlines()) >= stop:
                process.send_signal(signal.SIGKILL)
                process.wait()
            time.sleep(0.01)
        assert process.returncode == -signal.SIGKILL
    (tmp_path / "broken" / "checkpoints" / ".step-8.writing").mkdir(exist_ok=True)
    with pytest.warns(UserWarning, match="left incomplete by a killed run and is ignored"):
        go("broken")
    assert_same_weights(weights(tmp_path / "whole", 10), weights(tmp_path / "broken", 10))
    best = [tmp_path / name / "checkpoints" / "best" for name in ("whole", "broken")]
    assert best[0].read_text() == best[1].read_text()
    assert [row["step"] for row in metrics(tmp_path / "broken")] == list(range(1, 11))
    assert not list((tmp_path / "broken" / "checkpoints").glob(".*"))


def test_training_lowers_the_loss(store: Store, tmp_path: Path) -> None:
    config = TrainConfig(
        encoder=SMALL["tdnn"],
        data=DataConfig(speakers_per_batch=6, utterances_per_speaker=4, crop_seconds=1.0),
        **sections(steps=40, learning_rate=5e-3, log_every=1),
    )
    api.train(config, store.folder, tmp_path / "run", validation_speakers="0", device="cpu")
    losses = [row["loss"] for row in metrics(tmp_path / "run")]
    assert np.mean(losses[-5:]) < 0.4 * np.mean(losses[:5])


def test_run_folder(run: Path) -> None:
    assert sorted(path.name for path in run.iterdir()) == [
        ".lock", "README.md", "checkpoints", "config.yaml", "metrics.jsonl", "run.json",
        "worker_0.log",
    ]  # fmt: skip
    best = (run / "checkpoints" / "best").read_text().strip()
    assert find_checkpoint(run).folder.name == best
    files = sorted(path.name for path in (run / "checkpoints" / best).iterdir())
    assert files == ["checkpoint.json", "model.safetensors", "optimizer.safetensors"]
    assert "val_eer" in metrics(run)[0]


def test_without_its_pointer_a_run_resumes_from_the_newest_checkpoint(
    store: Store, small_config: Make, tmp_path: Path
) -> None:
    for steps in (2, 4):
        config = small_config(steps=steps, save_every=1)
        done = api.train(config, store.folder, tmp_path, validation_speakers="0", device="cpu")
        assert done.resumed_from == (0 if steps == 2 else 2)
        (tmp_path / "checkpoints" / "last").unlink()


def test_old_checkpoints_are_deleted(store: Store, small_config: Make, tmp_path: Path) -> None:
    config = small_config(steps=6, save_every=1, keep_last_n=2, validate_every=1)
    api.train(config, store.folder, tmp_path / "run", validation_speakers="2", device="cpu")
    left = {path.name for path in (tmp_path / "run" / "checkpoints").glob("step-*")}
    best = (tmp_path / "run" / "checkpoints" / "best").read_text().strip()
    assert left == {"step-5", "step-6", best}


def test_every_step_is_reported(store: Store, small_config: Make, tmp_path: Path) -> None:
    """First the one from which training begins; numbers only if they are due."""
    told: list[tuple[int, bool]] = []
    api.train(
        small_config(steps=4, log_every=3), store.folder, tmp_path / "r",
        validation_speakers=0, device="cpu",
        progress=lambda step, numbers: told.append((step, "loss" in numbers)),
    )  # fmt: skip
    assert told == [(0, False), (1, False), (2, False), (3, True), (4, True)]


def test_other_settings_are_refused_and_restart_renames_the_run(
    store: Store, small_config: Make, tmp_path: Path
) -> None:
    def go(config: TrainConfig, **options: bool) -> api.TrainSummary:
        run = tmp_path / "run"
        return api.train(
            config, store.folder, run, validation_speakers="0", device="cpu", **options
        )

    go(small_config(steps=1))
    with pytest.raises(TrainingError, match=r"optimizer\.learning_rate +0\.001 +0\.5") as refused:
        go(small_config(steps=1, learning_rate=0.5))
    assert "`checkpoint_path` can resume from that run's last checkpoint" in str(refused.value)
    moved = go(small_config(steps=1, learning_rate=0.5), force_restart=True).previous_run
    assert moved == tmp_path / "run.1"
    assert moved is not None
    assert (moved / "checkpoints" / "step-1").is_dir()
    shutil.rmtree(tmp_path / "run" / "checkpoints")  # as if killed before the first one
    with pytest.raises(TrainingError) as refused:
        go(small_config(steps=1))
    assert "choose another output, or rename that run" in str(refused.value)
    assert "checkpoint_path" not in str(refused.value)
    assert go(small_config(steps=1, learning_rate=0.5), force_restart=True).previous_run == (
        tmp_path / "run.2"
    )
    assert go(small_config(steps=1, learning_rate=0.5)).step == 1, "a finished run is left alone"
    with folder_lock(tmp_path / "run"), pytest.raises(DataError, match="another timbral process"):
        go(small_config(steps=1), force_restart=True)
    (tmp_path / "run" / "run.json").unlink()
    with pytest.raises(TrainingError, match="does not contain a run"):
        go(small_config(steps=1), force_restart=True)


def test_training_leaves_the_process_as_it_was(
    store: Store, small_config: Make, tmp_path: Path
) -> None:
    torch.manual_seed(7)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.set_flush_denormal(False)
    api.train(small_config(steps=1), str(store.folder), str(tmp_path / "a"), device="cpu")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert (torch.tensor(1e-40) * 1).item() > 0
    with pytest.raises(ConfigError):  # nor does an error change anything
        api.train(small_config(), store.folder, tmp_path / "b", trackers=["x"])
    assert torch.equal(torch.get_rng_state(), state)
    assert (torch.tensor(1e-40) * 1).item() > 0


def test_a_damaged_run_json_is_an_error(store: Store, small_config: Make, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"config": {}, "data": {"speakers": 3}}')
    with pytest.raises(TrainingError, match=r"run\.json: does not describe a run"):
        api.train(small_config(), store.folder, tmp_path, validation_speakers="0", device="cpu")


def test_other_preprocessing_is_other_data(
    store: Store, voices: Path, small_config: Make, tmp_path: Path
) -> None:
    config = small_config(steps=1)
    api.train(config, store.folder, tmp_path / "run", validation_speakers="0", device="cpu")
    other = tmp_path / "other"
    prepare(scan_corpus("folder", voices), other, Preprocessing(trim="energy"))
    with pytest.raises(TrainingError, match=r"preprocessing\.trim +none +energy"):
        api.train(config, other, tmp_path / "run", validation_speakers="0", device="cpu")


def test_too_short_utterances_are_left_out(
    small_config: Make, tmp_path: Path, tone: Callable[..., np.ndarray]
) -> None:
    for speaker in range(4):
        folder = tmp_path / "corpus" / str(speaker)
        folder.mkdir(parents=True)
        soundfile.write(folder / "short.wav", tone(0.05), 16_000)
        for number in range(2):
            noise = 0.01 * np.random.default_rng([speaker, number]).standard_normal(16_000)
            soundfile.write(folder / f"{number}.wav", tone(1.0) + noise, 16_000)
    prepare(scan_corpus("folder", tmp_path / "corpus"), tmp_path / "data", Preprocessing())
    done = api.train(
        small_config(steps=1), tmp_path / "data", tmp_path / "r", validation_speakers="0",
        device="cpu",
    )  # fmt: skip
    assert done.num_too_short == 4


def test_mistakes_leave_no_run_folder(store: Store, small_config: Make, tmp_path: Path) -> None:
    """The command can be corrected and given again."""
    with pytest.raises(ConfigError, match="unknown tracker"):
        api.train(small_config(), store.folder, tmp_path / "run", trackers=["x"])
    big = dataclasses.replace(small_config(), data=DataConfig(9, 3, 0.8))
    with pytest.raises(ConfigError, match="only 8 speakers"):
        api.train(big, store.folder, tmp_path / "run", validation_speakers="0", device="cpu")
    assert not (tmp_path / "run").exists()


def test_time_limit_ends_with_a_checkpoint(
    store: Store, small_config: Make, tmp_path: Path
) -> None:
    config = small_config(steps=10_000, max_minutes=1e-9)
    for _ in range(2):
        done = api.train(
            config, store.folder, tmp_path / "r", validation_speakers="0", device="cpu"
        )
        assert done.step == 1
    assert done.checkpoint.name == "step-1"


def test_excluded_speakers_are_never_read(
    store: Store, small_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = sorted(store.speaker_names)
    (tmp_path / "out.txt").write_text("\n".join(names[:2]) + "\n")
    (tmp_path / "val.txt").write_text("\n".join(names[2:4]) + "\n")
    read: set[str] = set()
    pcm = Store.pcm

    def recording(self: Store, row: int, *rest: int) -> np.ndarray:
        read.add(self.speaker_names[self.speaker_codes[row]])
        return pcm(self, row, *rest)

    monkeypatch.setattr(Store, "pcm", recording)
    api.train(
        small_config(),
        store.folder,
        tmp_path / "run",
        exclude_speakers=tmp_path / "out.txt",
        validation_speakers=str(tmp_path / "val.txt"),
        device="cpu",
    )
    assert read == set(names[2:])
    training, validation = split_speakers(store, tmp_path / "out.txt", str(tmp_path / "val.txt"))
    assert {store.speaker_names[code] for code in store.speaker_codes[training]} == set(names[4:])
    assert {store.speaker_names[code] for code in store.speaker_codes[validation]} == set(
        names[2:4]
    )


@pytest.mark.parametrize(
    ("exclude", "validation", "words"),
    [
        ("nobody", "0", "1 of 1 listed speakers are not in the data, such as 'nobody'"),
        ("", "0", "contains no speaker"),
        (None, "8", "hold out all 8 speakers"),
        (None, "10", "hold out all 8 speakers"),
        (None, "1", "at least two are needed"),
        (None, "missing.txt", "cannot be read"),
        ("ALL", "0", "excludes every speaker"),
    ],
)
def test_speaker_list_mistakes(
    store: Store, tmp_path: Path, exclude: str | None, validation: str, words: str
) -> None:
    path = None
    if exclude is not None:
        path = tmp_path / "list.txt"
        path.write_text("\n".join(sorted(store.speaker_names)) if exclude == "ALL" else exclude)
    with pytest.raises(DataError, match=words):
        split_speakers(store, path, validation)


def test_auto_validation(store: Store) -> None:
    training, validation = split_speakers(store, None, "auto")
    assert validation.size == 0, "eight speakers are too few to give any up"
    assert training.size == len(store)


def test_divergence_is_an_error(store: Store, small_config: Make, tmp_path: Path) -> None:
    config = small_config("tdnn", learning_rate=1e30, steps=50)
    with pytest.raises(TrainingError, match="not finite"):
        api.train(config, store.folder, tmp_path / "r", validation_speakers="0", device="cpu")


@pytest.mark.parametrize("broken", ["weights", "vectors"])
def test_nothing_that_is_not_finite_is_validated_or_saved(
    store: Store, small_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    step = torch.optim.Adam.step

    def overflow(self: torch.optim.Optimizer, *given: object) -> object:
        result = step(self, *given)
        if broken == "weights":
            self.param_groups[0]["params"][0].data.fill_(math.inf)
        return result

    monkeypatch.setattr(torch.optim.Adam, "step", overflow)
    if broken == "vectors":
        nothing = np.full((99, 8), np.nan, np.float32)
        monkeypatch.setattr(Store, "embed", lambda data, embedder, rows: nothing[: len(rows)])
    config = small_config("tdnn", validate_every=1)
    with pytest.raises(TrainingError, match=f"training diverged by step 1: {broken} of"):
        api.train(config, store.folder, tmp_path / "r", validation_speakers="2", device="cpu")
    assert not list(tmp_path.glob("r/checkpoints/*"))


def test_batches_do_not_depend_on_prefetching(store: Store) -> None:
    crops = WaveCrops(store, np.arange(len(store)), DataConfig(4, 3, 0.8), seed=3)
    ahead = prefetch(crops.batches(5))
    for step in (5, 6, 7):
        batch, again = next(ahead), crops.batch(step)
        assert torch.equal(batch.waves, again.waves)
        assert torch.equal(batch.speakers, again.speakers)
    assert not torch.equal(crops.batch(8).waves, crops.batch(9).waves)


def test_short_utterances_are_repeated(store: Store) -> None:
    batch = WaveCrops(store, np.arange(len(store)), DataConfig(4, 3, 30.0), seed=3).batch(0)
    assert batch.waves.shape == (12, 480_000)
    assert batch.lengths.tolist() == [480_000] * 12
    lengths = store.samples.tolist()
    for wave in batch.waves:
        assert any(torch.equal(wave[:1000], wave[n : n + 1000]) for n in lengths)


def test_learning_rate() -> None:
    constant = ScheduleConfig(steps=100, warmup_steps=9)
    assert [lr_at(step, 1.0, constant) for step in (0, 4, 9, 99)] == [0.1, 0.5, 1.0, 1.0]
    cosine = ScheduleConfig(steps=100, decay="cosine")
    assert lr_at(0, 1.0, cosine) == 1.0
    assert lr_at(50, 1.0, cosine) == pytest.approx(0.5)
    assert lr_at(100, 1.0, cosine) == pytest.approx(0.0)


def test_unknown_tracker_and_device(store: Store, small_config: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'tensorboard'"):
        api.train(small_config(), store.folder, tmp_path / "r", trackers=["tensorbord"])
    with pytest.raises(ConfigError, match="unknown device 'gpu8'"):
        api.pick_device("gpu8")


def test_a_tracker_that_is_not_installed(
    store: Store, small_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timbral.training.trackers.registry.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"\[tensorboard\].*pip install"):
        api.train(small_config(), store.folder, tmp_path / "r", trackers=["tensorboard"])
    assert not (tmp_path / "r").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_reads_back(store: Store, small_config: Make, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    api.train(
        small_config(steps=3), store.folder, run, validation_speakers="2", device="cpu",
        trackers=["tensorboard"],
    )  # fmt: skip
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    written = {event.step: event.value for event in events.Scalars("train/loss")}
    assert written == pytest.approx({row["step"]: row["loss"] for row in metrics(run)}, rel=1e-6)
