"""Trackers of other projects, each with its offline store in the run folder."""

from __future__ import annotations

import json
import os
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import soundfile

from timbral.audio.decode import SAMPLE_RATE, Wave
from timbral.io.files import read_json, write_json

__all__ = [
    "CometTracker",
    "MlflowTracker",
    "RunInfo",
    "Tracker",
    "VisualdlTracker",
    "WandbTracker",
]


MLFLOW_PARAMETERS = 100  # so many it takes at once


@dataclass(frozen=True)
class RunInfo:
    """What a tracker is told of the run that it tracks."""

    folder: Path
    first_step: int
    """the step that the run goes on from"""
    config: Mapping[str, Any] = field(default_factory=dict)
    project: str = "timbral"
    comet_key: str = field(default="", repr=False)
    """a secret: for Comet, and never written to disk"""

    def parameters(self) -> dict[str, str]:
        """The config as dotted keys and words."""
        return dict(_flat("", self.config))

    def id_with(self, tracker: str) -> tuple[str, bool]:
        """The id of this run with a tracker, and whether it is new; it is kept for resumption."""
        path = self.folder / "trackers.json"
        known = read_json(path) if path.exists() else {}
        if self.first_step and tracker in known:
            return str(known[tracker]), False
        known[tracker] = uuid.uuid4().hex
        write_json(path, known)
        return known[tracker], True


def _flat(prefix: str, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        inside = isinstance(value, Mapping)
        pairs += _flat(f"{prefix}{key}.", value) if inside else [(prefix + key, json.dumps(value))]
    return pairs


class Tracker(Protocol):
    """Takes what a run has to show, by step; the config it gets when it is made."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Scalars."""

    def picture(self, step: int, name: str, path: Path) -> None:
        """A PNG file."""

    def clip(self, step: int, name: str, wave: Wave) -> None:
        """A recording (T,) at 16 kHz."""

    def close(self) -> None: ...


class CometTracker:
    """Comet: online with a key, else an archive under RUN/comet that `comet upload` takes."""

    def __init__(self, run: RunInfo) -> None:
        os.environ.setdefault("COMET_INTERNAL_SENTRY_DSN", "")  # no reports to third parties
        import comet_ml

        options: dict[str, Any] = {
            "project_name": run.project,
            "log_code": False,
            "log_git_metadata": False,
            "log_git_patch": False,
            "log_env_details": False,
            "auto_metric_logging": False,
            "auto_param_logging": False,
            "auto_output_logging": False,
            "parse_args": False,
            "display_summary_level": 0,
        }
        name, is_new = run.id_with("comet")
        options |= {"experiment_key" if is_new else "previous_experiment": name}
        key = run.comet_key or os.environ.get("COMET_API_KEY", "")
        if key:
            options["api_key"] = key
            kinds: tuple[Any, Any] = (comet_ml.Experiment, comet_ml.ExistingExperiment)
        else:
            options["offline_directory"] = str(run.folder / "comet")
            kinds = (comet_ml.OfflineExperiment, comet_ml.ExistingOfflineExperiment)
            (run.folder / "comet").mkdir(parents=True, exist_ok=True)
        self._experiment: Any = kinds[0 if is_new else 1](**options)
        self._experiment.log_parameters(run.parameters())

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._experiment.log_metrics(dict(values), step=step)

    def picture(self, step: int, name: str, path: Path) -> None:
        self._experiment.log_image(str(path), name=f"{name}_{step:06d}.png", step=step)

    def clip(self, step: int, name: str, wave: Wave) -> None:
        self._experiment.log_audio(
            wave, sample_rate=SAMPLE_RATE, file_name=f"{name}_{step:06d}.wav", step=step
        )

    def close(self) -> None:
        self._experiment.end()


class WandbTracker:
    """Weights & Biases: offline under RUN/wandb unless WANDB_MODE or a login says otherwise."""

    def __init__(self, run: RunInfo) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # no reports to third parties
        import wandb

        mode: Any = "online" if os.environ.get("WANDB_API_KEY") else "offline"
        self._wandb = wandb
        self._run: Any = wandb.init(
            project=run.project,
            dir=str(run.folder),
            id=run.id_with("wandb")[0],
            resume="allow",
            mode=os.environ.get("WANDB_MODE", mode),
            config=dict(run.config),
            settings=wandb.Settings(silent=True, disable_git=True, console="off"),
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def picture(self, step: int, name: str, path: Path) -> None:
        self._run.log({name: self._wandb.Image(str(path))}, step=step)

    def clip(self, step: int, name: str, wave: Wave) -> None:
        self._run.log({name: self._wandb.Audio(wave, sample_rate=SAMPLE_RATE)}, step=step)

    def close(self) -> None:
        self._run.finish()


class MlflowTracker:
    """MLflow: RUN/mlflow.db (SQLite) and RUN/mlflow, or the server of MLFLOW_TRACKING_URI."""

    def __init__(self, run: RunInfo) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        own = f"sqlite:///{(run.folder / 'mlflow.db').absolute()}"
        self._client: Any = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", own))
        self._metric = Metric
        experiment = self._client.get_experiment_by_name(run.project)
        artifacts = (run.folder / "mlflow").absolute().as_uri()
        number = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment(run.project, artifact_location=artifacts)
        )
        name, is_new = run.id_with("mlflow")
        if not is_new:
            found = self._client.search_runs([number], f"tags.timbral_run = '{name}'")
            self._id: str = found[0].info.run_id
            return
        tags = {"timbral_run": name}
        made = self._client.create_run(number, run_name=run.folder.name, tags=tags)
        self._id = made.info.run_id
        words = [Param(key, value) for key, value in run.parameters().items()]
        for start in range(0, len(words), MLFLOW_PARAMETERS):
            self._client.log_batch(self._id, params=words[start : start + MLFLOW_PARAMETERS])

    def log(self, step: int, values: Mapping[str, float]) -> None:
        now = round(1000 * time.time())
        metrics = [self._metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def picture(self, step: int, name: str, path: Path) -> None:
        self._client.log_artifact(self._id, str(path), "pictures")

    def clip(self, step: int, name: str, wave: Wave) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name.replace('/', '_')}_{step:06d}.wav"
            soundfile.write(path, wave, SAMPLE_RATE)
            self._client.log_artifact(self._id, str(path), "clips")

    def close(self) -> None:
        self._client.set_terminated(self._id)


class VisualdlTracker:
    """VisualDL, under RUN/visualdl."""

    def __init__(self, run: RunInfo) -> None:
        from visualdl import LogWriter

        self._writer: Any = LogWriter(logdir=str(run.folder / "visualdl"))
        for key, value in run.parameters().items():
            self._writer.add_text(f"config/{key}", value, run.first_step)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, path: Path) -> None:
        from matplotlib.image import imread

        pixels = (255 * imread(path)[:, :, :3]).astype("uint8")
        self._writer.add_image(name, pixels, step)

    def clip(self, step: int, name: str, wave: Wave) -> None:
        self._writer.add_audio(name, wave, step, SAMPLE_RATE)

    def close(self) -> None:
        self._writer.close()
