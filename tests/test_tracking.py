"""Each tracker's own offline store is written by a run and read back."""

from __future__ import annotations

import io
import json
import math
import os
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from timbral import api
from timbral.config.schema import TrackingConfig, TrainConfig
from timbral.data.prepared.store import Store
from timbral.errors import ConfigError, MissingExtraError
from timbral.training.plots import LossSpikes, RunPlots, is_due
from timbral.training.trackers.base import RunInfo
from timbral.training.trackers.registry import PACKAGES, TRACKERS, check_trackers, open_trackers

Make = Callable[..., TrainConfig]
INFO = {"encoder": {"name": "lstm", "layers": [1, 2]}, "loss": {}}

pytestmark = pytest.mark.filterwarnings("ignore")  # what these packages warn of is theirs


@pytest.fixture
def track(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Numbers of two sessions, a plot and a clip, by one tracker; returns the run folder."""
    for name in ("COMET_API_KEY", "WANDB_API_KEY", "WANDB_MODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    from timbral.plots.scatter import draw_scatter

    draw_scatter(np.arange(16.0).reshape(8, 2), list("aabbccdd"), tmp_path / "plot.png")

    def run(name: str) -> Path:
        folder = tmp_path / "run"
        folder.mkdir()
        tone = 0.25 * np.sin(np.arange(16_000) / 9).astype(np.float32)
        with open_trackers(RunInfo(folder, 0, INFO, "voices"), [name]) as trackers:
            for tracker in trackers:
                tracker.scalars(1, {"loss": 2.5, "learning_rate": 0.5, "w": 10.0, "b": -5.0})
                tracker.plot(1, "umap/train", tmp_path / "plot.png")
                tracker.audio(1, "batch/000", tone, "anna/1")
        with open_trackers(RunInfo(folder, 1, INFO, "voices"), [name]) as trackers:
            for tracker in trackers:
                tracker.scalars(2, {"loss": 1.5})
        return folder

    return run


def test_tensorboard(track: Callable[..., Path]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(track("tensorboard") / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [
        (1, 2.5),
        (2, 1.5),
    ]
    assert events.Scalars("train/w")[0].value == 10.0
    assert events.Images("umap/train")[0].encoded_image_string.startswith(b"\x89PNG")
    assert events.Audio("batch/000")[0].sample_rate == 16_000
    assert "config/encoder.name/text_summary" in events.Tags()["tensors"]


def test_visualdl(track: Callable[..., Path]) -> None:
    from visualdl import LogReader

    folder = track("visualdl") / "visualdl"
    loss = {}
    for path in sorted(folder.glob("*.log")):
        reader = LogReader(file_path=str(path))
        tags = reader.get_tags()
        loss |= {item.id: item.value for item in reader.get_data("scalar", "train/loss")}
        if "image" in tags:
            assert tags["image"] == ["umap/train"]
            assert reader.get_data("audio", "batch/000")[0].id == 1
            assert "config/encoder.name" in tags["text"]
    assert loss == {1: 2.5, 2: 1.5}


@pytest.mark.parametrize("name", ["tensorboard", "visualdl"])
def test_a_run_that_is_killed_has_its_last_numbers(tmp_path: Path, name: str) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from timbral.training.trackers.base import RunInfo\n"
        "from timbral.training.trackers.registry import open_trackers\n"
        "with open_trackers(RunInfo(Path(sys.argv[1]), 0), [sys.argv[2]]) as trackers:\n"
        "    for step in range(1, 6):\n"
        "        for tracker in trackers: tracker.scalars(step, {'loss': float(step)})\n"
        "    os._exit(143)"
    )
    words = [sys.executable, "-c", code, str(tmp_path), name]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 143
    if name == "visualdl":
        from visualdl import LogReader

        (path,) = (tmp_path / name).glob("*.log")
        loss = LogReader(file_path=str(path)).get_data("scalar", "train/loss")
        assert [item.id for item in loss] == [1, 2, 3, 4, 5]
        return
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / name))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5]


def records(data: bytes) -> Iterator[bytes]:
    """The records of a .wandb file: LevelDB's log format after seven bytes of its own."""
    assert data.startswith(b":W&B")
    offset, record = 7, b""
    while offset + 7 <= len(data):
        if 32_768 - offset % 32_768 < 7:  # no room for a header: the block's end is empty
            offset += 32_768 - offset % 32_768
            continue
        length, kind = struct.unpack_from("<HB", data, offset + 4)
        record += data[offset + 7 : offset + 7 + length]
        offset += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield record
            record = b""


def wandb_records(folder: Path) -> dict[str, list[Any]]:
    """The values of every metric and config key in the offline runs below a folder."""
    from wandb.proto import wandb_internal_pb2

    found: dict[str, list[Any]] = {}
    for file in folder.glob("offline-run-*/*.wandb"):
        for content in records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(content)
            for item in record.history.item:
                key = item.key or "/".join(item.nested_key)
                found.setdefault(key, []).append(json.loads(item.value_json))
            for item in record.run.config.update:
                found.setdefault(f"config {item.key}", []).append(json.loads(item.value_json))
    return found


@pytest.mark.slow
def test_wandb_gets_metrics_plots_and_audio(track: Callable[..., Path]) -> None:
    folder = track("wandb") / "wandb"
    names = {path.name.rsplit("-", 1)[1] for path in folder.glob("offline-run-*")}
    assert len(names) == 1, "resumed as the same run"
    deadline = time.monotonic() + 60  # its service process may still write after `finish`
    while len((found := wandb_records(folder)).get("train/loss", [])) < 2:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    assert sorted(found["train/loss"]) == [1.5, 2.5]
    assert found["config encoder"][0] == INFO["encoder"]
    assert "image-file" in str(found)
    assert "audio-file" in str(found)


def test_mlflow_gets_metrics_plots_and_audio(track: Callable[..., Path]) -> None:
    from mlflow import MlflowClient

    folder = track("mlflow")
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("voices")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 2.5), (2, 1.5)]
    assert run.data.params["encoder.name"] == '"lstm"'
    assert run.info.status == "FINISHED"
    assert [item.path for item in client.list_artifacts(run.info.run_id, "plots")] == [
        "plots/plot.png"
    ]
    assert client.list_artifacts(run.info.run_id, "audio")[0].path.endswith("_000001.wav")


