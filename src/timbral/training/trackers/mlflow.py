"""MLflow."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import soundfile

from timbral.audio.decode import SAMPLE_RATE, Wave
from timbral.training.trackers.base import RunInfo, grouped

__all__ = ["MlflowTracker"]

MAX_PARAMETERS = 100  # of one call
LOSS = "train/loss"
"""equal in a step that is computed again after a kill"""


class MlflowTracker:
    """MLflow: RUN/mlflow.db (SQLite) and RUN/mlflow, or the server of MLFLOW_TRACKING_URI."""

    def __init__(self, run: RunInfo) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # no reports to third parties
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # no lines within the progress
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        in_run_folder = f"sqlite:///{(run.folder / 'mlflow.db').absolute()}"
        self._client: Any = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", in_run_folder))
        self._metric = Metric
        experiment = self._client.get_experiment_by_name(run.project)
        artifacts = (run.folder / "mlflow").absolute().as_uri()
        experiment_id = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment(run.project, artifact_location=artifacts)
        )
        name, is_new = run.id_with("mlflow")
        self._earlier: dict[int, dict[str, float]] = {}
        if not is_new:
            runs = self._client.search_runs([experiment_id], f"tags.timbral_run = '{name}'")
            self._id: str = runs[0].info.run_id
            self._earlier = self._logged_after(run.first_step)
            return
        tags = {"timbral_run": name}
        created = self._client.create_run(experiment_id, run_name=run.folder.name, tags=tags)
        self._id = created.info.run_id
        parameters = [Param(key, value) for key, value in run.parameters().items()]
        for start in range(0, len(parameters), MAX_PARAMETERS):
            self._client.log_batch(self._id, params=parameters[start : start + MAX_PARAMETERS])

    def _logged_after(self, step: int) -> dict[int, dict[str, float]]:
        """Metrics that a stopped run logged after its last checkpoint, by step and name."""
        logged: dict[int, dict[str, float]] = {}
        for name in self._client.get_run(self._id).data.metrics:
            for metric in self._client.get_metric_history(self._id, name):
                if metric.step > step:
                    logged.setdefault(metric.step, {})[name] = metric.value
        return logged

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers of a step, unless a stopped run logged the same: MLflow would keep both."""
        now, named = round(1000 * time.time()), grouped(values)
        earlier = self._earlier.pop(step, {})
        if LOSS in earlier and earlier[LOSS] == named.get(LOSS):
            named = {name: value for name, value in named.items() if name not in earlier}
        metrics = [self._metric(name, value, now, step) for name, value in named.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def plot(self, step: int, name: str, path: Path) -> None:
        self._client.log_artifact(self._id, str(path), "plots")

    def audio(self, step: int, name: str, wave: Wave, caption: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name.replace('/', '_')}_{step:06d}.wav"
            soundfile.write(path, wave, SAMPLE_RATE)
            self._client.log_artifact(self._id, str(path), "audio")

    def close(self) -> None:
        self._client.set_terminated(self._id)
