"""Each tracker's own offline store is written by a run and read back."""

from __future__ import annotations

import json
import math
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from timbral import api
from timbral.config.schema import TrackingConfig, TrainConfig
from timbral.data.batches.batch import WaveBatch
from timbral.data.prepared.store import Store
from timbral.errors import ConfigError, MissingExtraError
from timbral.training.plots import Gallery, _due
from timbral.training.trackers.base import RunInfo
from timbral.training.trackers.registry import PACKAGES, TRACKERS, check_trackers, open_trackers

Make = Callable[..., TrainConfig]
INFO = {"encoder": {"name": "lstm", "layers": [1, 2]}, "loss": {}}

pytestmark = pytest.mark.filterwarnings("ignore")  # what these packages warn of is theirs


@pytest.fixture
def track(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Two runs' worth of numbers, a picture and a clip, by one tracker; returns the run folder."""
    for name in ("COMET_API_KEY", "WANDB_API_KEY", "WANDB_MODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    from timbral.plots.scatter import draw_scatter

    draw_scatter(np.arange(16.0).reshape(8, 2), list("aabbccdd"), tmp_path / "picture.png")

    def run(name: str) -> Path:
        folder = tmp_path / "run"
        folder.mkdir()
        tone = np.sin(np.arange(16_000) / 9).astype(np.float32)
        with open_trackers(RunInfo(folder, 0, INFO, "voices"), [name]) as trackers:
            for tracker in trackers:
                tracker.log(1, {"loss": 2.5, "learning_rate": 0.5, "w": 10.0, "b": -5.0})
                tracker.picture(1, "umap/train", tmp_path / "picture.png")
                tracker.clip(1, "batch/000-x", tone)
        with open_trackers(RunInfo(folder, 1, INFO, "voices"), [name]) as trackers:
            for tracker in trackers:
                tracker.log(2, {"loss": 1.5})
        return folder

    return run


def test_tensorboard(track: Callable[..., Path]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(track("tensorboard") / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 2.5), (2, 1.5)]
    assert events.Scalars("w")[0].value == 10.0
    assert events.Images("umap/train")[0].encoded_image_string.startswith(b"\x89PNG")
    assert events.Audio("batch/000-x")[0].sample_rate == 16_000
    assert "config/encoder.name/text_summary" in events.Tags()["tensors"]


def test_visualdl(track: Callable[..., Path]) -> None:
    from visualdl import LogReader

    folder = track("visualdl") / "visualdl"
    loss = {}
    for path in sorted(folder.glob("*.log")):
        reader = LogReader(file_path=str(path))
        tags = reader.get_tags()
        loss |= {item.id: item.value for item in reader.get_data("scalar", "loss")}
        if "image" in tags:
            assert tags["image"] == ["umap/train"]
            assert reader.get_data("audio", "batch/000-x")[0].id == 1
            assert "config/encoder.name" in tags["text"]
    assert loss == {1: 2.5, 2: 1.5}


def records(data: bytes) -> Iterator[bytes]:
    """The records of a .wandb file: LevelDB's log format behind seven bytes of its own."""
    assert data.startswith(b":W&B")
    place, parts = 7, b""
    while place + 7 <= len(data):
        if 32_768 - place % 32_768 < 7:  # no room for a header: the block's end is empty
            place += 32_768 - place % 32_768
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


@pytest.mark.slow  # its service process may lag behind on a busy machine
def test_wandb(track: Callable[..., Path]) -> None:
    from wandb.proto import wandb_internal_pb2

    found: dict[str, list[Any]] = {}
    runs = sorted(
        (track("wandb") / "wandb").glob("offline-run-*"), key=lambda path: path.stat().st_mtime_ns
    )
    assert len({path.name.rsplit("-", 1)[1] for path in runs}) == 1, "resumed as the same run"
    for data in (file.read_bytes() for run in runs for file in run.glob("*.wandb")):
        for part in records(data):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(part)
            for item in record.history.item:
                key = item.key or "/".join(item.nested_key)
                found.setdefault(key, []).append(json.loads(item.value_json))
            for item in record.run.config.update:
                found.setdefault(f"config {item.key}", []).append(json.loads(item.value_json))
    assert sorted(found["loss"]) == [1.5, 2.5]
    assert found["config encoder"][0] == INFO["encoder"]
    assert "image-file" in str(found)
    assert "audio-file" in str(found)


def test_mlflow(track: Callable[..., Path]) -> None:
    from mlflow import MlflowClient

    folder = track("mlflow")
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("voices")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 2.5), (2, 1.5)]
    assert run.data.params["encoder.name"] == '"lstm"'
    assert run.info.status == "FINISHED"
    assert [item.path for item in client.list_artifacts(run.info.run_id, "pictures")] == [
        "pictures/picture.png"
    ]
    assert client.list_artifacts(run.info.run_id, "clips")[0].path.endswith("_000001.wav")