def test_mlflow_keeps_steps_once_that_are_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is killed after step 3, its last checkpoint is of step 1; step 3 then differs."""
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sessions = [(0, {1: 2.5, 2: 1.5, 3: 1.25}), (1, {2: 1.5, 3: 1.0, 4: 0.5})]
    for session, (first_step, losses) in enumerate(sessions):
        with open_trackers(RunInfo(tmp_path, first_step, INFO, "voices"), ["mlflow"]) as trackers:
            for step, loss in losses.items():
                trackers[-1].scalars(step, {"loss": loss, "seconds": step + session / 10})
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("voices")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    for name, expected in (
        ("train/loss", [(1, 2.5), (2, 1.5), (3, 1.0), (3, 1.25), (4, 0.5)]),
        ("train/seconds", [(1, 1), (2, 2), (3, 3), (3, 3.1), (4, 4.1)]),
    ):
        history = client.get_metric_history(run.info.run_id, name)
        assert sorted((metric.step, metric.value) for metric in history) == expected


def test_comet_gets_metrics_plots_and_audio(track: Callable[..., Path]) -> None:
    archives = sorted((track("comet") / "comet").glob("*.zip"))
    assert len(archives) == 2
    told = ""
    losses = []
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            told += archive.read("messages.json").decode()
            for line in archive.read("messages.json").splitlines():
                metric = json.loads(line)["payload"].get("metric", {})
                if metric.get("metricName") == "train/loss":
                    losses.append((metric["step"], metric["metricValue"]))
    assert sorted(losses) == [(1, 2.5), (2, 1.5)]
    for word in ("encoder.name", "umap/train_000001.png", "batch/000_000001.wav"):
        assert word in told
    clips = []
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            contents = [archive.read(name) for name in archive.namelist()]
        clips += [content for content in contents if content[:4] == b"RIFF"]
    [clip] = clips
    assert np.abs(soundfile.read(io.BytesIO(clip))[0]).max() == pytest.approx(0.25, abs=1e-3)


def test_a_run_gives_plots_and_audio_to_its_trackers(
    store: Store, small_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[tuple[str, int, str]] = []

    class Recorder:
        def __init__(self, run: RunInfo) -> None:
            assert run.comet_key == "s3cret"
            assert run.config["encoder"]["name"] == "lstm"

        def scalars(self, step: int, values: dict[str, float]) -> None:
            assert {"learning_rate", "w", "b", "loss"} <= values.keys()

        def plot(self, step: int, name: str, path: Path) -> None:
            assert path.read_bytes().startswith(b"\x89PNG")
            got.append(("plot", step, name))

        def audio(self, step: int, name: str, wave: np.ndarray, caption: str) -> None:
            assert wave.shape == (12_800,)
            assert caption in store.table["utterance"].to_pylist()
            got.append(("audio", step, name.partition("/")[0]))

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
    assert sorted(path.name for path in (run / "plots").iterdir()) == [
        "train_000004.png",
        "validation_000006.png",
    ]
    assert [item for item in got if item[0] == "plot"] == [
        ("plot", 4, "umap/train"),
        ("plot", 6, "umap/validation"),
    ]
    assert got.count(("audio", 3, "batch")) == got.count(("audio", 6, "batch")) == 12
    for path in run.rglob("*"):
        assert path.is_dir() or b"s3cret" not in path.read_bytes(), path
    api.train(
        replace(config, tracking=TrackingConfig()), store.folder, run, validation_speakers="3",
        device="cpu",
    )  # fmt: skip


def test_a_batch_whose_loss_jumps_is_plotted(small_config: Make, tmp_path: Path) -> None:
    losses = [9.0, 0.1, 0.51, 9.0, math.nan, 0.1, 0.6]  # the second jump follows too soon
    spikes = LossSpikes()
    assert [spikes.is_spike(step, loss) for step, loss in enumerate(losses, start=1)] == [
        False, False, True, False, False, False, False,
    ]  # fmt: skip
    for plot_every, expected in ((1000, [["loss_spike"]]), (None, [])):
        config = replace(small_config(), tracking=TrackingConfig(plot_every=plot_every))
        plots = RunPlots(tmp_path, config)
        due = [plots.batch_plots_due(step, loss) for step, loss in enumerate(losses, start=1)]
        assert [names for names in due if names] == expected


def test_what_is_due_at_a_step() -> None:
    assert [step for step in range(1, 13) if is_due(step, 4)] == [4, 8, 12]
    assert [step for step in range(3, 16, 3) if is_due(step, 5, since=3)] == [6, 12, 15]
    assert not is_due(4, None)


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_a_missing_package_is_an_error_before_the_first_step(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = PACKAGES[name][-1]
    monkeypatch.setattr(
        "timbral.training.trackers.registry.find_spec",
        lambda package: None if package == missing else 1,
    )
    with pytest.raises(MissingExtraError, match=rf"\[{name}\].*pip install"):
        check_trackers([name])
    with pytest.raises(ConfigError, match="did you mean 'wandb'"):
        check_trackers(["wandbb"])


def test_mlflow_prints_nothing_within_the_progress(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from timbral.training.trackers.base import RunInfo; "
        "from timbral.training.trackers.registry import open_trackers\n"
        f"with open_trackers(RunInfo(Path({str(tmp_path)!r}), 0, {{}}, 'voices'), ['mlflow']) as t:"
        " t[-1].scalars(1, {'loss': 1.0})"
    )
    environment = {key: value for key, value in os.environ.items() if "MLFLOW" not in key}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