def test_comet(track: Callable[..., Path]) -> None:
    archives = sorted((track("comet") / "comet").glob("*.zip"))
    assert len(archives) == 2
    told = ""
    losses = []
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            told += archive.read("messages.json").decode()
            for line in archive.read("messages.json").splitlines():
                metric = json.loads(line)["payload"].get("metric", {})
                if metric.get("metricName") == "loss":
                    losses.append((metric["step"], metric["metricValue"]))
    assert sorted(losses) == [(1, 2.5), (2, 1.5)]
    for word in ("encoder.name", "umap/train_000001.png", "batch/000-x_000001.wav"):
        assert word in told


def test_a_run_draws_and_plays(
    store: Store, small_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[tuple[str, int, str]] = []

    class Recorder:
        def __init__(self, run: RunInfo) -> None:
            assert run.comet_key == "s3cret"
            assert run.config["encoder"]["name"] == "lstm"

        def log(self, step: int, values: dict[str, float]) -> None:
            assert {"learning_rate", "w", "b", "loss"} <= values.keys()

        def picture(self, step: int, name: str, path: Path) -> None:
            assert path.read_bytes().startswith(b"\x89PNG")
            got.append(("picture", step, name))

        def clip(self, step: int, name: str, wave: np.ndarray) -> None:
            assert wave.shape == (12_800,)
            got.append(("clip", step, name.partition("/")[0]))

        def close(self) -> None: ...

    monkeypatch.setitem(TRACKERS, "tensorboard", Recorder)
    monkeypatch.setattr(  # UMAP itself has its own tests
        "timbral.plots.projection.project", lambda vectors, **options: vectors[:, :2]
    )
    tracking = TrackingConfig(
        plot_every=4, validation_plot_every=4, audio_every=3, label_points=True
    )
    config = replace(small_config(steps=6), tracking=tracking)
    run = tmp_path / "run"
    api.train(
        config, store.folder, run, validation_speakers="3", device="cpu",
        trackers=["tensorboard"], comet_key="s3cret",
    )  # fmt: skip
    assert sorted(path.name for path in (run / "pictures").iterdir()) == [
        "train_000004.png",
        "validation_000006.png",
    ]
    assert [item for item in got if item[0] == "picture"] == [
        ("picture", 4, "umap/train"),
        ("picture", 6, "umap/validation"),
    ]
    assert got.count(("clip", 3, "batch")) == got.count(("clip", 6, "batch")) == 12
    for path in run.rglob("*"):
        assert path.is_dir() or b"s3cret" not in path.read_bytes(), path
    api.train(
        replace(config, tracking=TrackingConfig()), store.folder, run, validation_speakers="3",
        device="cpu",
    )  # fmt: skip


def test_a_batch_whose_loss_explodes_is_drawn(
    store: Store, small_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "timbral.plots.projection.project", lambda vectors, **options: vectors[:, :2]
    )
    batch = WaveBatch(
        waves=torch.zeros(4, 8),
        lengths=torch.full((4,), 8),
        speakers=torch.arange(4),
        rows=torch.arange(4),
    )
    for pictures, expected in ((1000, ["exploding_loss_000003.png"]), (None, [])):
        tracking = TrackingConfig(plot_every=pictures)
        gallery = Gallery(tmp_path / str(pictures), replace(small_config(), tracking=tracking))
        for step, loss in enumerate([9.0, 0.1, 0.51, 9.0, math.nan, 0.1, 0.6], start=1):
            gallery.batch(step, batch, torch.eye(4), loss, store)
        drawn = (tmp_path / str(pictures)).rglob("*.png")
        assert [path.name for path in drawn] == expected


def test_due() -> None:
    assert [step for step in range(1, 13) if _due(step, 1, 4)] == [4, 8, 12]
    assert [step for step in range(3, 16, 3) if _due(step, 3, 5)] == [6, 12, 15]
    assert not _due(4, 1, None)


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_what_is_missing_ends_it_before_the_first_step(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = PACKAGES[name][-1]
    monkeypatch.setattr(
        "timbral.training.trackers.registry.find_spec",
        lambda package: None if package == missing else 1,
    )
    with pytest.raises(MissingExtraError, match=rf"pip install 'timbral\[{name}\]'"):
        check_trackers([name])
    with pytest.raises(ConfigError, match="did you mean 'wandb'"):
        check_trackers(["wandbb"])
